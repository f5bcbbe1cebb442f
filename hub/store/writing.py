"""What a group of arrivals amounts to: which rows are to be written, and what is to be told afterwards. Pure.

An engine decides which sequence numbers are new (the repeat check) and writes the rows; both in one transaction.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import NamedTuple, Self

from cloud_sync.blob import to_ms
from contract.consent import Purpose
from contract.ids import Epoch, GatewayId
from contract.record import Gap, GapReason, Range, Stream
from hub.arrival import Arrival, Arrived, MeasuredRow
from hub.feed import Change
from hub.store.blocks import Block
from hub.store.events import Others, Source
from hub.store.ranges import Span, holds
from hub.store.selection import Row, TelemetryRow

SEQUENCE_END = 2**40
"""Sequence numbers lie below it, in both engines: PostgreSQL's repeat check packs origin and number into 63 bits."""
_OUT_OF_RANGE = "sequence number out of range"
_NAME = itemgetter(1, 2)  # subject and quantity of a MeasuredRow


@dataclass(slots=True)
class Outcome:
    """What a committed group amounts to: ranges to be receipted by gateway, changes to be told, counts."""

    receipts: dict[GatewayId, list[Range]] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    records: int = 0
    repeats: int = 0
    """Parts that were wholly known."""
    faults: Counter[tuple[GatewayId | None, str]] = field(default_factory=Counter)
    """What went to quarantine: how often, by gateway and reason."""

    def add(self, other: Self) -> None:
        """Take what another transaction amounts to into this."""
        for gateway, ranges in other.receipts.items():
            self.receipts.setdefault(gateway, []).extend(ranges)
        self.changes.extend(other.changes)
        self.records += other.records
        self.repeats += other.repeats
        self.faults.update(other.faults)


class OriginKey(NamedTuple):
    """Who wrote: one stream of one start of one gateway."""

    gateway: GatewayId
    epoch: Epoch
    stream: Stream


SeriesIds = Mapping[tuple[str, str], int]
"""Ids of series by subject (thing or person) and quantity."""
Find = Callable[[str], SeriesIds]
"""The ids of the series of one gateway's things, or of one purpose's persons; whoever looks one up gets it made."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Numbers that a message lays claim to: with content, or (`part` None) only said to have been receipted."""

    arrival: Arrival
    gateway: GatewayId
    range: Range
    part: Arrived | None

    @property
    def origin(self) -> OriginKey:
        """Whose numbers they are."""
        return OriginKey(self.gateway, self.range.epoch, self.range.stream)


class Quarantined(NamedTuple):
    """One payload that cannot be stored."""

    gateway: GatewayId | None
    at: datetime
    reason: str
    payload: bytes


def claims(arrivals: Iterable[Arrival]) -> Iterator[Claim]:
    """Everything in `arrivals` that lays claim to sequence numbers, in order."""
    for arrival in arrivals:
        if arrival.gateway is None:
            continue
        for part in arrival.parts:
            yield Claim(arrival, arrival.gateway, part.range, part)
        for range_ in arrival.hello.receipted if arrival.hello else ():
            if range_.first <= range_.last:
                yield Claim(arrival, arrival.gateway, range_, None)


def can_be_known(claim: Claim) -> bool:
    """False when the numbers lie where the repeat check cannot look: they are refused each time."""
    return claim.range.last < SEQUENCE_END


@dataclass(slots=True)
class Group:
    """Rows that one transaction writes."""

    outcome: Outcome = field(default_factory=Outcome)
    gateways: dict[GatewayId, Row] = field(default_factory=dict)
    """id, first_seen_ms, last_seen_ms, epoch, software."""
    telemetry: list[Block] = field(default_factory=list)
    latest: dict[int, TelemetryRow] = field(default_factory=dict)
    """The newest row of each series."""
    released: list[Row] = field(default_factory=list)
    """series, at_ms, value, flag, clock."""
    others: Others = field(default_factory=Others)
    lost: dict[GatewayId, tuple[datetime, int]] = field(default_factory=dict)
    """How many numbers a gateway holds receipts for and no row is left of, with the time of its hello."""
    quarantined: list[Quarantined] = field(default_factory=list)
    changes: set[Change] = field(default_factory=set)
    at_ms: int = 0
    """When the newest of the messages came."""

    def see(self, arrivals: Iterable[Arrival]) -> None:
        """Take who has spoken, and the messages that cannot be read at all."""
        for arrival in arrivals:
            at_ms = to_ms(arrival.at)
            self.at_ms = max(self.at_ms, at_ms)
            if arrival.fault is not None:
                self._refuse(arrival.gateway, arrival.at, arrival.fault, arrival.payload)
            if arrival.gateway is None or (arrival.gateway in self.gateways and arrival.hello is None):
                continue
            said = (arrival.hello.epoch, arrival.hello.software) if arrival.hello else (None, None)
            self.gateways[arrival.gateway] = (arrival.gateway, at_ms, at_ms, *said)
            self.changes.add(Change("gateway", arrival.gateway, arrival.gateway))

    def take(self, claim: Claim, origin: int, fresh: Sequence[Span], things: Find, persons: Find) -> None:
        """Take what of `claim` is new: `fresh` are the parts of its range that nobody had claimed before."""
        part, outcome = claim.part, self.outcome
        if part is None:
            _, count = self.lost.get(claim.gateway, (claim.arrival.at, 0))
            self.lost[claim.gateway] = (claim.arrival.at, count + sum(last - first + 1 for first, last in fresh))
            return
        outcome.receipts.setdefault(claim.gateway, []).append(part.range)
        if not can_be_known(claim):
            self._refuse(claim.gateway, claim.arrival.at, _OUT_OF_RANGE, part.blob)
            return
        if not fresh:
            outcome.repeats += 1
            return
        if part.fault is not None:
            self._refuse(claim.gateway, claim.arrival.at, part.fault, part.blob)
            return
        measured, others = part.rows.measured, part.rows.others
        if [*fresh] != [(part.range.first, part.range.last)]:
            measured = [row for row in measured if holds(fresh, row[0])]
            others = [row for row in others if holds(fresh, row[0])]
        outcome.records += len(measured) + len(others)
        if part.purpose is None:
            self._telemetry(claim.gateway, origin, measured, things)
        else:
            self._released(part.purpose, measured, persons)
        source = Source(claim.gateway if part.purpose is None else None, part.purpose)
        self.changes |= self.others.add(source, [record for _, record in others])

    def finish(self) -> Outcome:
        """What the group amounts to, once everything was taken."""
        for gateway, (at, count) in self.lost.items():
            if count:
                gap = Gap(gateway, None, at, at, GapReason.HUB_RESTORED, count)
                self.changes |= self.others.add(Source(gateway, None), [gap])
        self.outcome.changes = list(self.changes)
        return self.outcome

    def _telemetry(self, gateway: GatewayId, origin: int, rows: Sequence[MeasuredRow], find: Find) -> None:
        # A city's readings all pass here: what can be is done by whole columns, three times as fast as row by row.
        if not rows:
            return
        block = Block.of(origin, list(map(find(gateway).__getitem__, map(_NAME, rows))), rows)
        self.telemetry.append(block)
        latest = self.latest
        for one, row in block.newest().items():
            sequence, subject, quantity, at_ms, *_ = row
            newest = latest.get(one)
            if newest is None:
                self.changes.add(Change("reading", gateway, subject, quantity))
            if newest is None or (at_ms, sequence) > (newest[1], newest[3]):
                latest[one] = (one, at_ms, origin, sequence, *row[4:])

    def _released(self, purpose: Purpose, rows: Sequence[MeasuredRow], find: Find) -> None:
        ids = find(purpose.value)
        for _, subject, quantity, at_ms, value, flag, clock in rows:
            self.released.append((ids[subject, quantity], at_ms, value, flag, clock))
            self.changes.add(Change("released", None, subject, quantity))

    def _refuse(self, gateway: GatewayId | None, at: datetime, reason: str, payload: bytes) -> None:
        self.quarantined.append(Quarantined(gateway, at, reason, payload))
        self.outcome.faults[gateway, reason] += 1
