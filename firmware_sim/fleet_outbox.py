"""The outbox of one simulated gateway: in memory, a blob an emission, emptied by the hub's receipts alone."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from cloud_sync import blob
from cloud_sync.envelope import MAX_RECEIPTED, Part
from cloud_sync.uplink import Entry, Page, Stretch
from contract.errors import StoreFull
from contract.ids import Epoch
from contract.record import Range, Record, Stream, merged, records_in

MOST_ENTRIES = 10_000
"""More than a day at one emission in ten seconds: a hub that is away for so long ends the run."""


class Receipted(NamedTuple):
    """When a blob was written and when its receipt came, in the clock's seconds."""

    written_at: float
    receipted_at: float


class MemoryOutbox:
    """Numbers what it is given from 1, in the one stream `data` of `epoch`. `clock` times the receipts."""

    withdrawals = 0
    generation = 0

    def __init__(self, epoch: Epoch, clock: Callable[[], float]) -> None:
        self.receipts: list[Receipted] = []
        self._receipted: tuple[Range, ...] = ()
        self.epoch = epoch
        self._clock = clock
        self._next = 1
        self._ids = 0
        self._waiting: dict[int, tuple[Entry, float]] = {}
        self._added = {stream: asyncio.Event() for stream in Stream}

    def __len__(self) -> int:
        """How many blobs wait for a receipt."""
        return len(self._waiting)

    def append(self, records: Sequence[Record]) -> int:
        """Put `records` in as one blob; returns the number of the first. StoreFull at MOST_ENTRIES."""
        if len(self._waiting) >= MOST_ENTRIES:
            raise StoreFull(f"{MOST_ENTRIES} blobs wait for a receipt")
        first = self._next
        self._next += sum(map(records_in, records))
        self._ids += 1
        range_ = Range(self.epoch, Stream.DATA, first, self._next - 1)
        self._waiting[self._ids] = Entry(self._ids, Part(range_, None, blob.encode(records))), self._clock()
        self._added[Stream.DATA].set()
        return first

    async def added(self, stream: Stream) -> None:
        """Return once something was added to the stream since the last call; see cloud_sync.uplink.Waiting."""
        await self._added[stream].wait()
        self._added[stream].clear()

    async def newest(self, stream: Stream) -> int:
        """The highest id that waits in the stream; 0 when nothing does."""
        return max(self._waiting, default=0) if stream is Stream.DATA else 0

    async def peek(self, stream: Stream, stretch: Stretch, page: Page) -> tuple[Entry, ...]:
        """The oldest entries of a stretch, as many as fit the page; one at least."""
        found: list[Entry] = []
        room = page.blob_bytes
        for id_, (entry, _) in self._waiting.items() if stream is Stream.DATA else ():
            if stretch.after < id_ <= stretch.up_to:
                room -= len(entry.part.blob)
                if found and (room < 0 or len(found) == page.entries):
                    break
                found.append(entry)
        return tuple(found)

    async def again(self, ids: Sequence[int]) -> tuple[Entry, ...]:
        """Those of `ids` that still wait."""
        return tuple(self._waiting[id_][0] for id_ in ids if id_ in self._waiting)

    async def remove(self, ranges: Iterable[Range]) -> None:
        """Take out what a receipt names."""
        now, named = self._clock(), tuple(ranges)
        for range_ in named:
            for id_ in [id_ for id_, (entry, _) in self._waiting.items() if _covers(range_, entry.part.range)]:
                _, written_at = self._waiting.pop(id_)
                self.receipts.append(Receipted(written_at, now))
        self._receipted = tuple(merged(sorted((*self._receipted, *named))))

    def receipted(self) -> tuple[Range, ...]:
        """What the hub has receipted, merged: the latest MAX_RECEIPTED ranges."""
        return self._receipted[-MAX_RECEIPTED:]


def _covers(outer: Range, inner: Range) -> bool:
    return outer[:2] == inner[:2] and outer.first <= inner.first and inner.last <= outer.last
