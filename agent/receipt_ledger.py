"""What the hub has receipted, kept on as merged ranges: a hub that was restored from a backup holds less of it."""

from collections.abc import Sequence

from agent.sqlite import Connection
from cloud_sync.envelope import MAX_RECEIPTED

KEPT_EPOCHS = 32
"""Of so many latest epochs the ranges are kept."""
MAX_RANGES = 256
"""Kept per epoch and stream, the latest: what was given up unsent leaves holes."""

Span = tuple[int, int, int, int]
"""Epoch number, stream number, first and last sequence."""


def note(connection: Connection, spans: Sequence[Span]) -> None:
    """Add ranges; those that touch or overlap become one."""
    for epoch, stream, first, last in spans:
        place = (epoch, stream)
        before = connection.execute(
            "SELECT first FROM receipted WHERE epoch = ? AND stream = ? AND first <= ? AND last >= ? - 1"
            " ORDER BY first DESC LIMIT 1",
            (*place, first, first),
        ).fetchone()
        low = before[0] if before else first
        met = "WHERE epoch = ? AND stream = ? AND first BETWEEN ? AND ?"
        bounds = (*place, low, last + 1)
        high = connection.execute(f"SELECT max(last) FROM receipted {met}", bounds).fetchone()[0]  # noqa: S608
        connection.execute(f"DELETE FROM receipted {met}", bounds)  # noqa: S608 - a constant
        connection.execute("INSERT INTO receipted VALUES (?, ?, ?, ?)", (*place, low, max(last, high or 0)))


def told(connection: Connection) -> list[Span]:
    """The ranges of the latest epochs, the latest first, as many as a hello states."""
    columns = "epoch, stream, first, last"
    return connection.execute(
        f"SELECT {columns} FROM receipted ORDER BY epoch DESC, first DESC LIMIT ?",  # noqa: S608 - constant columns
        (MAX_RECEIPTED,),
    ).fetchall()


def shorten(connection: Connection) -> None:
    """Let go of ranges of old epochs, and of the oldest where there are too many."""
    connection.execute("DELETE FROM receipted WHERE epoch <= (SELECT max(no) FROM epoch) - ?", (KEPT_EPOCHS,))
    crowded = connection.execute(
        "SELECT epoch, stream FROM receipted GROUP BY epoch, stream HAVING count(*) > ?", (MAX_RANGES,)
    ).fetchall()
    for place in crowded:
        connection.execute(
            "DELETE FROM receipted WHERE epoch = ? AND stream = ? AND first <"
            " (SELECT first FROM receipted WHERE epoch = ? AND stream = ? ORDER BY first DESC LIMIT 1 OFFSET ?)",
            (*place, *place, MAX_RANGES - 1),
        )
