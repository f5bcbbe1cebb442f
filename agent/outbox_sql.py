"""The outbox's statements on entries, each in as few steps as it goes.

sqlite3 gives the interpreter lock away at every step. Beside a busy event loop it waits up to 5 ms to get it back, so
that inserting or reading a hundred rows one by one takes half a second.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from agent.outbox_schema import MAX_SEQUENCE, span, split
from agent.outbox_totals import Change
from agent.sqlite import Connection
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

    @property
    def stream(self) -> Stream:
        """The stream it lies in."""
        return split(self.id)[0]


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


def delete(connection: Connection, bounds: tuple[int, int, int], thinned_to: int, change: Change) -> None:
    """Take out entries that lie whole in (lowest id, last sequence, highest id)."""
    (low, last, high), where = bounds, "WHERE id BETWEEN ? AND ? AND last <= ?"
    sums = "ifnull(sum(last - (id & ?) + 1), 0), ifnull(sum(length(blob)), 0)"
    records, size, of_thinned = connection.execute(
        f"SELECT {sums}, ifnull(sum(length(blob)) FILTER (WHERE id <= ?), 0) FROM entry {where}",  # noqa: S608
        (MAX_SEQUENCE, thinned_to, low, high, last),
    ).fetchone()
    if records:
        connection.execute(f"DELETE FROM entry {where}", (low, high, last))  # noqa: S608 - a constant
        stream = split(low)[0]
        change.took_out(stream, records, size, of_thinned if stream is Stream.DATA else 0)


def delete_ids(connection: Connection, ids: Sequence[int]) -> None:
    """Take out the entries of `ids`."""
    for start in range(0, len(ids), ROWS_A_STATEMENT):
        some = ids[start : start + ROWS_A_STATEMENT]
        connection.execute(f"DELETE FROM entry WHERE id IN ({','.join('?' * len(some))})", some)  # noqa: S608


def empty_ids(connection: Connection, ids: Sequence[int]) -> None:
    """Make tombstones of the entries of `ids`."""
    for start in range(0, len(ids), ROWS_A_STATEMENT):
        some = ids[start : start + ROWS_A_STATEMENT]
        connection.execute(f"UPDATE entry SET blob = x'' WHERE id IN ({','.join('?' * len(some))})", some)  # noqa: S608


def empty(connection: Connection, channel: int, thinned_to: int, change: Change) -> int:
    """Make tombstones of all that a channel holds; how many samples it was."""
    found, samples = "FROM entry WHERE channel = ? AND length(blob) > 0", 0
    for stream in Stream:
        low, high = span(stream)
        some, size, of_thinned = connection.execute(
            "SELECT ifnull(sum(samples), 0), ifnull(sum(length(blob)), 0),"
            f" ifnull(sum(length(blob)) FILTER (WHERE id <= ?), 0) {found} AND id BETWEEN ? AND ?",
            (thinned_to, channel, low, high),
        ).fetchone()
        change.took_out(stream, 0, size, of_thinned if stream is Stream.DATA else 0)
        samples += some
    connection.execute("UPDATE entry SET blob = x'' WHERE channel = ? AND length(blob) > 0", (channel,))
    return samples
