"""The uplink against a hub that forgets, repeats and goes away: everything arrives, and only receipts end a message."""

import asyncio
from itertools import accumulate
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_sync.envelope import Part, decode_envelope
from cloud_sync.link_settings import LinkSettings
from cloud_sync.uplink import WINDOW, Entry, KnownTime, Page, Stretch, Uplink
from contract.errors import Unreachable
from contract.ids import Epoch, GatewayId
from contract.record import Range, Stream
from support.waiting import until

EPOCH = Epoch("0" * 16)
GATEWAY = GatewayId("gw-1")


class MemoryOutbox:
    """A working outbox in memory: entries by id until a receipt takes them."""

    def __init__(self) -> None:
        self.entries: dict[Stream, dict[int, Entry]] = {stream: {} for stream in Stream}
        self._events = {stream: asyncio.Event() for stream in Stream}
        self._next = dict.fromkeys(Stream, 1)
        self.withdrawals = self.generation = 0

    def put(self, stream: Stream, records: int, blob: bytes = b"x") -> None:
        first = self._next[stream]
        self._next[stream] += records
        id_ = first + (10**6 if stream is Stream.DATA else 0)
        self.entries[stream][id_] = Entry(id_, Part(Range(EPOCH, stream, first, first + records - 1), None, blob))
        self._events[stream].set()

    async def added(self, stream: Stream) -> None:
        await self._events[stream].wait()
        self._events[stream].clear()

    async def newest(self, stream: Stream) -> int:
        return max(self.entries[stream], default=0)

    async def peek(self, stream: Stream, stretch: Stretch, page: Page) -> tuple[Entry, ...]:
        found = [e for id_, e in sorted(self.entries[stream].items()) if stretch.after < id_ <= stretch.up_to]
        sizes = list(accumulate(len(entry.part.blob) for entry in found))
        return tuple(e for n, e in enumerate(found[: page.entries]) if n == 0 or sizes[n] <= page.blob_bytes)

    async def again(self, ids) -> tuple[Entry, ...]:
        return tuple(entries[id_] for entries in self.entries.values() for id_ in ids if id_ in entries)

    def remove(self, ranges) -> None:
        for entries in self.entries.values():
            for id_ in [id_ for id_, entry in entries.items() if entry.part.range in ranges]:
                del entries[id_]

    @property
    def is_empty(self) -> bool:
        return not any(self.entries.values())


class Hub:
    """Takes messages; `fate` says what becomes of each: stored and receipted, stored silently, forgotten, cut."""

    def __init__(self, outbox: MemoryOutbox, fate) -> None:
        self.outbox, self.fate = outbox, fate
        self.stored: list[Range] = []
        self.topics: list[str] = []
        self.waiting = 0
        self.uplink: Uplink | None = None

    async def publish(self, topic: str, payload: bytes) -> None:
        await asyncio.sleep(0)
        fate = self.fate()
        if fate == "cut":
            raise Unreachable("cut")
        ranges = [part.range for part in decode_envelope(payload).parts]
        self.topics.append(topic)
        if fate in ("receipted", "silent"):
            self.stored.extend(ranges)
        if fate == "receipted":
            self.outbox.remove(ranges)
            asyncio.get_running_loop().call_soon(self.uplink.receipted, ranges)


def uplink_over(outbox, session, batch_records: int, resend_first_s: float = 10.0) -> Uplink:
    settings = LinkSettings(batch_records=batch_records, resend_first_s=resend_first_s)
    return Uplink(GATEWAY, outbox, KnownTime(), session, settings)


async def serve(hub: Hub, outbox: MemoryOutbox, batch_records: int = 10) -> None:
    """Connections, one after the other, until everything is receipted."""
    while not outbox.is_empty:
        hub.uplink = uplink_over(outbox, hub, batch_records, 0.005)
        task = asyncio.ensure_future(hub.uplink.forward())
        try:
            await until(lambda task=task: outbox.is_empty or task.done())
        finally:
            task.cancel()
            with pytest.raises((asyncio.CancelledError, BaseExceptionGroup)):
                await task


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(Stream), st.integers(1, 25)), min_size=1, max_size=60), st.integers(0, 2**32))
async def test_everything_arrives_whatever_becomes_of_single_messages(puts, seed):
    """Promise 1: a broker that acknowledges and forgets, a hub that is silent, a link that is cut cost nothing."""
    random = Random(seed)
    outbox = MemoryOutbox()
    for stream, records in puts:
        outbox.put(stream, records)
    expected = {entry.part.range for entries in outbox.entries.values() for entry in entries.values()}
    hub = Hub(outbox, lambda: random.choices(["receipted", "silent", "forgotten", "cut"], [6, 1, 1, 1])[0])
    await serve(hub, outbox)
    assert set(hub.stored) == expected


async def test_without_receipts_the_window_fills_and_sending_stops():
    outbox = MemoryOutbox()
    for _ in range(WINDOW * 3):
        outbox.put(Stream.DATA, 10)
    hub = Hub(outbox, lambda: "silent")
    uplink = uplink_over(outbox, hub, 10)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(uplink.forward())
        await until(lambda: len(hub.topics) == WINDOW)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(hub.topics) == WINDOW
        task.cancel()


async def test_an_alert_does_not_wait_behind_a_full_window_of_data():
    """Promise 3, for those who are told by the hub."""
    outbox = MemoryOutbox()
    for _ in range(WINDOW * 2):
        outbox.put(Stream.DATA, 10)
    hub = Hub(outbox, lambda: "silent")
    uplink = uplink_over(outbox, hub, 10)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(uplink.forward())
        await until(lambda: len(hub.topics) == WINDOW)
        outbox.put(Stream.ALERT, 1)
        await until(lambda: hub.topics[-1].endswith("/up/alert"))
        task.cancel()


async def test_what_was_withdrawn_after_sending_is_sent_again_as_a_tombstone():
    """Promise 2: a repeat never brings back what its person withdrew."""
    outbox = MemoryOutbox()
    outbox.put(Stream.DATA, 2, b"personal")
    payloads = []

    class Forgetful(Hub):
        async def publish(self, topic: str, payload: bytes) -> None:
            payloads.append(payload)
            outbox.entries[Stream.DATA] = {
                id_: Entry(id_, Part(entry.part.range, None, b"")) for id_, entry in outbox.entries[Stream.DATA].items()
            }

    uplink = uplink_over(outbox, Forgetful(outbox, None), 10, 0.001)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(uplink.forward())
        await until(lambda: len(payloads) > 1)
        task.cancel()
    assert b"personal" in payloads[0]
    assert all(b"personal" not in payload for payload in payloads[1:])


async def test_one_receipt_may_cover_several_messages():
    outbox = MemoryOutbox()
    for _ in range(3):
        outbox.put(Stream.DATA, 10)
    hub = Hub(outbox, lambda: "silent")
    uplink = uplink_over(outbox, hub, 10)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(uplink.forward())
        await until(lambda: len(hub.topics) == 3)
        uplink.receipted([Range(EPOCH, Stream.DATA, 1, 30)])
        for _ in range(3):
            outbox.put(Stream.DATA, 10)
        await until(lambda: len(hub.topics) == 6)
        task.cancel()


async def test_what_is_withdrawn_while_the_window_is_full_is_not_sent():
    """Promise 2: a hub may be away for hours with whole messages read and ready behind a full window."""
    outbox, sent = MemoryOutbox(), []

    class Silent:
        async def publish(self, topic: str, payload: bytes) -> None:
            sent.extend(decode_envelope(payload).parts)

    for _ in range(WINDOW + 5):
        outbox.put(Stream.DATA, 1)
    uplink = uplink_over(outbox, Silent(), 1)
    task = asyncio.ensure_future(uplink.forward())
    await until(lambda: len(sent) == WINDOW)
    entries = outbox.entries[Stream.DATA]
    entries.update({i: Entry(i, Part(e.part.range, None, b"")) for i, e in entries.items()})
    outbox.withdrawals += 1
    uplink.receipted([part.range for part in sent])
    await until(lambda: len(sent) == WINDOW + 5)
    task.cancel()
    await asyncio.wait([task])
    assert [part.blob for part in sent[WINDOW:]] == [b""] * 5
