"""SQLite files of a gateway: the one module of the agent that imports sqlite3. One thread a file, own errors."""

import asyncio
import itertools
import logging
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from contract.errors import KanmonError, StoreFull, Tampered, Unreachable

Connection = sqlite3.Connection
Result = TypeVar("Result")

BUSY_TIMEOUT_S = 5.0
log = logging.getLogger(__name__)
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class Database:
    """One SQLite file (WAL, synchronous FULL) behind one thread. `migrations` are SQL scripts, applied in order."""

    def __init__(self, path: Path, migrations: Sequence[str]) -> None:
        self._path = path
        self._migrations = migrations
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"store-{path.stem}")
        self._connection: Connection | None = None

    async def __aenter__(self) -> Self:
        """Open or create the file, readable by its owner only, and bring its schema up to date."""
        loop = asyncio.get_running_loop()
        try:
            self._connection = await loop.run_in_executor(self._executor, self._translated, self._open)
        except BaseException:
            self._executor.shutdown(wait=False)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._executor, connection.close))
        self._executor.shutdown(wait=True)

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work` in one transaction."""

        def transact() -> Result:
            connection = self._opened()
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                return work(connection)

        return await self._run(transact)

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work`, which only reads."""
        return await self._run(lambda: work(self._opened()))

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

    def _opened(self) -> Connection:
        if self._connection is None:
            raise Unreachable(f"{self._path.name} is not open")
        return self._connection

    def _open(self) -> Connection:
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            if _code(error) not in _DAMAGED:
                raise
        # A gateway that does not start rings no alarm: it goes on without what the damaged file held.
        aside = self._set_aside()
        log.error("%s is damaged and was set aside as %s; what it held is not sent", self._path.name, aside)
        return self._connect()

    def _set_aside(self) -> str:
        number = next(n for n in itertools.count(1) if not self._aside(n).exists())
        for suffix in ("", "-wal", "-shm"):
            part = self._path.with_name(self._path.name + suffix)
            if part.exists():
                part.rename(self._aside(number).with_name(self._aside(number).name + suffix))
        return self._aside(number).name

    def _aside(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.damaged-{number}")

    def _connect(self) -> Connection:
        self._path.touch(mode=0o600, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA temp_store = MEMORY")
        # What is deleted is overwritten: a forgotten record does not rest in a free page.
        connection.execute("PRAGMA secure_delete = ON")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        for number, script in enumerate(self._migrations[version:], start=version + 1):
            connection.executescript(f"BEGIN; {script}; PRAGMA user_version = {number}; COMMIT;")

    def _translated(self, work: Callable[[], Result]) -> Result:
        """SQLite's errors as our families: a full or failing disk, a damaged file, anything else."""
        try:
            return work()
        except sqlite3.Error as error:
            raise _family(_code(error))(f"{self._path.name}: {error}") from error
        except OSError as error:
            raise StoreFull(f"{self._path.name}: {error.strerror}") from error


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _family(code: int) -> type[KanmonError]:
    if code in _FULL:
        return StoreFull
    return Tampered if code in _DAMAGED else Unreachable
