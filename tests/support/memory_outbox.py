"""A working outbox in memory: entries by id until a receipt takes them. For tests of what sends them."""

import asyncio
from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from itertools import islice

from cloud_sync.envelope import Part
from cloud_sync.uplink import Entry, Page, Stretch
from contract.boot import BootId
from contract.ids import Epoch
from contract.record import Range, Stream

EPOCH = Epoch("0" * 16)


class MemoryOutbox:
    """What the uplink and the link see of an outbox, and `put`, `withdraw`, `begin_anew` to steer it."""

    def __init__(self) -> None:
        self.withdrawals = self.generation = 0
        self._entries: dict[Stream, dict[int, Entry]] = {stream: {} for stream in Stream}
        self._ids: dict[Stream, list[int]] = {stream: [] for stream in Stream}
        self._events = {stream: asyncio.Event() for stream in Stream}
        self._next = dict.fromkeys(Stream, 1)
        self.epoch = EPOCH
        self.told: list[Range] = []

    def put(self, stream: Stream, records: int = 1, blob: bytes = b"x", boot: BootId | None = None) -> Range:
        """One more entry; its range."""
        first = self._next[stream]
        self._next[stream] += records
        range_ = Range(self.epoch, stream, first, first + records - 1)
        id_ = first + (10**9 if stream is Stream.DATA else 0)
        self._entries[stream][id_] = Entry(id_, Part(range_, None, blob), boot)
        insort(self._ids[stream], id_)
        self._events[stream].set()
        return range_

    def waiting(self) -> list[Entry]:
        """What no receipt has taken."""
        return [entry for entries in self._entries.values() for entry in entries.values()]

    def withdraw(self) -> None:
        """Leave a tombstone of everything that waits."""
        self.withdrawals += 1
        for entries in self._entries.values():
            entries.update({i: Entry(i, Part(e.part.range, None, b""), e.boot) for i, e in entries.items()})

    def begin_anew(self, epoch: Epoch) -> None:
        """The file was deleted: what waited is gone, ids and numbers start again in another epoch."""
        self.generation += 1
        self.epoch = epoch
        for stream in Stream:
            self._entries[stream].clear()
            self._ids[stream].clear()
            self._next[stream] = 1
            self._events[stream].set()

    async def added(self, stream: Stream) -> None:
        await self._events[stream].wait()
        self._events[stream].clear()

    async def newest(self, stream: Stream) -> int:
        return self._ids[stream][-1] if self._ids[stream] else 0

    async def peek(self, stream: Stream, stretch: Stretch, page: Page) -> tuple[Entry, ...]:
        await asyncio.sleep(0)
        ids, found, size = self._ids[stream], [], 0
        for id_ in islice(ids, bisect_right(ids, stretch.after), bisect_right(ids, stretch.up_to)):
            entry = self._entries[stream][id_]
            size += len(entry.part.blob)
            if found and (len(found) == page.entries or size > page.blob_bytes):
                break
            found.append(entry)
        return tuple(found)

    async def again(self, ids: Sequence[int]) -> tuple[Entry, ...]:
        await asyncio.sleep(0)
        return tuple(entries[id_] for entries in self._entries.values() for id_ in ids if id_ in entries)

    async def remove(self, ranges: Iterable[Range]) -> None:
        self.take(ranges)

    def take(self, ranges: Iterable[Range]) -> None:
        """Take out what lies whole in one of `ranges`."""
        for receipt in ranges:
            self.told.append(receipt)
            ids = self._ids[receipt.stream]
            offset = 10**9 if receipt.stream is Stream.DATA else 0
            low, high = bisect_right(ids, receipt.first - 1 + offset), bisect_right(ids, receipt.last + offset)
            for id_ in ids[low:high]:
                range_ = self._entries[receipt.stream][id_].part.range
                if range_.epoch == receipt.epoch and range_.last <= receipt.last:
                    del self._entries[receipt.stream][id_]
                    ids.remove(id_)

    def receipted(self) -> tuple[Range, ...]:
        return tuple(self.told[-64:])
