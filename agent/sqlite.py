"""SQLite as the agent uses it: the one module that imports sqlite3, with its errors as our families."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from sqlite3 import Connection, DatabaseError, IntegrityError, InterfaceError, OperationalError
from typing import TypeVar

from contract.errors import KanmonError, StoreFull, Tampered, Unreachable

__all__ = [
    "Connection",
    "DatabaseError",
    "IntegrityError",
    "InterfaceError",
    "OperationalError",
    "connect",
    "is_damage",
    "translated",
]

BUSY_TIMEOUT_S = 5.0
Result = TypeVar("Result")

_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNREADABLE = {
    *(sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ),
    *(sqlite3.SQLITE_IOERR_DATA, sqlite3.SQLITE_IOERR_CORRUPTFS),
}
"""What a bad sector of a card ends in: waiting for room would not make it read."""


def connect(path: Path) -> Connection:
    """A connection that begins no transaction by itself. Whoever uses it sees to it that one thread does at a time."""
    return sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)


def is_damage(error: DatabaseError) -> bool:
    """True when SQLite found what it had never written, or cannot read what it had."""
    return _code(error) in _DAMAGED or getattr(error, "sqlite_errorcode", 0) in _UNREADABLE


def translated(name: str, work: Callable[[], Result]) -> Result:
    """The result of `work` on the file `name`: a full or failing disk, a damaged file, anything else as families."""
    try:
        return work()
    except sqlite3.Error as error:
        raise _family(_code(error))(f"{name}: {error}") from error
    except OSError as error:
        raise StoreFull(f"{name}: {error.strerror}") from error


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _family(code: int) -> type[KanmonError]:
    if code in _FULL:
        return StoreFull
    return Tampered if code in _DAMAGED else Unreachable
