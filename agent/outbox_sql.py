"""The outbox's statements on entries, each in as few steps as it goes.

sqlite3 gives the interpreter lock away at every step. Beside a busy event loop it waits up to 5 ms to get it back, so
that inserting or reading a hundred rows one by one takes half a second.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from agent.outbox_schema import MAX_SEQUENCE, split
from agent.store import Connection
from cloud_sync.uplink import Page, Stretch
from contract.boot import BootId
from contract.record import Stream

Row = tuple[int, int, int, int | None, bytes, BootId | None]
"""id, last sequence, samples, channel, blob, boot."""


class Stored(NamedTuple):
    """An entry as it lies in the file, its blob maybe sealed."""

    id: int
    last: int
    channel: int | None
    blob: bytes
    boot: BootId | None


ROWS_A_STATEMENT = 500
"""Far below SQLite's limit of 32,766 parameters."""


def insert(connection: Connection, rows: Sequence[Row]) -> None:
    """Add entries, many in one step."""
    for start in range(0, len(rows), ROWS_A_STATEMENT):
        some = rows[start : start + ROWS_A_STATEMENT]
        marks = ",".join(["(?,?,?,?,?,?)"] * len(some))
        into = "INSERT INTO entry (id, last, samples, channel, blob, boot)"
        connection.execute(f"{into} VALUES {marks}", [value for row in some for value in row])


def select(connection: Connection, which: str, values: Sequence[int]) -> Iterator[Stored]:
    """The entries that the constant condition `which` names, all in one step."""
    found = f"SELECT id, last, channel, blob, boot FROM entry WHERE {which}"  # noqa: S608 - constants of this package
    line = "id || ' ' || last || ' ' || ifnull(channel, '-') || ' ' || hex(blob) || ' ' || ifnull(boot, '-')"
    rows = connection.execute(f"SELECT group_concat({line}, ',') FROM ({found})", values).fetchone()[0]  # noqa: S608
    for row in rows.split(",") if rows else ():
        id_, last, channel, blob, boot = row.split(" ")
        yield Stored(
            int(id_),
            int(last),
            None if channel == "-" else int(channel),
            bytes.fromhex(blob),
            None if boot == "-" else BootId(boot),
        )


def newest(connection: Connection, ids: tuple[int, int]) -> int:
    """The highest id within `ids`, both included; 0 when there is none."""
    return int(connection.execute("SELECT ifnull(max(id), 0) FROM entry WHERE id BETWEEN ? AND ?", ids).fetchone()[0])


def page(connection: Connection, stretch: Stretch, page: Page) -> Iterator[Stored]:
    """The oldest entries of a stretch that fit the page, in two steps: how far it goes, and what lies there."""
    sizes = "SELECT id, length(blob) AS size FROM entry WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"
    up_to = connection.execute(
        f"SELECT max(id) FROM (SELECT id, size, sum(size) OVER (ORDER BY id) AS total FROM ({sizes}))"  # noqa: S608
        " WHERE total <= ? OR total = size",
        (*stretch, *page),
    ).fetchone()[0]
    return select(connection, "id > ? AND id <= ? ORDER BY id", (stretch.after, up_to)) if up_to else iter(())


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
