"""One transaction of a group of arrivals in PostgreSQL, on a connection of one worker."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from hub.arrival import Arrival
from hub.store import events, quarantine
from hub.store.postgres import copying
from hub.store.postgres.copying import array
from hub.store.postgres.database import Connection
from hub.store.postgres.ids import Ids
from hub.store.postgres.partitions import Partitions
from hub.store.postgres.repeats import claim
from hub.store.quarantine import Seal
from hub.store.ranges import Span
from hub.store.rollups import NOTE, note
from hub.store.selection import Row, TelemetryRow
from hub.store.writing import Claim, Group, Outcome, can_be_known, claims

_LATEST = (
    "INSERT INTO latest_lane (series, lane, at_ms, origin, sequence, value, text, flag, clock) "
    "SELECT series, %s, at_ms, origin, sequence, value, text, flag, clock FROM unnest(%s::int4[], %s::int8[], "
    "%s::int4[], %s::int8[], %s::float8[], %s::text[], %s::int2[], %s::int2[]) "
    "AS new (series, at_ms, origin, sequence, value, text, flag, clock) "
    "ON CONFLICT (series, lane) DO UPDATE SET at_ms = excluded.at_ms, origin = excluded.origin, "
    "sequence = excluded.sequence, value = excluded.value, text = excluded.text, flag = excluded.flag, "
    "clock = excluded.clock "
    "WHERE (excluded.at_ms, excluded.sequence) > (latest_lane.at_ms, latest_lane.sequence)"
)
_SEE = (
    "INSERT INTO gateway_lane (gateway, lane, first_seen_ms, last_seen_ms, hello_ms, epoch, software) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (gateway, lane) DO UPDATE SET "
    "last_seen_ms = greatest(gateway_lane.last_seen_ms, excluded.last_seen_ms), "
    "hello_ms = coalesce(excluded.hello_ms, gateway_lane.hello_ms), "
    "epoch = coalesce(excluded.epoch, gateway_lane.epoch), "
    "software = coalesce(excluded.software, gateway_lane.software)"
)
_ALERT = (
    f"WITH told AS (INSERT INTO alert_event ({events.ALERT}) VALUES ({', '.join(['%s'] * 15)}) RETURNING id) "
    f"INSERT INTO alarm ({events.ALARM}) SELECT %s, %s, %s, %s, id, %s FROM told {events.FOLLOW_ALARM}"
)
# What another worker is just forgetting is not waited for.
_FORGET = (
    "DELETE FROM quarantine WHERE id IN (SELECT id FROM quarantine "
    "WHERE at_ms < %s OR id <= (SELECT max(id) FROM quarantine) - %s FOR UPDATE SKIP LOCKED)"
)


class Writer:
    """Writes groups of arrivals; one for all workers of a process."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal
        self._ids = Ids()
        self.partitions = Partitions()

    async def write(self, connection: Connection, lane: int, arrivals: Sequence[Arrival]) -> Outcome:
        """Write `arrivals` in one transaction: each record exactly once, whoever else writes the same."""
        group = Group()
        group.see(arrivals)
        claimed = list(claims(arrivals))
        await self._ids.learn(connection, claimed)
        await self.partitions.prepare(connection, _times_ms(claimed), group.at_ms)
        # BEGIN goes with the claims and COMMIT with the last rows: on a busy machine a round trip costs as much as a
        # hundred rows. Where anything fails the connection is dropped, and the transaction with it.
        taken = self._taken(group, claimed, await self._fresh(connection, claimed))
        if any(one.part is not None and one.part.purpose is None for one in claimed):
            # The server stores one part while the next is taken.
            blocks = (block for before in taken for block in group.telemetry[before:])
            await _copy(connection, f"telemetry ({copying.TELEMETRY})", copying.telemetry(blocks))
        else:
            deque(taken, maxlen=0)
        outcome = group.finish()
        if group.released:
            await _copy(connection, f"released ({copying.RELEASED})", copying.released(group.released))
        async with connection.pipeline():
            await self._insert(connection, lane, group)
            await connection.execute("COMMIT")
        return outcome

    async def _fresh(self, connection: Connection, claimed: Sequence[Claim]) -> list[list[Span]]:
        """Of each claim that can be known, in order, what is new; begins the transaction."""
        known = [one for one in claimed if can_be_known(one)]
        return await claim(connection, [(self._ids.origin(o.origin), (o.range.first, o.range.last)) for o in known])

    def _taken(self, group: Group, claimed: Sequence[Claim], fresh: Sequence[list[Span]]) -> Iterator[int]:
        """Take one claim after the other; yields after each how many blocks of telemetry there were before it."""
        spans = iter(fresh)
        for one in claimed:
            before = len(group.telemetry)
            origin, new = (self._ids.origin(one.origin), next(spans)) if can_be_known(one) else (0, [])
            group.take(one, origin, new, self._ids.things, self._ids.persons)
            yield before

    async def _insert(self, connection: Connection, lane: int, group: Group) -> None:
        if group.latest:
            await connection.execute(_LATEST, (lane, *_latest_columns(list(group.latest.values()))))
        await _insert_each(connection, "touched", NOTE, note(group.telemetry, group.at_ms))
        for gateway, (_, first_ms, last_ms, epoch, software) in sorted(group.gateways.items()):
            hello_ms = None if epoch is None else last_ms
            await connection.execute(_SEE, (gateway, lane, first_ms, last_ms, hello_ms, epoch, software))
        others = group.others
        await _insert_each(connection, "aggregate", events.AGGREGATE, others.aggregates)
        await _insert_each(connection, "gap", events.GAP, others.gaps)
        # In one order by all workers: two that follow the same alarms would wait for each other.
        for alert in sorted(others.alerts, key=lambda alert: alert.key):
            await connection.execute(_ALERT, (*alert.event, *alert.key, alert.at_ms, alert.is_cleared))
        if group.quarantined:
            rows = [self._seal.row(refused) for refused in group.quarantined]
            await _insert_each(connection, "quarantine", quarantine.COLUMNS, rows)
            await connection.execute(_FORGET, (quarantine.expired_ms(group.at_ms), quarantine.MOST_PAYLOADS))


async def _copy(connection: Connection, table: str, chunks: Iterator[bytes]) -> None:
    async with connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as copy:
        for chunk in chunks:
            await copy.write(chunk)


async def _insert_each(connection: Connection, table: str, columns: str, rows: Sequence[Row]) -> None:
    if rows:
        places = ", ".join(["%s"] * (columns.count(",") + 1))
        async with connection.cursor() as cursor:
            await cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({places})", rows)


def _latest_columns(rows: Sequence[TelemetryRow]) -> list[str]:
    series, at_ms, origin, sequence, values, flags, clocks = zip(*rows, strict=True)
    numbers = [value if isinstance(value, float) else None for value in values]
    texts = [value if isinstance(value, str) else None for value in values]
    columns: tuple[Sequence[Any], ...] = (series, at_ms, origin, sequence, numbers, texts, flags, clocks)
    return [array(column) for column in columns]


def _times_ms(claimed: Sequence[Claim]) -> Iterator[int]:
    """The first and last time of each part of things: a week between them is stray until its own time comes."""
    for one in claimed:
        rows = one.part.rows.measured if one.part is not None and one.part.purpose is None else ()
        if rows:
            yield from (rows[0][3], rows[-1][3])
