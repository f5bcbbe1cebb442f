"""The outbox on its way to the hub: bounded windows of messages, each sent until the hub's receipt names it.

Alerts, fresh values and the backlog have a window each: an alert overtakes all, and fresh values are seen while a
backlog drains. A broker's PUBACK is not storage: only `receipted` ends a message. Whatever is without receipt when the
connection breaks is sent again on the next one.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from cloud_sync import topics
from cloud_sync.envelope import MAX_PARTS, Part, encode_envelope
from cloud_sync.in_flight import InFlight
from cloud_sync.link_settings import LinkSettings
from cloud_sync.message_size import MessageSize
from cloud_sync.throttle import Throttle
from contract.boot import BootId, BootTime
from contract.ids import GatewayId
from contract.record import Range, Stream

WINDOW = 20
"""Messages in flight, of alerts and of fresh values: measured best; a thousand cost more, since paho searches them."""
FRESH_HANDED = 4
"""Fresh messages without the broker's acknowledgement. On a slow link more would outlast a publish's time-out, and what
comes meanwhile goes in one message."""
BACKLOG_WINDOW = 4
"""As fast as more, while fresh values wait less at the hub for the backlog before them."""
BACKLOG_HANDED = 2
"""Of a backlog, handed over and not acknowledged by the broker: no more stands before a fresh value on a slow link."""
BACKLOG_GROWTH = 10
"""A backlog's message holds so many times the records of a fresh one."""
CAPPED_MESSAGE_S = 0.25
"""Under a limit of bytes a second, a backlog's message takes no more than this much of its time."""
MAX_STRETCHES = 64
"""Pieces of a backlog; with so many, fresh values wait for their turn behind older ones."""
MAX_MESSAGE_BYTES = 512 * 2**10
"""Half of what NATS takes in one message by default."""
RESEND_LIMIT_S = 300.0
SPLIT = 4
"""What got no receipt is sent again in so many times as many pieces."""
MAX_ID = 2**63 - 1
_NEVER_READ = -1


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored blob as it waits: `id` grows with the order of writing."""

    id: int
    part: Part
    boot: BootId | None = None
    """The boot whose time its own times rest on; None when they were stamped by a synchronised clock."""


class Stretch(NamedTuple):
    """Entries with an id above `after`, up to and with `up_to`."""

    after: int
    up_to: int = MAX_ID


class Page(NamedTuple):
    """How much to read at once: at most so many entries with so many bytes of blobs; one entry at least."""

    entries: int
    blob_bytes: int


LIVE_PAGE = Page(64, MAX_MESSAGE_BYTES)
"""More fresh values than that at once have fallen behind: they join the backlog."""


class Waiting(Protocol):
    """The outbox as the uplink sees it."""

    @property
    def withdrawals(self) -> int:
        """How often something that waits was withdrawn: entries read before are not to be sent as they were."""
        ...

    @property
    def generation(self) -> int:
        """How often ids began anew, since the file was deleted, replaced or restored: ids read before name nothing."""
        ...

    async def added(self, stream: Stream) -> None:
        """Return once something was added to the stream since the last call, or the generation changed."""
        ...

    async def newest(self, stream: Stream) -> int:
        """The highest id that waits in the stream; 0 when nothing does. Whatever is added later has a higher one."""
        ...

    async def peek(self, stream: Stream, stretch: Stretch, page: Page) -> tuple[Entry, ...]:
        """The oldest entries of a stretch, in the order of their ids, as many as fit the page."""
        ...

    async def again(self, ids: Sequence[int]) -> tuple[Entry, ...]:
        """Those of `ids` that still wait, as they are now: a withdrawal may have emptied them."""
        ...


class Boots(Protocol):
    """What is known of when this gateway booted."""

    def times(self, boots: Collection[BootId]) -> tuple[BootTime, ...] | None:
        """What is known of each of `boots`. None: the present boot is among them and its time is not known yet."""
        ...

    async def learnt(self) -> None:
        """Return once the present boot's time is known; at once when it is."""
        ...


class KnownTime:
    """The boots of a gateway whose clock was never wrong: no entry of it rests on one."""

    def times(self, boots: Collection[BootId]) -> tuple[BootTime, ...]:
        """Nothing."""
        del boots
        return ()

    async def learnt(self) -> None:
        """At once."""


class Publisher(Protocol):
    """A session as the uplink sees it."""

    async def publish(self, topic: str, payload: bytes) -> None:
        """Hand over one message; Unreachable when the link is lost."""
        ...


class _BeganAnew(Exception):
    """The outbox gives other ids from now on."""


@dataclass(slots=True, eq=False)
class _Message:
    ids: list[int]
    blob_bytes: int
    open: set[Range] = field(default_factory=set)
    receipted: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True, eq=False)
class _Lane:
    """`window`: messages without receipt; `handed`: messages without the broker's acknowledgement."""

    stream: Stream
    window: asyncio.Semaphore
    handed: asyncio.Semaphore
    toll: Callable[[int], Awaitable[None]]


class Uplink:
    """The sending half of one connection.

    A message without receipt is sent again after `settings.resend_first_s`, then after twice as long, up to
    RESEND_LIMIT_S. Nothing else is sent twice.
    """

    def __init__(
        self,
        gateway: GatewayId,
        outbox: Waiting,
        boots: Boots,
        session: Publisher,
        settings: LinkSettings,
        throttle: Throttle,
    ) -> None:
        self._gateway = gateway
        self._outbox = outbox
        self._boots = boots
        self._session = session
        self._settings = settings
        self._throttle = throttle
        self._in_flight: InFlight[_Message] = InFlight()
        limit = MAX_MESSAGE_BYTES
        if settings.max_bytes_per_s is not None:  # no message keeps the link to itself for long
            limit = min(limit, int(settings.max_bytes_per_s * CAPPED_MESSAGE_S))
        self._message_size = MessageSize(limit)
        self._stretches: deque[Stretch] = deque()
        self._handed_over = asyncio.Event()
        self._generation = outbox.generation

    async def forward(self) -> None:
        """Send what waits and what is added, without end; Unreachable when the link is lost."""
        while True:
            self._generation = self._outbox.generation
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._alerts(tasks), name="uplink-alert")
                    tasks.create_task(self._fresh(tasks), name="uplink-data")
                    tasks.create_task(self._backlog(tasks), name="uplink-backlog")
            except* _BeganAnew:
                self._stretches.clear()

    def receipted(self, ranges: Iterable[Range]) -> None:
        """The hub has committed `ranges`: the messages that carried them leave the window."""
        for receipt in ranges:
            for range_, message in self._in_flight.covered(receipt):
                message.open.discard(range_)
                if not message.open:
                    message.receipted.set()

    async def _alerts(self, tasks: asyncio.TaskGroup) -> None:
        """Alerts overtake all data, in their own order."""

        async def toll(size: int) -> None:
            self._throttle.count(size)

        lane = _Lane(Stream.ALERT, asyncio.Semaphore(WINDOW), asyncio.Semaphore(WINDOW), toll)
        after = 0
        while True:
            withdrawals = self._outbox.withdrawals
            entries = await self._read(Stream.ALERT, Stretch(after), LIVE_PAGE)
            for batch in _batches(entries, self._settings.batch_records, MAX_MESSAGE_BYTES):
                await self._send(lane, batch, withdrawals, tasks)
            if entries:
                after = entries[-1].id
            else:
                await self._outbox.added(Stream.ALERT)

    async def _fresh(self, tasks: asyncio.TaskGroup) -> None:
        """What is added from now on goes at once. What comes faster than that joins the backlog."""
        lane = _Lane(Stream.DATA, asyncio.Semaphore(WINDOW), asyncio.Semaphore(FRESH_HANDED), self._throttle.live)
        after = await self._hand_over(0)
        while True:
            withdrawals = self._outbox.withdrawals
            entries = await self._read(Stream.DATA, Stretch(after), LIVE_PAGE)
            if not entries:
                await self._outbox.added(Stream.DATA)
            elif _is_full(entries) and len(self._stretches) < MAX_STRETCHES:
                after = await self._hand_over(after)
            else:
                is_crowd = len(entries) > FRESH_HANDED  # they would wait for each other: few large messages cost less
                records = self._settings.batch_records * (BACKLOG_GROWTH if is_crowd else 1)
                for batch in _batches(entries, records, self._message_size.bytes):
                    await self._send(lane, batch, withdrawals, tasks)
                after = entries[-1].id

    async def _hand_over(self, after: int) -> int:
        """Leave everything above `after` that waits now to the backlog; returns the id that fresh values are above."""
        newest = max(after, await self._outbox.newest(Stream.DATA))
        if newest > after:
            if self._stretches and self._stretches[-1].up_to == after:
                after = self._stretches.pop().after
            self._stretches.append(Stretch(after, newest))
            self._handed_over.set()
        return newest

    async def _backlog(self, tasks: asyncio.TaskGroup) -> None:
        """What waited when the connection was made, and what fresh values left behind: the oldest first."""
        lane = _Lane(
            Stream.DATA,
            asyncio.Semaphore(BACKLOG_WINDOW),
            asyncio.Semaphore(BACKLOG_HANDED),
            self._throttle.backlog,
        )
        records = BACKLOG_GROWTH * self._settings.batch_records
        while True:
            while not self._stretches:
                self._handed_over.clear()
                await self._handed_over.wait()
            stretch, limit = self._stretches[0], self._message_size.bytes
            withdrawals = self._outbox.withdrawals
            entries = await self._read(Stream.DATA, stretch, Page(MAX_PARTS, limit))
            for batch in _batches(entries, records, limit):
                await self._send(lane, batch, withdrawals, tasks)
            reached, up_to = entries[-1].id if entries else stretch.up_to, self._stretches[0].up_to
            if reached < up_to:
                self._stretches[0] = Stretch(reached, up_to)
            else:
                self._stretches.popleft()

    async def _read(self, stream: Stream, stretch: Stretch, page: Page) -> tuple[Entry, ...]:
        entries = await self._outbox.peek(stream, stretch, page)
        self._check_generation()
        return entries

    def _check_generation(self) -> None:
        if self._outbox.generation != self._generation:
            raise _BeganAnew

    async def _send(self, lane: _Lane, entries: Sequence[Entry], withdrawals: int, tasks: asyncio.TaskGroup) -> None:
        """Put a message into the lane's window as soon as there is room and the hub can be told the times in it."""
        while lane.stream is Stream.DATA and self._boots.times(_boots(entries)) is None:
            await self._boots.learnt()
        await lane.window.acquire()
        await lane.handed.acquire()
        tasks.create_task(self._deliver(lane, entries, withdrawals), name=f"deliver-{lane.stream}")

    async def _deliver(self, lane: _Lane, entries: Sequence[Entry], withdrawals: int) -> None:
        """Send a message until its receipt has come, or nothing of it waits any more; each time in smaller pieces.

        Too large for a store on the way it would be acknowledged and forgotten for ever.
        """
        message = _Message([entry.id for entry in entries], sum(len(entry.part.blob) for entry in entries))
        wait_s, pieces = self._settings.resend_first_s, 1
        try:
            await self._publish(lane, message, entries, withdrawals, pieces)
            entries = ()  # a full window holds no blobs: what is sent again is read again
            while message.open and not await _is_set_within(message.receipted, wait_s):
                self._message_size.unreceipted(message.blob_bytes // pieces)
                wait_s, pieces = min(wait_s * 2, RESEND_LIMIT_S), min(pieces * SPLIT, len(message.ids))
                await lane.handed.acquire()
                await self._publish(lane, message, (), _NEVER_READ, pieces)
            if pieces == 1:
                self._message_size.receipted(message.blob_bytes)
        finally:
            self._in_flight.discard(message.open)
            lane.window.release()

    async def _publish(
        self, lane: _Lane, message: _Message, entries: Sequence[Entry], withdrawals: int, pieces: int
    ) -> None:
        """Publish what still waits of a message, as it is now; `entries` are as of `withdrawals`."""
        try:
            await lane.toll(message.blob_bytes)
            while withdrawals != self._outbox.withdrawals:  # since these were read: a full window may wait for hours
                withdrawals, entries = self._outbox.withdrawals, await self._outbox.again(message.ids)
                self._check_generation()
            self._in_flight.discard(message.open)
            message.open = {entry.part.range for entry in entries}
            if message.receipted.is_set() or not entries:
                message.open = set()
                return
            self._in_flight.add(message.open, message)
            for piece in _pieces(entries, pieces):
                await self._hand(lane.stream, piece)
        finally:
            lane.handed.release()

    async def _hand(self, stream: Stream, entries: Sequence[Entry]) -> None:
        """Publish `entries` as one message; returns once the broker has acknowledged it."""
        payload = encode_envelope([entry.part for entry in entries], self._times(entries))
        self._throttle.count(len(payload) - sum(len(entry.part.blob) for entry in entries))
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        await self._session.publish(topics.up(self._gateway, stream), payload)
        self._message_size.acknowledged(loop.time() - start_s)

    def _times(self, entries: Sequence[Entry]) -> tuple[BootTime, ...]:
        """What the hub can be told of the boots that entries rest on: an alert goes before the present one is known."""
        return tuple(time for boot in _boots(entries) for time in self._boots.times([boot]) or ())


def _boots(entries: Sequence[Entry]) -> set[BootId]:
    return {entry.boot for entry in entries if entry.boot is not None}


def _pieces(entries: Sequence[Entry], most: int) -> Iterator[Sequence[Entry]]:
    """`entries` in order, in at most so many pieces of about as many each."""
    size = -(-len(entries) // most)
    return (entries[start : start + size] for start in range(0, len(entries), size))


def _is_full(entries: Sequence[Entry]) -> bool:
    """True when more may wait than a page of fresh values took."""
    half = LIVE_PAGE.blob_bytes // 2  # the next entry may have been too large for the rest of the page
    return len(entries) == LIVE_PAGE.entries or sum(len(entry.part.blob) for entry in entries) > half


async def _is_set_within(event: asyncio.Event, wait_s: float) -> bool:
    try:
        async with asyncio.timeout(wait_s):
            return await event.wait()
    except TimeoutError:
        return False


def _batches(entries: Sequence[Entry], most_records: int, most_bytes: int) -> Iterator[list[Entry]]:
    """Whole entries, in order, in messages up to the limits of records, parts and bytes, and of one boot at most."""
    batch: list[Entry] = []
    records = size = 0
    for entry in entries:
        count = entry.part.range.last - entry.part.range.first + 1
        is_full = records + count > most_records or size + len(entry.part.blob) > most_bytes
        if batch and (is_full or len(batch) == MAX_PARTS or entry.boot != batch[-1].boot):
            yield batch
            batch, records, size = [], 0, 0
        batch.append(entry)
        records += count
        size += len(entry.part.blob)
    if batch:
        yield batch
