"""How much waits, and what was given up: kept in the mark row by every transaction, so that nothing is counted anew.

Bytes are those of the blobs. What a file needs beyond them is measured in its pages (`agent.outbox_room`).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.outbox_schema import MAX_SEQUENCE, span
from agent.sqlite import Connection
from agent.store import Damaged
from contract.boot import TimeBase
from contract.record import GapReason, Stream


@dataclass(slots=True)
class Change:
    """What one transaction adds to the totals; what is taken out counts below zero."""

    records: Counter[Stream] = field(default_factory=Counter)
    bytes: Counter[Stream] = field(default_factory=Counter)
    thinned_bytes: int = 0
    dropped: Counter[GapReason] = field(default_factory=Counter)
    withheld: int = 0

    def took_out(self, stream: Stream, records: int, size: int, thinned: int) -> None:
        """Entries are gone; `thinned` of their `size` bytes lay where thinning has been."""
        self.records[stream] -= records
        self.bytes[stream] -= size
        self.thinned_bytes -= thinned


@dataclass(frozen=True, slots=True)
class Mark:
    """From where a restart goes on. `things`: when each was last heard, as JSON; `base`: what the times rest on."""

    alive_ms: int
    things: str
    base: TimeBase | None


@dataclass(frozen=True, slots=True)
class Totals:
    """Records and bytes that wait, by stream; `thinned_to`: the id up to which thinning has come."""

    records: dict[Stream, int]
    bytes: dict[Stream, int]
    thinned_to: int
    thinned_bytes: int
    dropped: dict[GapReason, int]
    withheld: int
    commits: int = 0
    """In the whole life of the file: an older copy of it has seen fewer."""


NO_TOTALS = Totals(dict.fromkeys(Stream, 0), dict.fromkeys(Stream, 0), 0, 0, {}, 0)
_COLUMNS = (
    "alert_records, alert_bytes, data_records, data_bytes, thinned_to, thinned_bytes, store_full, thinned, withheld,"
    " commits"
)
_ADDED = (
    "alert_records = alert_records + ?, alert_bytes = alert_bytes + ?, data_records = data_records + ?,"
    " data_bytes = data_bytes + ?, thinned_bytes = thinned_bytes + ?, store_full = store_full + ?,"
    " thinned = thinned + ?, withheld = withheld + ?, thinned_to = ifnull(?, thinned_to)"
)
_MARKED = "commits = commits + 1, alive_ms = ?, things = ?, boot = ?, zero_ms = ?"


def read(connection: Connection) -> Totals:
    """The totals as they stand."""
    return _totals(connection.execute(f"SELECT {_COLUMNS} FROM mark").fetchone())  # noqa: S608 - constant columns


def add(connection: Connection, change: Change, thinned_to: int | None = None, mark: Mark | None = None) -> Totals:
    """Note a change, and a commit's mark, in the transaction that made it; the totals after it."""
    values: list[object] = [
        *(change.records[Stream.ALERT], change.bytes[Stream.ALERT]),
        *(change.records[Stream.DATA], change.bytes[Stream.DATA]),
        *(change.thinned_bytes, change.dropped[GapReason.STORE_FULL], change.dropped[GapReason.THINNED]),
        *(change.withheld, thinned_to),
    ]
    assigned = _ADDED
    if mark is not None:
        assigned = f"{_ADDED}, {_MARKED}"
        values += [mark.alive_ms, mark.things, *(mark.base or (None, None))]
    done = connection.execute(f"UPDATE mark SET {assigned} RETURNING {_COLUMNS}", values)  # noqa: S608 - constants
    return _totals(done.fetchone())


def count_anew(connection: Connection) -> None:
    """Set records and bytes by a scan: for a file into which entries were copied."""
    sums = "ifnull(sum(last - (id & ?) + 1), 0), ifnull(sum(length(blob)), 0)"
    for stream in Stream:
        low, high = span(stream)
        records, size = connection.execute(
            f"SELECT {sums} FROM entry WHERE id BETWEEN ? AND ?",  # noqa: S608 - constant sums
            (MAX_SEQUENCE, low, high),
        ).fetchone()
        connection.execute(f"UPDATE mark SET {stream}_records = ?, {stream}_bytes = ?", (records, size))  # noqa: S608
    connection.execute(
        "UPDATE mark SET thinned_bytes ="
        " (SELECT ifnull(sum(length(blob)), 0) FROM entry WHERE id BETWEEN ? AND thinned_to)",
        (span(Stream.DATA)[0],),
    )


def _totals(row: Sequence[int] | None) -> Totals:
    if row is None:
        raise Damaged("the outbox has lost its mark")
    alert_records, alert_bytes, data_records, data_bytes, *rest = row
    thinned_to, thinned_bytes, store_full, thinned, withheld, commits = rest
    return Totals(
        {Stream.ALERT: alert_records, Stream.DATA: data_records},
        {Stream.ALERT: alert_bytes, Stream.DATA: data_bytes},
        thinned_to,
        thinned_bytes,
        {GapReason.STORE_FULL: store_full, GapReason.THINNED: thinned},
        withheld,
        commits,
    )
