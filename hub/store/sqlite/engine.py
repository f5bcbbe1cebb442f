"""The store's engine over one SQLite file: one process, one writer."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from hub.arrival import Arrival
from hub.store.dialect import Dialect
from hub.store.quarantine import Seal
from hub.store.selection import Question
from hub.store.sqlite.database import Database
from hub.store.sqlite.dialect import SQLITE
from hub.store.sqlite.writing import Writer
from hub.store.writing import Outcome

_Answer = TypeVar("_Answer")


class SqliteEngine:
    """See hub.store.engine.Engine."""

    def __init__(self, path: Path, seal: Seal) -> None:
        self._database = Database(path)
        self._writer = Writer(seal)

    @property
    def dialect(self) -> Dialect:
        """SQLite's."""
        return SQLITE

    async def __aenter__(self) -> Self:
        await self._database.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
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
