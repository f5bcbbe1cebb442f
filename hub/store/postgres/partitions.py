"""The weeks of telemetry: a partition is made when the first row of its week comes, and dropped whole when over.

Made outside the ingest's transaction. Rows of weeks far from now go to `telemetry_stray`, so that a gateway with a
wrong clock makes no tables; a week that comes takes its rows from there.
"""

from collections.abc import Iterable

from hub.store.postgres.database import Connection
from hub.store.postgres.migrations import LOCK_CLASS

WEEK_MS = 7 * 86_400_000
WEEKS_BACK = 60
WEEKS_AHEAD = 1
STRAY = "telemetry_stray"
_LOCK = 2
_PATIENCE = "SET LOCAL lock_timeout = '5s'"


class Partitions:
    """What this process knows of the weeks that have a partition."""

    def __init__(self) -> None:
        self._known: set[int] = set()

    async def prepare(self, connection: Connection, times_ms: Iterable[int], now_ms: int) -> None:
        """Have a partition for the week of each time that is not far from now. Not within a transaction."""
        this = now_ms // WEEK_MS
        weeks = {at_ms // WEEK_MS for at_ms in times_ms} - self._known
        for week in sorted(weeks):
            if this - WEEKS_BACK <= week <= this + WEEKS_AHEAD:
                await _make(connection, week)
                self._known.add(week)

    def forget(self) -> None:
        """Look again: some were dropped."""
        self._known.clear()


async def drop_before(connection: Connection, end_ms: int) -> int:
    """Drop the partitions that hold nothing from `end_ms` on, within the open transaction; returns how many."""
    await connection.execute(_PATIENCE)
    over = [week for week in await _weeks(connection) if (week + 1) * WEEK_MS <= end_ms]
    for week in over:
        await connection.execute(f"DROP TABLE {_name(week)}")
    return len(over)


async def _weeks(connection: Connection) -> list[int]:
    cursor = await connection.execute(
        "SELECT CAST(substr(c.relname, 12) AS integer) FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = CAST('telemetry' AS regclass) AND c.relname LIKE 'telemetry_w%%' ORDER BY 1",
        (),
    )
    return [week for (week,) in await cursor.fetchall()]


async def _make(connection: Connection, week: int) -> None:
    name, start, end = _name(week), week * WEEK_MS, (week + 1) * WEEK_MS
    async with connection.transaction():
        await connection.execute(_PATIENCE)
        await connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCK_CLASS, _LOCK))
        cursor = await connection.execute("SELECT to_regclass(%s)", (name,))
        if await cursor.fetchone() != (None,):
            return
        # Made apart and then attached: CREATE TABLE ... PARTITION OF would lock out every reader and writer.
        await connection.execute(f"CREATE TABLE {name} (LIKE telemetry INCLUDING INDEXES)")
        await connection.execute(f"LOCK TABLE {STRAY} IN ACCESS EXCLUSIVE MODE")
        await connection.execute(
            f"WITH moved AS (DELETE FROM {STRAY} WHERE at_ms >= {start} AND at_ms < {end} RETURNING *) "
            f"INSERT INTO {name} SELECT * FROM moved"
        )
        await connection.execute(f"ALTER TABLE telemetry ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end})")


def _name(week: int) -> str:
    return f"telemetry_w{week}"
