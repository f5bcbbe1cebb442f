"""SQLite files of a gateway: one connection and one thread a file, SQLite's errors as our families.

A file that is damaged, deleted or replaced does not stop the gateway: what can be kept goes into a new file
(`agent.store_file`), and whoever works on it is told by `Renewed`.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from agent.sqlite import Connection, DatabaseError, is_damage, translated
from agent.store_file import Origin, StoreFile
from contract.errors import Tampered, Unreachable

Result = TypeVar("Result")


class Damaged(Tampered):
    """The file holds what was never written into it."""


class Renewed(Tampered):
    """The work was not done, since its file had to be made anew: read again what is known of it, then do the work."""


class Database:
    """One SQLite file (WAL, synchronous FULL) behind one thread. `migrations` are SQL scripts, applied in order."""

    def __init__(self, path: Path, migrations: Sequence[str]) -> None:
        self._file = StoreFile(path, migrations)
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"store-{path.stem}")
        self._connection: Connection | None = None
        self._is_entered = False
        self.is_stale = False
        """True while a file that was made anew waits for `resume`."""

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return self._file.path

    @property
    def origin(self) -> Origin:
        """How the file that is open came about."""
        return self._file.origin

    async def __aenter__(self) -> Self:
        """Open or create the file, readable by its owner only, and bring its schema up to date."""
        loop = asyncio.get_running_loop()
        try:
            self._connection = await loop.run_in_executor(self._executor, self._translated, self._open)
            self._is_entered = True
        except BaseException:
            self._executor.shutdown(wait=False)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        connection, self._connection, self._is_entered = self._connection, None, False
        if connection is not None:
            await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._executor, connection.close))
        self._executor.shutdown(wait=True)

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work` in one transaction. Renewed when the file had to be made anew; `work` was not done then."""
        return await self._run(lambda: self._renewing(lambda: self._transact(work)))

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work`, which only reads. Renewed as by `write`."""
        return await self._run(lambda: self._renewing(lambda: work(self._opened())))

    async def resume(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work`, which reads again what is known of a file that was made anew. Until then nothing else is done."""

        def transact() -> Result:
            self.is_stale = False
            try:
                return self._transact(work)
            except BaseException:
                self.is_stale = True
                raise

        return await self._run(lambda: self._renewing(transact))

    async def beside(self, work: Callable[[], Result]) -> Result:
        """Run `work`, which is about another file beside this one, in this file's thread."""
        return await self._run(work)

    async def _run(self, work: Callable[[], Result]) -> Result:
        """The result of `work`, which is finished even when the caller is cancelled.

        CancelledError is then raised after the work was done; when it failed, its own error is.
        """
        future = asyncio.get_running_loop().run_in_executor(self._executor, self._translated, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            future.result()
            raise

    def _transact(self, work: Callable[[Connection], Result]) -> Result:
        self._follow()
        connection = self._opened()
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            return work(connection)

    def _opened(self) -> Connection:
        if self._connection is None:
            if not self._is_entered:
                raise Unreachable(f"{self.path.name} is not open")
            self._connection = self._open()  # it was lost when the disk did not take its successor
        if self.is_stale:
            raise Renewed(f"{self.path.name} was made anew")
        return self._connection

    def _open(self) -> Connection:
        try:
            return self._file.open()
        except DatabaseError as error:
            if not is_damage(error):
                raise
        # A gateway that does not start rings no alarm: it goes on with what can still be read.
        return self._file.salvaged()

    def _follow(self) -> None:
        """Renewed when the file is no longer the one that is open: what it held lies in a new one then."""
        if self._connection is None or self._file.is_in_place():
            return
        self._file.keep(self._connection)
        moved, self._connection, self.is_stale = self._connection, None, True
        moved.close()
        self._connection = self._file.kept()
        raise Renewed(f"{self.path.name} was deleted or replaced")

    def _renewing(self, work: Callable[[], Result]) -> Result:
        try:
            return work()
        except (DatabaseError, Damaged) as error:
            if not isinstance(error, Damaged) and not is_damage(error):
                raise
            broken, self._connection, self.is_stale = self._connection, None, True
            if broken is not None:
                broken.close()
            self._connection = self._file.salvaged()
            raise Renewed(f"{self.path.name} is damaged") from error

    def _translated(self, work: Callable[[], Result]) -> Result:
        return translated(self.path.name, work)
