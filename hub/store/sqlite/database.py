"""The hub's module that knows sqlite3: one file, one connection, one thread of its own.

WAL with synchronous FULL: what `transact` has returned from survives a power cut. Library errors leave as our
families: StoreFull (disk), Tampered (file is no database of ours), ProtocolError (a value no database can hold).
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from contract.errors import Fault, KanmonError, Misconfigured, ProtocolError, StoreFull, Tampered
from hub.store.sqlite.migrations import MIGRATIONS

Connection = sqlite3.Connection
_Result = TypeVar("_Result")

_UNWRITABLE_CODES = frozenset(
    {
        *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN),
        # Somebody has held the file for longer than sqlite3's own patience of 5 s.
        *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED),
    }
)
_BROKEN_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Database:
    """An open database file; entering opens and migrates it, leaving waits for the step under way."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=path.stem)
        self._open: Connection | None = None

    async def __aenter__(self) -> Self:
        try:
            self._open = await self._in_thread(lambda: _connect(self._path))
        except BaseException:
            self._thread.shutdown()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Waits in the loop's own thread: the step under way is at most one commit, and the loop is ending.
        if self._open is not None:
            self._thread.submit(self._open.close)
        self._thread.shutdown()

    async def read(self, work: Callable[[Connection], _Result]) -> _Result:
        """The result of `work`, run in the file's thread outside a transaction."""
        return await self._in_thread(lambda: _translated(work, self._connection()))

    async def transact(self, work: Callable[[Connection], _Result]) -> _Result:
        """The result of `work`, committed with all it wrote; when it raises, nothing of it is kept."""
        return await self._in_thread(lambda: _translated(lambda c: _in_transaction(work, c), self._connection()))

    def _connection(self) -> Connection:
        if self._open is None:
            raise RuntimeError("the database was not entered")
        return self._open

    async def _in_thread(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _connect(path: Path) -> Connection:
    try:
        connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, OSError) as error:
        fault = Fault(str(path), 0, f"the hub's database cannot be opened ({error})", "Make the folder writable")
        raise Misconfigured(fault) from error
    return connection


def _prepare(connection: Connection, path: Path) -> None:
    # Personal records lie in it: the owner alone may read.
    path.chmod(0o600)
    # A commit touches one page a series: with small pages it writes a quarter of the bytes (15.7 instead of
    # 18.5 us CPU a reading at 100 series and 100 readings a commit).
    connection.execute("PRAGMA page_size = 1024")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    # 16 MB between checkpoints: a page that many commits touch is written to the file once.
    connection.execute("PRAGMA wal_autocheckpoint = 16000")
    _migrate(connection, path)


def _migrate(connection: Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        cause = f"the database has version {version}, this program knows {len(MIGRATIONS)}"
        raise Misconfigured(Fault(str(path), 0, cause, "Start the newer program that wrote it"))
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")


def _in_transaction(work: Callable[[Connection], _Result], connection: Connection) -> _Result:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        # A full disk may have ended the transaction already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def _translated(work: Callable[[Connection], _Result], connection: Connection) -> _Result:
    try:
        return work(connection)
    except (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError, OverflowError, UnicodeError) as error:
        # Their texts may quote the value.
        raise ProtocolError(f"a value cannot be stored: {type(error).__name__}") from None
    except sqlite3.DatabaseError as error:
        raise _family(error) from error


def _family(error: sqlite3.DatabaseError) -> KanmonError | sqlite3.DatabaseError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _UNWRITABLE_CODES:
        return StoreFull(f"the hub's database cannot be written ({error})")
    if code in _BROKEN_CODES:
        return Tampered(f"the hub's database is damaged ({error})")
    return error
