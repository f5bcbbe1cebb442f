"""From a message's bytes to rows ready to be stored: decoding and checking, without I/O or clock.

Whatever a gateway sends becomes an Arrival: what cannot be stored carries the reason why, so that it goes to
quarantine instead of blocking what comes after it. Reasons never hold the bytes themselves.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from math import isfinite

from cloud_sync import blob
from cloud_sync.blob import to_ms
from cloud_sync.envelope import Hello, Part, decode_envelope, decode_hello
from cloud_sync.topics import HELLO, RESERVED_NAMES, parse_up_subject
from contract.boot import BootId, BootTime
from contract.consent import PURPOSES, Form, Purpose, PurposeRule
from contract.errors import ProtocolError
from contract.ids import GatewayId, is_id
from contract.quantity import QUANTITIES, PersonalClass
from contract.record import Aggregate, AlertRecord, Gap, Measured, Range, Record, Stream
from contract.sample import ClockQuality, Member, Position, Reading, Series

MeasuredRow = tuple[int, str, str, int, float | str | None, int, int]
"""sequence, subject, quantity, at_ms, value as stored, flag, clock."""

CLOCKS = tuple(ClockQuality)
_CLOCK_NUMBERS = {clock: number for number, clock in enumerate(CLOCKS)}
_LEAVES = frozenset({HELLO, *Stream})
_VITAL = frozenset(name for name, row in QUANTITIES.items() if row.personal is PersonalClass.VITAL)
_PERSON = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,126}[A-Za-z0-9])?")
_QUANTITY = re.compile(r"[a-z][a-z0-9_]{0,62}")
_NO_PURPOSE = "a person's quantity without a purpose"
_MOST = 2**63 - 1
_MOST_TEXT = 200
_MOST_REASON = 120


@dataclass(frozen=True, slots=True)
class Rows:
    """The records of one part, each with its sequence number."""

    measured: list[MeasuredRow] = field(default_factory=list)
    others: list[tuple[int, Aggregate | Gap | AlertRecord]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Arrived:
    """One part: `rows` to store, or `fault` why it goes to quarantine with its `blob`."""

    range: Range
    purpose: Purpose | None
    rows: Rows
    blob: bytes
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message: its parts, or a hello, or `fault` why the whole of `payload` goes to quarantine."""

    gateway: GatewayId | None
    at: datetime
    parts: tuple[Arrived, ...] = ()
    hello: Hello | None = None
    fault: str | None = None
    payload: bytes = b""


def read(subject: str, payload: bytes, at: datetime) -> Arrival:
    """What the message on `subject`, received `at`, holds. Never raises for anything a peer can send."""
    gateway = None
    try:
        gateway, leaf = parse_up_subject(subject)
        _check_address(gateway, leaf)
        if leaf == HELLO:
            return Arrival(gateway, at, hello=decode_hello(payload))
        envelope = decode_envelope(payload)
        return Arrival(gateway, at, tuple(_arrived(part, envelope.boots) for part in envelope.parts))
    except ProtocolError as error:
        return Arrival(gateway, at, fault=_reason(error), payload=payload)


def refused(arrival: Arrival, reason: str) -> Arrival:
    """`arrival` with nothing left to store: all of it goes to quarantine, and is receipted."""
    parts = tuple(replace(part, rows=Rows(), fault=part.fault or reason) for part in arrival.parts)
    fault = arrival.fault if parts else arrival.fault or reason
    return replace(arrival, parts=parts, hello=None, fault=fault)


def _check_address(gateway: GatewayId, leaf: str) -> None:
    if gateway in RESERVED_NAMES:
        raise ProtocolError("this name is no gateway's")
    if leaf not in _LEAVES:
        raise ProtocolError("subject names no stream")


def _arrived(part: Part, boots: Mapping[BootId, BootTime]) -> Arrived:
    try:
        return Arrived(part.range, part.purpose, _rows(part, boots), part.blob)
    except ProtocolError as error:
        return Arrived(part.range, part.purpose, Rows(), part.blob, _reason(error))


def _reason(error: ProtocolError) -> str:
    # Some texts name a number that the peer chose, of any length.
    return str(error)[:_MOST_REASON]


def _rows(part: Part, boots: Mapping[BootId, BootTime]) -> Rows:
    rows = Rows()
    if not part.blob:
        return rows
    sequence = part.range.first
    for record in blob.decode(part.blob, boots):
        _check_release(record, part.purpose)
        if isinstance(record, Measured):
            sequence = _measured(rows.measured, record, sequence, is_thing=part.purpose is None)
        else:
            _check_quantity(record, is_thing=part.purpose is None)
            rows.others.append((sequence, _checked(record)))
            sequence += 1
    if sequence != part.range.last + 1:
        raise ProtocolError("part has not as many records as its range has numbers")
    return rows


def _measured(rows: list[MeasuredRow], record: Measured, sequence: int, *, is_thing: bool) -> int:
    """Append one row a member, numbered from `sequence`; returns the number after the last."""
    subject, at_ms, clock = record.subject, to_ms(record.at), _CLOCK_NUMBERS[record.clock]
    for member in record.members:
        quantity = member.quantity
        fault = _fault_of(quantity, is_thing)
        if fault is not None:
            raise ProtocolError(fault)
        rows.append((sequence, subject, quantity, at_ms, _stored(member), member.flag, clock))
        sequence += 1
    return sequence


def _check_quantity(record: Aggregate | Gap | AlertRecord, *, is_thing: bool) -> None:
    quantity = record.alert.quantity if isinstance(record, AlertRecord) else record.quantity
    if is_thing and quantity in _VITAL:
        raise ProtocolError(_NO_PURPOSE)


@lru_cache(maxsize=1024)
def _fault_of(quantity: str, is_thing: bool) -> str | None:
    # Not looked up in the table: a newer gateway may know a quantity that this hub does not.
    if _QUANTITY.fullmatch(quantity) is None:
        return "quantity is not a name"
    # The second guard of consent; the first stands at the gateway.
    return _NO_PURPOSE if is_thing and quantity in _VITAL else None


def _stored(member: Member) -> float | str | None:
    if isinstance(member, Reading):
        return None if member.value is None else _finite(member.value)
    if isinstance(member, Position):
        fix = (member.lat_deg, member.lon_deg, member.speed_mps, member.course_deg)
        return json.dumps([None if number is None else _finite(number) for number in fix])
    return _stored_series(member)


def _stored_series(member: Series) -> str:
    values, offsets = list(map(_finite, member.values)), list(map(_finite, member.offsets_s))
    if member.is_even:
        if len(offsets) != 2:
            raise ProtocolError("even series has not start and step")
        offsets = [offsets[0] + index * offsets[1] for index in range(len(values))]
    if len(offsets) != len(values):
        raise ProtocolError("series has not one offset a value")
    return json.dumps({"v": values, "o": offsets})


def _finite(number: float) -> float:
    try:
        value = float(number)
    except OverflowError:
        raise ProtocolError("number out of range") from None
    if not isfinite(value):
        raise ProtocolError("number out of range")
    return value


def _check_release(record: Record, purpose: Purpose | None) -> None:
    """Refuse what the purpose does not release, so that a gateway's mistake is never stored (contract.consent)."""
    if not (is_id(record.subject) if purpose is None else _PERSON.fullmatch(record.subject)):
        raise ProtocolError("subject is not a name")
    if purpose is not None and not _releases(PURPOSES[purpose], record):
        raise ProtocolError(f"purpose {purpose} does not release such a record")


def _releases(rule: PurposeRule, record: Record) -> bool:
    if rule.form is Form.LOCAL:
        return False
    match record:
        case Gap():
            return True
        case AlertRecord():
            return rule.alerts
        case Measured():
            return rule.measurements and rule.form is not Form.AGGREGATE
        case Aggregate():
            return rule.measurements


def _checked(record: Aggregate | Gap | AlertRecord) -> Aggregate | Gap | AlertRecord:
    """The record itself when the database can hold every member of it."""
    match record:
        case Aggregate():
            _check_numbers(record.window_s, record.mean, record.minimum, record.maximum)
            _check_counts(record.count, record.samples)
            _check_texts(record.quantity)
        case Gap():
            _check_counts(record.count or 0)
            _check_texts(record.quantity or "")
        case AlertRecord(alert=alert):
            _check_numbers(alert.value, alert.threshold, *(number for _, number in alert.evidence))
            _check_counts(alert.level)
            _check_texts(alert.id, alert.rule, alert.rule_version, alert.quantity, alert.name_ja, alert.name_en)
            _check_texts(*(name for name, _ in alert.evidence))
    return record


def _check_numbers(*numbers: float) -> None:
    for number in numbers:
        _finite(number)


def _check_counts(*counts: int) -> None:
    if not all(0 <= count <= _MOST for count in counts):
        raise ProtocolError("count out of range")


def _check_texts(*texts: str) -> None:
    if not all(len(text) <= _MOST_TEXT and text.isprintable() for text in texts):
        raise ProtocolError("text is too long or not printable")
