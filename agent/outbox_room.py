"""What is given up when the outbox is full, and the gaps that say so.

Over the bound, first every second stretch of the older half of the waiting data is given up, each part of it once; then
whole entries, the oldest first; alerts last. One step gives up little, in the transaction of the commit that needs the
room, and declares what it gave up: a gap that is given up itself is declared anew within a wider one.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from agent import outbox_sql, outbox_totals
from agent.outbox_schema import records_of, span
from agent.outbox_sql import Stored
from agent.outbox_totals import Change, Totals
from agent.sqlite import Connection
from cloud_sync.tally import Series, Span, tally
from cloud_sync.uplink import Page, Stretch
from contract.boot import TimeBase
from contract.errors import ProtocolError, Tampered
from contract.record import GapReason, Stream

STEPS_OF_BOUND = 64
MAX_STEP_BYTES = 2**18
"""About 30,000 readings, some tens of milliseconds, and little memory: what is read comes as text of twice the size."""
MIN_STEP_BYTES = 16 * 2**10
MAX_STEP_ENTRIES = 4096
MAX_STEPS = 8
"""In one commit: what is still over the bound after them is given up by the commits that follow."""

RUN_BYTES = 2 * 2**10
"""Thinning keeps and gives up by turns so many bytes of a channel, one entry at least: fewer would free no page."""
ROW_BYTES = 1100
"""What an entry may take beyond its blob: one page that it does not fill, and its row."""
SPARE_BYTES = 16 * 2**10
"""For marks, states and alarms."""
GAP_BYTES = 24
"""A gap in a blob."""

Place = tuple[Stream, int | None, TimeBase | None]
"""Where a gap belongs: stream, channel number, and what its times rest on."""


@dataclass(slots=True)
class GivenUp:
    """What one commit gave up, and the gaps that declare it."""

    gaps: dict[Place, dict[Series, Span]] = field(default_factory=dict)
    change: Change = field(default_factory=Change)
    thinned_to: int | None = None
    torn: set[int | None] = field(default_factory=set)
    """Channels (None: things) of entries of which nothing is known but their numbers."""
    freed_bytes: int = 0

    def declare(self, place: Place, series: Series, span_: Span) -> None:
        """A loss; of one series it is one gap."""
        spans = self.gaps.setdefault(place, {})
        spans[series] = span_.joined(spans[series]) if series in spans else span_

    def shorten(self) -> None:
        """Let a gap stand for all quantities where the gaps would take a good part of what was freed."""
        if sum(map(len, self.gaps.values())) * GAP_BYTES * 4 <= self.freed_bytes:
            return
        for place, spans in list(self.gaps.items()):
            self.gaps[place] = {}
            for series, span_ in spans.items():
                self.declare(place, series._replace(quantity=None), span_)


def used_bytes(connection: Connection) -> int:
    """What the file holds; pages that wait for new use do not count."""
    (pages,) = connection.execute(
        "SELECT (page_count - freelist_count) * page_size"
        " FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
    ).fetchone()
    return int(pages)


def need_of(sizes: Iterable[int]) -> int:
    """What blobs of these sizes take at most."""
    return sum(size + ROW_BYTES for size in sizes) + SPARE_BYTES


class Room:
    """Keeps the file within `max_bytes`. `opened` gives what an entry holds: nothing when it was
    withdrawn, Tampered when it does not open.
    """

    def __init__(self, max_bytes: int, opened: Callable[[Stored], bytes]) -> None:
        self.max_bytes = max_bytes
        self._opened = opened
        self._at_most = max_bytes
        """What the file holds cannot be more than this: it is measured only when this reaches the bound."""
        self._step_bytes = max(MIN_STEP_BYTES, min(MAX_STEP_BYTES, max_bytes // STEPS_OF_BOUND))

    def reopened(self) -> None:
        """The file is another one: measure it anew."""
        self._at_most = self.max_bytes

    def make(self, connection: Connection, need_bytes: int) -> GivenUp | None:
        """Give up until `need_bytes` fit, as far as few steps go; None when they fit as it is."""
        self._at_most += need_bytes
        if self._at_most <= self.max_bytes:
            return None
        self._at_most = used_bytes(connection) + need_bytes
        if self._at_most <= self.max_bytes:
            return None
        totals = outbox_totals.read(connection)
        given = GivenUp(thinned_to=totals.thinned_to)
        for _ in range(MAX_STEPS):
            if not self._step(connection, given, totals):
                break
            need = need_bytes + sum(map(len, given.gaps.values())) * GAP_BYTES
            if used_bytes(connection) + need <= self.max_bytes:
                break
        given.shorten()
        return given

    def _step(self, connection: Connection, given: GivenUp, totals: Totals) -> bool:
        """One step; False when there is nothing to give up."""
        data_bytes = totals.bytes[Stream.DATA] + given.change.bytes[Stream.DATA]
        older_half = data_bytes // 2 - totals.thinned_bytes - given.change.thinned_bytes
        # Of what thinning walks through, half becomes part of the thinned half, and the whole shrinks by the rest.
        walk_bytes = min(2 * self._step_bytes, older_half * 4 // 3)
        if walk_bytes >= 2 * RUN_BYTES and self._thin(connection, given, walk_bytes):
            return True
        return any(self._drop(connection, given, stream) for stream in (Stream.DATA, Stream.ALERT))

    def _thin(self, connection: Connection, given: GivenUp, walk_bytes: int) -> bool:
        low, high = span(Stream.DATA)
        after = max(given.thinned_to or 0, low)
        rows = list(outbox_sql.page(connection, Stretch(after, high), Page(MAX_STEP_ENTRIES, walk_bytes)))
        chosen = list(_every_second_stretch(rows))
        gone = [row for row in chosen if self._declare(given, row, GapReason.THINNED)]
        outbox_sql.delete_ids(connection, [row.id for row in gone])
        _count(given, Stream.DATA, gone, 0)
        given.change.thinned_bytes += sum(len(row.blob) for row in rows) - sum(len(row.blob) for row in gone)
        given.thinned_to = rows[-1].id if rows else given.thinned_to
        return bool(rows)

    def _drop(self, connection: Connection, given: GivenUp, stream: Stream) -> bool:
        """The oldest entries. Some may be on their way: that the hub holds what a gap says is lost harms nobody."""
        low, high = span(stream)
        rows = list(outbox_sql.page(connection, Stretch(low, high), Page(MAX_STEP_ENTRIES, self._step_bytes)))
        for row in rows:
            self._declare(given, row, GapReason.STORE_FULL)
        outbox_sql.delete_ids(connection, [row.id for row in rows])
        is_data, to = stream is Stream.DATA, given.thinned_to or 0
        _count(given, stream, rows, sum(len(row.blob) for row in rows if is_data and row.id <= to))
        return bool(rows)

    def _declare(self, given: GivenUp, row: Stored, reason: GapReason) -> bool:
        """Say what is lost with an entry; False when thinning would gain nothing, since it only holds gaps."""
        try:
            plain = self._opened(row)
            if not plain:
                return True  # a tombstone holds nothing
            base, spans = tally(plain)
        except (ProtocolError, Tampered):
            given.torn.add(row.channel)
            return True
        if reason is GapReason.THINNED and all(series.reason for series in spans):
            return False
        stream = row.stream
        for series, span_ in spans.items():
            if series.reason is None:
                given.change.dropped[reason] += span_.records or 0
            declared = series._replace(reason=series.reason or reason)
            given.declare((stream, row.channel, base), declared, span_)
        return True


def _count(given: GivenUp, stream: Stream, rows: Sequence[Stored], thinned_bytes: int) -> None:
    size = sum(len(row.blob) for row in rows)
    given.change.took_out(stream, sum(records_of(row.id, row.last) for row in rows), size, thinned_bytes)
    given.freed_bytes += size


def _every_second_stretch(rows: Iterable[Stored]) -> Iterable[Stored]:
    """Of each channel by turns a stretch that stays and one that goes; a stretch is an entry, or several small ones."""
    turns: dict[int | None, int] = {}
    for row in rows:
        # Bytes of the channel so far, in runs: the odd ones go. A large entry ends its run, whatever it holds.
        walked = turns.get(row.channel, 0)
        run, size = divmod(walked, RUN_BYTES)
        if run % 2:
            yield row
        is_over = size + len(row.blob) >= RUN_BYTES
        turns[row.channel] = (run + 1) * RUN_BYTES if is_over else walked + len(row.blob)
