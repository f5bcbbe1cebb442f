"""The store's engine over PostgreSQL: any number of workers in any number of processes."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self, TypeVar

from contract.errors import Unreachable
from hub.arrival import Arrival
from hub.store.dialect import Dialect
from hub.store.engine import Work
from hub.store.postgres.database import Connection, Connections, again, by_index, opening
from hub.store.postgres.dialect import POSTGRES, with_parameters
from hub.store.postgres.migrations import LOCK_CLASS, migrate
from hub.store.postgres.partitions import STRAY, WEEK_MS, drop_before
from hub.store.postgres.repeats import compact
from hub.store.postgres.writing import Writer
from hub.store.quarantine import Seal
from hub.store.script import Found, Script
from hub.store.selection import Question
from hub.store.writing import Outcome

_Answer = TypeVar("_Answer")

MOST_WRITERS = 8
MOST_READERS = 4
"""A hub process holds up to thirteen connections; PostgreSQL gives out a hundred unless told otherwise."""
MOST_LANES = 64
_MAINTENANCE_LOCK = 3
_FIRST_LANE_LOCK = 1000
_LANE = (
    "SELECT lane FROM generate_series(0, %s) AS lane WHERE pg_try_advisory_lock(%s, CAST(%s + lane AS integer)) LIMIT 1"
)


class PostgresEngine:
    """See hub.store.engine.Engine."""

    def __init__(self, url: str, seal: Seal) -> None:
        self._url = url
        self._writer = Writer(seal)
        self._lanes: dict[Connection, int] = {}
        self._writers = Connections(url, MOST_WRITERS, self._take_lane)
        self._readers = Connections(url, MOST_READERS, by_index)
        self._maintainers = Connections(url, 1, by_index)
        self._compacted = 0

    @property
    def dialect(self) -> Dialect:
        """PostgreSQL's."""
        return POSTGRES

    async def __aenter__(self) -> Self:
        async with opening(self._url) as connection:
            await migrate(connection)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._writers.close()
        await self._readers.close()
        await self._maintainers.close()

    async def ask(self, question: Question[_Answer]) -> _Answer:
        """The answer, from a connection of its own."""
        try:
            return await self._ask(question)
        except Unreachable:
            # The server may have been started anew since the connection was last used.
            await self._readers.forget_idle()
            return await self._ask(question)

    async def commit(self, arrivals: Sequence[Arrival]) -> Outcome:
        """Write `arrivals` in one transaction."""
        return await again(lambda: self._commit(arrivals))

    async def quarantined(self) -> Sequence[tuple[str, bytes]]:
        """Reason and sealed payload of everything that is kept, oldest first."""
        async with self._readers.taken() as connection:
            cursor = await connection.execute("SELECT reason, payload FROM quarantine ORDER BY id")
            return [(reason, bytes(payload)) for reason, payload in await cursor.fetchall()]

    async def maintain(self, work: Work[_Answer]) -> _Answer | None:
        """What `work` amounts to, in one transaction; None when another hub is at it."""
        return await again(lambda: self._maintain(work))

    async def tidy(self, now_ms: int, over_ms: int) -> bool:
        """Make the week that comes, drop the weeks that are over, merge claims that touch."""
        return await again(lambda: self._tidy(now_ms, over_ms))

    @property
    def whole(self) -> str | None:
        """Weeks are dropped whole; what lies outside of them goes by row."""
        return STRAY

    async def _maintain(self, work: Work[_Answer]) -> _Answer | None:
        async with self._maintainers.taken() as connection, connection.transaction():
            if not await _alone(connection):
                return None
            return await _run(connection, work())

    async def _tidy(self, now_ms: int, over_ms: int) -> bool:
        async with self._maintainers.taken() as connection:
            await self._writer.partitions.prepare(connection, (now_ms, now_ms + WEEK_MS), now_ms)
            async with connection.transaction():
                if not await _alone(connection):
                    return False
                if await drop_before(connection, over_ms):
                    self._writer.partitions.forget()
                self._compacted, more = await compact(connection, self._compacted)
        return more

    async def _ask(self, question: Question[_Answer]) -> _Answer:
        async with self._readers.taken() as connection:
            cursor = await connection.execute(with_parameters(question.statement), dict(question.arguments))
            row = await cursor.fetchone()
        return question.answer(row[0] if row else "[]")

    async def _commit(self, arrivals: Sequence[Arrival]) -> Outcome:
        async with self._writers.taken() as connection:
            return await self._writer.write(connection, self._lanes[connection], arrivals)

    async def _take_lane(self, connection: Connection) -> None:
        """A lane that no other open connection has; with more than MOST_LANES writers the first is shared."""
        self._lanes = {known: lane for known, lane in self._lanes.items() if not known.closed}
        cursor = await connection.execute(_LANE, (MOST_LANES - 1, LOCK_CLASS, _FIRST_LANE_LOCK))
        found = await cursor.fetchone()
        self._lanes[connection] = found[0] if found else 0


async def _alone(connection: Connection) -> bool:
    """True when no other hub maintains the database, until the transaction's end."""
    cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", (LOCK_CLASS, _MAINTENANCE_LOCK))
    return await cursor.fetchone() == (True,)


async def _run(connection: Connection, script: Script[_Answer]) -> _Answer:
    found: Found = ()
    try:
        statement = next(script)
        while True:
            cursor = await connection.execute(with_parameters(statement.text), dict(statement.arguments))
            found = await cursor.fetchall() if cursor.description else [(cursor.rowcount,)]
            statement = script.send(found)
    except StopIteration as end:
        result: _Answer = end.value
        return result
