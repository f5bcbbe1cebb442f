"""Records <-> bytes: columns as JSON arrays, zlib level 1. Written once at the gateway's commit, read once at the hub.

One blob holds the records of one commit and one channel. Records are numbered in the order they are decoded in: all
members of Measured first, sample by sample, then the others. JSON and zlib are in the standard library of every
gateway; columns compress to about half of rows.
"""

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from cloud_sync.correction import corrected
from contract.alert import Alert, Transition
from contract.boot import BootId, BootTime, TimeBase, is_boot_id
from contract.errors import ProtocolError
from contract.ids import AlertId
from contract.record import Aggregate, AlertRecord, Gap, GapReason, Measured, Record
from contract.sample import ClockQuality, Flag, Member, Position, Reading, Series

BLOB_VERSION = 1
MAX_BLOB_BYTES = 8 * 2**20
"""Decompressed size at which decoding stops: forty times the largest commit seen, far below what hurts a hub."""

_EPOCH_START = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_CLOCKS = tuple(ClockQuality)
_FLAGS = {int(flag): flag for flag in Flag}
_Json = Any  # what json.loads returns: every use below checks the type it needs


def to_ms(at: datetime) -> int:
    """Milliseconds since 1970-01-01 UTC, rounded down."""
    return (at - _EPOCH_START) // _MILLISECOND


def from_ms(at_ms: int) -> datetime:
    """The aware UTC time of `at_ms`; ProtocolError when no datetime can hold it."""
    try:
        return _EPOCH_START + timedelta(milliseconds=at_ms)
    except OverflowError as error:
        raise ProtocolError("time out of range") from error


def in_blob_order(records: Sequence[Record]) -> list[Record]:
    """The order in which a blob numbers its records: Measured first, each group in the order given."""
    measured = [record for record in records if isinstance(record, Measured)]
    return [*measured, *(record for record in records if not isinstance(record, Measured))]


def encode(records: Sequence[Record], base: TimeBase | None = None) -> bytes:
    """One blob of `records`; their numbers follow `in_blob_order`. `base`: what their times rest on, if on no clock."""
    samples = [record for record in records if isinstance(record, Measured)]
    others = [_other(record) for record in records if not isinstance(record, Measured)]
    subjects: dict[str, int] = {}
    layouts: dict[tuple[str, ...], int] = {}
    times = [to_ms(sample.at) for sample in samples]
    start = min(times, default=0)
    columns: tuple[list[int], list[int], list[int], list[int]] = ([], [], [], [])
    values: list[object] = []
    flags: list[int] = []
    for sample, at_ms in zip(samples, times, strict=True):
        columns[0].append(subjects.setdefault(sample.subject, len(subjects)))
        columns[1].append(layouts.setdefault(tuple([m.quantity for m in sample.members]), len(layouts)))
        columns[2].append(at_ms - start)
        columns[3].append(_CLOCKS.index(sample.clock))
        for member in sample.members:
            values.append(member.value if type(member) is Reading else _compound(member))
            flags.append(member.flag)
    document = {
        "v": BLOB_VERSION,
        "subjects": list(subjects),
        "layouts": list(layouts),
        "start": start,
        "s": columns[0],
        "l": columns[1],
        "t": columns[2],
        "c": _squeeze(columns[3]),
        "values": values,
        "flags": _squeeze(flags),
        "other": others,
    }
    if base is not None:
        document["boot"] = [base.boot, base.zero_ms]
    return zlib.compress(json.dumps(document, separators=(",", ":"), allow_nan=False).encode(), 1)


def decode(blob: bytes, boots: Mapping[BootId, BootTime] = MappingProxyType({})) -> list[Record]:
    """The records of a blob in the order of their numbers; ProtocolError for anything else than a blob.

    Times that rest on a boot that `boots` names are put right; without it they stay as they were stamped.
    """
    document = inflate(blob)
    try:
        if document["v"] != BLOB_VERSION:
            raise ProtocolError("blob version is not known")
        records: list[Record] = [*_samples(document)]
        records.extend(_read_other(other) for other in document["other"])
        base = _base(document.get("boot"))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ProtocolError(f"blob is malformed: {type(error).__name__}") from error
    time = None if base is None else boots.get(base.boot)
    return records if base is None or time is None else corrected(records, base, time)


def _base(said: _Json) -> TimeBase | None:
    if said is None:
        return None
    boot, zero_ms = said
    if not is_boot_id(_text(boot)):
        raise ProtocolError("boot is not 32 hex digits")
    return TimeBase(BootId(boot), _integer(zero_ms))


def _squeeze(column: list[int]) -> list[int] | int:
    """A column whose values are all the same is written as that value."""
    return column[0] if column and column.count(column[0]) == len(column) else column


def _compound(member: Member) -> object:
    if isinstance(member, Position):
        return [member.lat_deg, member.lon_deg, member.speed_mps, member.course_deg]
    if isinstance(member, Series):
        return [list(member.values), list(member.offsets_s), int(member.is_even)]
    return member.value


def inflate(blob: bytes) -> dict[str, _Json]:
    """The JSON object in a blob, its members unchecked; ProtocolError when there is none."""
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(blob, MAX_BLOB_BYTES)
        if not inflater.eof or inflater.unused_data:
            raise ProtocolError("blob is cut, has trailing bytes or is too large")
        document = json.loads(data, parse_constant=_refuse_constant)
    except (zlib.error, ValueError, RecursionError) as error:
        raise ProtocolError(f"blob is not zlib JSON: {type(error).__name__}") from error
    if not isinstance(document, dict):
        raise ProtocolError("blob is not a JSON object")
    return document


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _samples(document: dict[str, _Json]) -> list[Measured]:
    subjects, start = [_text(s) for s in document["subjects"]], _integer(document["start"])
    layouts = [tuple([_text(q) for q in layout]) for layout in document["layouts"]]
    count, values = len(document["s"]), document["values"]
    flags = [_FLAGS[flag] for flag in _spread(document["flags"], len(values))]
    if len(flags) != len(values):
        raise ProtocolError("blob has not as many flags as values")
    clocks = [_CLOCKS[_index(clock)] for clock in _spread(document["c"], count)]
    samples, offset = [], 0
    for s, layout_index, t, clock in zip(document["s"], document["l"], document["t"], clocks, strict=True):
        layout = layouts[_index(layout_index)]
        end = offset + len(layout)
        members = tuple(map(_member, layout, values[offset:end], flags[offset:end]))
        samples.append(Measured(subjects[_index(s)], from_ms(start + _integer(t)), clock, members))
        offset = end
    if offset != len(values):
        raise ProtocolError("blob has not as many values as its layouts say")
    return samples


def _member(quantity: str, value: _Json, flag: Flag) -> Member:
    if type(value) in (float, int) or value is None:
        return Reading(quantity, value, flag)
    if not isinstance(value, list):
        raise ProtocolError("value is neither number nor list")
    if len(value) == 4:
        lat, lon, speed, course = value
        return Position(_number(lat), _number(lon), _optional(speed), _optional(course), flag)
    values, offsets, is_even = value
    return Series(quantity, tuple(map(_number, values)), tuple(map(_number, offsets)), bool(is_even), flag)


def _spread(column: _Json, count: int) -> list[int]:
    """The inverse of `_squeeze`. The callers check the length of a column that was not squeezed."""
    if isinstance(column, list):
        return column
    return [_integer(column)] * count


def _other(record: Record) -> list[object]:
    match record:
        case Aggregate():
            return [
                *("aggregate", record.subject, record.quantity, to_ms(record.start), record.window_s, record.count),
                *(record.mean, record.minimum, record.maximum, record.samples),
            ]
        case Gap():
            span = (to_ms(record.start), to_ms(record.end))
            return ["gap", record.subject, record.quantity, *span, record.reason, record.count]
        case AlertRecord():
            alert = record.alert
            return [
                *("alert", record.subject, alert.id, alert.rule, alert.rule_version, alert.transition, to_ms(alert.at)),
                *(alert.quantity, alert.value, alert.threshold, alert.level, alert.name_ja, alert.name_en),
                [list(pair) for pair in alert.evidence],
            ]
        case Measured():
            raise AssertionError("Measured is written as columns")


def _read_other(row: _Json) -> Record:
    return _READERS[row[0]](*row[1:])


def _read_aggregate(*row: _Json) -> Record:
    subject, quantity, start, window, count, mean, minimum, maximum, samples = row
    return Aggregate(
        subject=_text(subject),
        quantity=_text(quantity),
        start=from_ms(_integer(start)),
        window_s=_number(window),
        count=_integer(count),
        mean=_number(mean),
        minimum=_number(minimum),
        maximum=_number(maximum),
        samples=_integer(samples),
    )


def _read_gap(*row: _Json) -> Record:
    subject, quantity, start, end, reason, count = row
    return Gap(
        subject=_text(subject),
        quantity=None if quantity is None else _text(quantity),
        start=from_ms(_integer(start)),
        end=from_ms(_integer(end)),
        reason=GapReason(reason),
        count=None if count is None else _integer(count),
    )


def _read_alert(*row: _Json) -> Record:
    subject, id_, rule, version, transition, at, quantity, value, threshold, level, name_ja, name_en, evidence = row
    alert = Alert(
        id=AlertId(_text(id_)),
        rule=_text(rule),
        rule_version=_text(version),
        transition=Transition(transition),
        at=from_ms(_integer(at)),
        quantity=_text(quantity),
        value=_number(value),
        threshold=_number(threshold),
        level=_integer(level),
        name_ja=_text(name_ja),
        name_en=_text(name_en),
        evidence=tuple((_text(name), _number(number)) for name, number in evidence),
    )
    return AlertRecord(_text(subject), alert)


_READERS: dict[str, Callable[..., Record]] = {"aggregate": _read_aggregate, "gap": _read_gap, "alert": _read_alert}


def _text(value: _Json) -> str:
    if not isinstance(value, str):
        raise ProtocolError("text expected")
    return value


def _integer(value: _Json) -> int:
    if type(value) is not int:
        raise ProtocolError("integer expected")
    return value


def _index(value: _Json) -> int:
    if type(value) is not int or value < 0:
        raise ProtocolError("index expected")
    return value


def _number(value: _Json) -> float:
    if type(value) not in (float, int):
        raise ProtocolError("number expected")
    return float(value)


def _optional(value: _Json) -> float | None:
    return None if value is None else _number(value)
