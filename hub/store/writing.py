"""What one transaction does with a group of arrivals: repeat check, rows, latest, ranges. Runs in the file's thread."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from cloud_sync.blob import to_ms
from contract.consent import Purpose
from contract.ids import GatewayId
from contract.record import Range
from hub.arrival import Arrival, Arrived, MeasuredRow
from hub.feed import Change
from hub.store.database import Connection
from hub.store.events import Source, write_others
from hub.store.insertion import Row, insert
from hub.store.quarantine import Quarantine
from hub.store.ranges import Span, holds, merged, unknown

_REPLACE_OLDER = (
    "ON CONFLICT (series) DO UPDATE SET at_ms = excluded.at_ms, origin = excluded.origin, "
    "sequence = excluded.sequence, value = excluded.value, flag = excluded.flag, clock = excluded.clock "
    "WHERE (excluded.at_ms, excluded.sequence) > (latest.at_ms, latest.sequence)"
)
_SEE_AGAIN = (
    "ON CONFLICT (id) DO UPDATE SET last_seen_ms = max(last_seen_ms, excluded.last_seen_ms), "
    "epoch = coalesce(excluded.epoch, epoch), software = coalesce(excluded.software, software)"
)
_MEASURED = "series, at_ms, origin, sequence, value, flag, clock"


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


@dataclass(slots=True)
class _Group:
    """What the transaction under way has collected."""

    outcome: Outcome = field(default_factory=Outcome)
    known: dict[int, list[Span]] = field(default_factory=dict)
    telemetry: list[Row] = field(default_factory=list)
    released: list[Row] = field(default_factory=list)
    latest: dict[int, Row] = field(default_factory=dict)
    changes: set[Change] = field(default_factory=set)


class Writer:
    """Writes groups of arrivals; remembers the ids of series and origins that are committed."""

    def __init__(self, quarantine: Quarantine) -> None:
        self._quarantine = quarantine
        self._ids: dict[tuple[str, ...], int] = {}

    def write(self, connection: Connection, arrivals: Sequence[Arrival]) -> Outcome:
        """Write `arrivals` within the open transaction: each record exactly once, whatever is repeated."""
        try:
            return self._write(connection, arrivals)
        except BaseException:
            # The transaction will be rolled back, and with it the ids given out in it.
            self._ids.clear()
            raise

    def _write(self, connection: Connection, arrivals: Sequence[Arrival]) -> Outcome:
        group = _Group()
        _see_gateways(connection, arrivals, group)
        parts = [
            (arrival, part, self._origin(connection, arrival, part)) for arrival in arrivals for part in arrival.parts
        ]
        loaded = _load_known(connection, [(origin, part.range) for _, part, origin in parts])
        group.known = {origin: list(spans) for origin, spans in loaded.items()}
        for arrival in arrivals:
            if arrival.fault is not None:
                self._quarantine.keep(connection, arrival.gateway, arrival.at, arrival.fault, arrival.payload)
                group.outcome.faults[arrival.gateway, arrival.fault] += 1
        for arrival, part, origin in parts:
            self._part(connection, group, arrival, part, origin)
        insert(connection, "telemetry", _MEASURED, group.telemetry)
        insert(connection, "latest", _MEASURED, list(group.latest.values()), _REPLACE_OLDER)
        insert(connection, "released", "series, at_ms, value, flag, clock", group.released)
        _store_known(connection, loaded, group.known)
        group.outcome.changes = list(group.changes)
        return group.outcome

    def _part(self, connection: Connection, group: _Group, arrival: Arrival, part: Arrived, origin: int) -> None:
        gateway, outcome = _gateway_of(arrival), group.outcome
        outcome.receipts.setdefault(gateway, []).append(part.range)
        first, last = part.range.first, part.range.last
        fresh = unknown(group.known[origin], first, last)
        if not fresh:
            outcome.repeats += 1
            return
        group.known[origin] = merged([*group.known[origin], (first, last)])
        if part.fault is not None:
            self._quarantine.keep(connection, gateway, arrival.at, part.fault, part.blob)
            outcome.faults[gateway, part.fault] += 1
            return
        measured, others = part.rows.measured, part.rows.others
        if fresh != [(first, last)]:
            measured = [row for row in measured if holds(fresh, row[0])]
            others = [row for row in others if holds(fresh, row[0])]
        outcome.records += len(measured) + len(others)
        if part.purpose is None:
            self._telemetry(connection, group, gateway, origin, measured)
        else:
            self._released(connection, group, part.purpose, measured)
        source = Source(gateway if part.purpose is None else None, part.purpose)
        group.changes.update(write_others(connection, source, [record for _, record in others]))

    def _telemetry(
        self, connection: Connection, group: _Group, gateway: GatewayId, origin: int, rows: Sequence[MeasuredRow]
    ) -> None:
        ids, latest, append = self._ids, group.latest, group.telemetry.append
        for sequence, subject, quantity, at_ms, value, flag, clock in rows:
            key = ("series", gateway, subject, quantity)
            series = ids.get(key)
            if series is None:
                series = self._id(connection, key, "gateway, device, quantity")
            row = (series, at_ms, origin, sequence, value, flag, clock)
            append(row)
            newest = latest.get(series)
            if newest is None:
                group.changes.add(Change("reading", gateway, subject, quantity))
                latest[series] = row
            elif (at_ms, sequence) > (newest[1], newest[3]):
                latest[series] = row

    def _released(self, connection: Connection, group: _Group, purpose: Purpose, rows: Sequence[MeasuredRow]) -> None:
        for _, subject, quantity, at_ms, value, flag, clock in rows:
            key = ("released_series", purpose.value, subject, quantity)
            series = self._ids.get(key)
            if series is None:
                series = self._id(connection, key, "purpose, subject, quantity")
            group.released.append((series, at_ms, value, flag, clock))
            group.changes.add(Change("released", None, subject, quantity))

    def _origin(self, connection: Connection, arrival: Arrival, part: Arrived) -> int:
        key = ("origin", _gateway_of(arrival), part.range.epoch, part.range.stream.value)
        return self._ids.get(key) or self._id(connection, key, "gateway, epoch, stream")

    def _id(self, connection: Connection, key: tuple[str, ...], columns: str) -> int:
        """The row id of `key` (table, then the values of `columns`), which is made when it is new."""
        table, *values = key
        where = columns.replace(", ", " = ? AND ") + " = ?"
        found = connection.execute(f"SELECT id FROM {table} WHERE {where}", values).fetchone()  # noqa: S608
        if found is None:
            statement = f"INSERT INTO {table} ({columns}) VALUES (?, ?, ?) RETURNING id"  # noqa: S608
            found = connection.execute(statement, values).fetchone()
        self._ids[key] = found[0]
        return self._ids[key]


def _gateway_of(arrival: Arrival) -> GatewayId:
    if arrival.gateway is None:
        raise RuntimeError("parts come from a gateway")
    return arrival.gateway


def _see_gateways(connection: Connection, arrivals: Sequence[Arrival], group: _Group) -> None:
    rows: dict[GatewayId, Row] = {}
    for arrival in arrivals:
        if arrival.gateway is None or (arrival.gateway in rows and arrival.hello is None):
            continue
        at_ms, hello = to_ms(arrival.at), arrival.hello
        said = (hello.epoch, hello.software) if hello else (None, None)
        rows[arrival.gateway] = (arrival.gateway, at_ms, at_ms, *said)
        group.changes.add(Change("gateway", arrival.gateway, arrival.gateway))
    insert(connection, "gateway", "id, first_seen_ms, last_seen_ms, epoch, software", list(rows.values()), _SEE_AGAIN)


def _load_known(connection: Connection, parts: Sequence[tuple[int, Range]]) -> dict[int, list[Span]]:
    """For each origin the spans that touch any of its parts: all that the group can change."""
    reach: dict[int, Span] = {}
    for origin, range_ in parts:
        first, last = reach.get(origin, (range_.first, range_.last))
        reach[origin] = (min(first, range_.first), max(last, range_.last))
    known = {}
    for origin, (first, last) in reach.items():
        # Spans are disjoint, so only the last one that starts before `first` can reach into it.
        rows = connection.execute(
            "SELECT first, last FROM seen WHERE origin = ?1 AND first <= ?3 + 1 AND first >= coalesce("
            "(SELECT max(first) FROM seen WHERE origin = ?1 AND first < ?2), 0) ORDER BY first",
            (origin, first, last),
        )
        known[origin] = rows.fetchall()
    return known


def _store_known(connection: Connection, before: dict[int, list[Span]], after: dict[int, list[Span]]) -> None:
    rows: list[Row] = []
    for origin, spans in after.items():
        if spans == before[origin]:
            continue
        if before[origin]:
            limits = (origin, before[origin][0][0], before[origin][-1][0])
            connection.execute("DELETE FROM seen WHERE origin = ? AND first BETWEEN ? AND ?", limits)
        rows.extend((origin, first, last) for first, last in spans)
    insert(connection, "seen", "origin, first, last", rows)
