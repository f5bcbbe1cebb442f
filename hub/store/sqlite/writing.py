"""One transaction of a group of arrivals in SQLite. Runs in the file's thread."""

from collections.abc import Callable, Sequence

from hub.arrival import Arrival
from hub.store import events, quarantine
from hub.store.quarantine import Seal
from hub.store.ranges import Span, merged, unknown
from hub.store.rollups import NOTE, note
from hub.store.selection import Row
from hub.store.sqlite.database import Connection
from hub.store.sqlite.insertion import insert
from hub.store.writing import Claim, Group, OriginKey, Outcome, can_be_known, claims

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
_FORGET = "DELETE FROM quarantine WHERE at_ms < ? OR id <= (SELECT max(id) FROM quarantine) - ?"


class _Ids(dict[tuple[str, str], int]):
    """Ids of the series of one owner, each looked up or made when it is first asked for."""

    def __init__(self, make: Callable[[tuple[str, str]], int]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: tuple[str, str]) -> int:
        self[key] = made = self._make(key)
        return made


class Writer:
    """Writes groups of arrivals; remembers the ids of series and origins that are committed."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal
        self._things: dict[str, _Ids] = {}
        self._persons: dict[str, _Ids] = {}
        self._origins: dict[OriginKey, int] = {}

    def write(self, connection: Connection, arrivals: Sequence[Arrival]) -> Outcome:
        """Write `arrivals` within the open transaction: each record exactly once, whatever is repeated."""
        try:
            return self._write(connection, arrivals)
        except BaseException:
            # The transaction will be rolled back, and with it the ids given out in it.
            for ids in (self._things, self._persons, self._origins):
                ids.clear()
            raise

    def _write(self, connection: Connection, arrivals: Sequence[Arrival]) -> Outcome:
        def things(gateway: str) -> _Ids:
            return self._series(connection, self._things, "series (gateway, device, quantity)", gateway)

        def persons(purpose: str) -> _Ids:
            return self._series(connection, self._persons, "released_series (purpose, subject, quantity)", purpose)

        group = Group()
        group.see(arrivals)
        claimed = [(claim, self._origin(connection, claim.origin)) for claim in claims(arrivals)]
        loaded = _load_known(connection, claimed)
        known = {origin: list(spans) for origin, spans in loaded.items()}
        for claim, origin in claimed:
            fresh: list[Span] = []
            if can_be_known(claim):
                span = (claim.range.first, claim.range.last)
                fresh = unknown(known[origin], *span)
                known[origin] = merged([*known[origin], span])
            group.take(claim, origin, fresh, things, persons)
        outcome = group.finish()
        self._insert(connection, group)
        _store_known(connection, loaded, known)
        return outcome

    def _insert(self, connection: Connection, group: Group) -> None:
        gateways = list(group.gateways.values())
        insert(connection, "gateway", "id, first_seen_ms, last_seen_ms, epoch, software", gateways, _SEE_AGAIN)
        telemetry = [row for block in group.telemetry for row in block.as_rows()]
        insert(connection, "telemetry", _MEASURED, telemetry)
        insert(connection, "latest", _MEASURED, list(group.latest.values()), _REPLACE_OLDER)
        insert(connection, "touched", NOTE, note(group.telemetry, group.at_ms))
        insert(connection, "released", "series, at_ms, value, flag, clock", group.released)
        insert(connection, "aggregate", events.AGGREGATE, group.others.aggregates)
        insert(connection, "gap", events.GAP, group.others.gaps)
        for alert in group.others.alerts:
            insert(connection, "alert_event", events.ALERT, [alert.event])
            (event,) = connection.execute("SELECT last_insert_rowid()").fetchone()
            insert(connection, "alarm", events.ALARM, [alert.alarm(event)], events.FOLLOW_ALARM)
        if group.quarantined:
            rows = [self._seal.row(refused) for refused in group.quarantined]
            insert(connection, "quarantine", quarantine.COLUMNS, rows)
            connection.execute(_FORGET, (quarantine.expired_ms(group.at_ms), quarantine.MOST_PAYLOADS))

    def _origin(self, connection: Connection, key: OriginKey) -> int:
        if key not in self._origins:
            self._origins[key] = _id(connection, "origin (gateway, epoch, stream)", key)
        return self._origins[key]

    @staticmethod
    def _series(connection: Connection, known: dict[str, _Ids], table: str, owner: str) -> _Ids:
        if owner not in known:
            known[owner] = _Ids(lambda key: _id(connection, table, (owner, *key)))
        return known[owner]


def _id(connection: Connection, table: str, key: tuple[str, str, str]) -> int:
    """The id of the row of `table`, "name (columns)", whose columns hold `key`; it is made when it is new."""
    name, _, columns = table.partition(" ")
    found = connection.execute(f"SELECT id FROM {name} WHERE {columns} = (?, ?, ?)", key).fetchone()
    if found is None:
        found = connection.execute(f"INSERT INTO {table} VALUES (?, ?, ?) RETURNING id", key).fetchone()
    made: int = found[0]
    return made


def _load_known(connection: Connection, claimed: Sequence[tuple[Claim, int]]) -> dict[int, list[Span]]:
    """For each origin the spans that touch any of its claims: all that the group can change."""
    reach: dict[int, Span] = {}
    for claim, origin in claimed:
        if can_be_known(claim):
            first, last = reach.get(origin, (claim.range.first, claim.range.last))
            reach[origin] = (min(first, claim.range.first), max(last, claim.range.last))
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
