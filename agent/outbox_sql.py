"""The outbox's statements on entries, each in as few steps as it goes.

sqlite3 gives the interpreter lock away at every step. Beside a busy event loop it waits up to 5 ms to get it back, so
that inserting or reading a hundred rows one by one takes half a second.
"""

from collections.abc import Iterable, Iterator, Sequence

from agent.outbox_schema import MAX_SEQUENCE, split
from agent.store import Connection
from contract.record import Stream

Row = tuple[int, int, int, int | None, bytes]
"""id, last sequence, samples, channel, blob."""

ROWS_A_STATEMENT = 500
"""Far below SQLite's limit of 32,766 parameters."""


def insert(connection: Connection, rows: Sequence[Row]) -> None:
    """Add entries, many in one step."""
    for start in range(0, len(rows), ROWS_A_STATEMENT):
        some = rows[start : start + ROWS_A_STATEMENT]
        marks = ",".join(["(?,?,?,?,?)"] * len(some))
        connection.execute(f"INSERT INTO entry VALUES {marks}", [value for row in some for value in row])  # noqa: S608


def select(connection: Connection, which: str, values: Sequence[int]) -> Iterator[tuple[int, int, int | None, bytes]]:
    """(id, last, channel, blob) of the entries that the constant condition `which` names, all in one step."""
    found = f"SELECT id, last, channel, blob FROM entry WHERE {which}"  # noqa: S608 - constants of this package
    line = "id || ' ' || last || ' ' || ifnull(channel, '-') || ' ' || hex(blob)"
    rows = connection.execute(f"SELECT group_concat({line}, ',') FROM ({found})", values).fetchone()[0]  # noqa: S608
    for row in rows.split(",") if rows else ():
        id_, last, channel, blob = row.split(" ")
        yield int(id_), int(last), None if channel == "-" else int(channel), bytes.fromhex(blob)


def delete(connection: Connection, bounds: Iterable[tuple[int, int, int]]) -> dict[Stream, int]:
    """Take out entries that lie whole in (lowest id, last sequence, highest id); how many records each stream lost."""
    gone = dict.fromkeys(Stream, 0)
    for low, last, high in bounds:
        where = "WHERE id BETWEEN ? AND ? AND last <= ?"
        count = connection.execute(
            f"SELECT ifnull(sum(last - (id & ?) + 1), 0) FROM entry {where}",  # noqa: S608 - a constant
            (MAX_SEQUENCE, low, high, last),
        ).fetchone()[0]
        connection.execute(f"DELETE FROM entry {where}", (low, high, last))  # noqa: S608 - a constant
        gone[split(low)[0]] += count
    return gone
