"""SQLite's errors as families: what is waited for, what is salvaged, what is neither."""

import sqlite3

import pytest

from agent.sqlite import DatabaseError, is_damage, translated
from contract.errors import StoreFull, Tampered, Unreachable


def failing(code: int) -> DatabaseError:
    """An error as sqlite3 raises it, with SQLite's extended result code."""
    error = DatabaseError("it failed")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "damaged", "family"),
    [
        (sqlite3.SQLITE_FULL, False, StoreFull),
        (sqlite3.SQLITE_IOERR_WRITE, False, StoreFull),
        (sqlite3.SQLITE_IOERR_FSYNC, False, StoreFull),
        (sqlite3.SQLITE_READONLY, False, StoreFull),
        (sqlite3.SQLITE_BUSY, False, Unreachable),
        (sqlite3.SQLITE_CORRUPT, True, Tampered),
        (sqlite3.SQLITE_NOTADB, True, Tampered),
        (sqlite3.SQLITE_IOERR_READ, True, StoreFull),
        (sqlite3.SQLITE_IOERR_SHORT_READ, True, StoreFull),
    ],
)
def test_a_bad_sector_is_damage_and_a_failed_write_is_want_of_room(code, damaged, family):
    """Promise 1: a page that does not read is salvaged around; waiting for it would stop the uplink for good."""
    error = failing(code)
    assert is_damage(error) is damaged

    def fail() -> None:
        raise error

    with pytest.raises(family):
        translated("outbox.db", fail)
