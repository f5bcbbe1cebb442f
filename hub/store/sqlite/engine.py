"""The store's engine over one SQLite file: one process, one writer."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from hub.arrival import Arrival
from hub.store.dialect import Dialect
from hub.store.engine import Work
from hub.store.quarantine import Seal
from hub.store.script import Found, Statement
from hub.store.selection import Question
from hub.store.sqlite.database import Connection, Database
from hub.store.sqlite.dialect import SQLITE
from hub.store.sqlite.writing import Writer
from hub.store.writing import Outcome

_Answer = TypeVar("_Answer")


class SqliteEngine:
    """See hub.store.engine.Engine."""

    def __init__(self, path: Path, seal: Seal) -> None:
        self._database, self._aside = Database(path), Database(path)
        self._writer = Writer(seal)

    @property
    def dialect(self) -> Dialect:
        """SQLite's."""
        return SQLITE

    async def __aenter__(self) -> Self:
        await self._database.__aenter__()
        try:
            await self._aside.__aenter__()
        except BaseException:
            await self._database.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._aside.__aexit__(kind, error, traceback)
        await self._database.__aexit__(kind, error, traceback)

    async def ask(self, question: Question[_Answer]) -> _Answer:
        """The answer, read in the file's thread."""
        return await self._database.read(
            lambda c: question.answer(c.execute(question.statement, dict(question.arguments)).fetchone()[0])
        )

    async def commit(self, arrivals: Sequence[Arrival]) -> Outcome:
        """Write `arrivals` in one transaction."""
        return await self._database.transact(lambda c: self._writer.write(c, arrivals))

    async def quarantined(self) -> Sequence[tuple[str, bytes]]:
        """Reason and sealed payload of everything that is kept, oldest first."""
        statement = "SELECT reason, payload FROM quarantine ORDER BY id"
        return await self._database.read(lambda c: c.execute(statement).fetchall())

    async def maintain(self, work: Work[_Answer]) -> _Answer | None:
        """What `work` amounts to. Each change is a transaction of its own, and what is only read has its own thread.

        So a commit waits for one statement at most, and never for a day of telemetry to be added up.
        """
        script = work()
        try:
            statement = next(script)
            while True:
                statement = script.send(await self._done(statement))
        except StopIteration as end:
            result: _Answer = end.value
            return result

    async def _done(self, statement: Statement) -> Found:
        if statement.is_read:
            return await self._aside.read(lambda c: _found(c, statement))
        return await self._database.transact(lambda c: _found(c, statement))

    async def tidy(self, now_ms: int, over_ms: int) -> bool:  # noqa: ARG002  # the interface's
        """Nothing: ranges are merged as they come."""
        return False

    @property
    def whole(self) -> str | None:
        """All telemetry is removed row by row."""
        return None


def _found(connection: Connection, statement: Statement) -> Found:
    cursor = connection.execute(statement.text, dict(statement.arguments))
    return cursor.fetchall() if cursor.description else [(cursor.rowcount,)]
