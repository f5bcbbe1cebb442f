"""The outbox on its way to the hub: a bounded window of messages, each sent until the hub's receipt names it.

Alerts and data have a window each, so that no backlog stands before an alert. A broker's PUBACK is not storage: only
`receipted` ends a message. Whatever is without receipt when the connection breaks is sent again on the next one.
"""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from cloud_sync import topics
from cloud_sync.envelope import MAX_PARTS, Part, encode_envelope
from cloud_sync.link_settings import LinkSettings
from contract.boot import BootId, BootTime
from contract.ids import GatewayId
from contract.record import Range, Stream

WINDOW = 20
"""Messages in flight per stream: measured best; a thousand cost more, since pending ones are searched."""
MAX_MESSAGE_BYTES = 512 * 2**10
"""Half of what NATS takes in one message by default."""
RESEND_LIMIT_S = 300.0
MAX_ID = 2**63 - 1


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


PAGE = Page(MAX_PARTS, MAX_MESSAGE_BYTES)
"""What one message can hold, and no more than that in memory."""


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


@dataclass(slots=True, eq=False)
class _Message:
    ids: list[int]
    open: set[Range]
    receipted: asyncio.Event = field(default_factory=asyncio.Event)


class Uplink:
    """The sending half of one connection.

    A message without receipt is sent again after `settings.resend_first_s`, then after twice as long, up to
    RESEND_LIMIT_S.
    """

    def __init__(
        self, gateway: GatewayId, outbox: Waiting, boots: Boots, session: Publisher, settings: LinkSettings
    ) -> None:
        self._gateway = gateway
        self._outbox = outbox
        self._boots = boots
        self._session = session
        self._settings = settings
        self._sent: set[_Message] = set()

    async def forward(self) -> None:
        """Send what waits and what is added, without end; Unreachable when the link is lost."""
        async with asyncio.TaskGroup() as tasks:
            for stream in Stream:
                tasks.create_task(self._drain(stream, tasks), name=f"uplink-{stream}")

    def receipted(self, ranges: Iterable[Range]) -> None:
        """The hub has committed `ranges`: the messages that carried them leave the window."""
        for range_ in ranges:
            for message in list(self._sent):
                message.open = {r for r in message.open if not _covers(range_, r)}
                if not message.open:
                    self._sent.discard(message)
                    message.receipted.set()

    async def _drain(self, stream: Stream, tasks: asyncio.TaskGroup) -> None:
        window = asyncio.Semaphore(WINDOW)
        after = 0
        while True:
            withdrawals = self._outbox.withdrawals
            entries = await self._outbox.peek(stream, Stretch(after), PAGE)
            if not entries:
                await self._outbox.added(stream)
                continue
            for batch in _batches(entries, self._settings.batch_records):
                await window.acquire()
                tasks.create_task(self._deliver(stream, batch, withdrawals, window), name=f"deliver-{stream}")
            after = entries[-1].id

    async def _deliver(
        self, stream: Stream, entries: Sequence[Entry], withdrawals: int, window: asyncio.Semaphore
    ) -> None:
        message = _Message([entry.id for entry in entries], {entry.part.range for entry in entries})
        self._sent.add(message)
        wait_s = self._settings.resend_first_s
        while entries:
            if withdrawals != self._outbox.withdrawals:  # since these were read: a full window may wait for hours
                withdrawals, entries = self._outbox.withdrawals, await self._outbox.again(message.ids)
                continue
            payload = encode_envelope([entry.part for entry in entries], await self._times(stream, entries))
            await self._session.publish(topics.up(self._gateway, stream), payload)
            try:
                async with asyncio.timeout(wait_s):
                    await message.receipted.wait()
                break
            except TimeoutError:
                wait_s = min(wait_s * 2, RESEND_LIMIT_S)
                withdrawals, entries = self._outbox.withdrawals, await self._outbox.again(message.ids)
        self._sent.discard(message)
        window.release()

    async def _times(self, stream: Stream, entries: Sequence[Entry]) -> tuple[BootTime, ...]:
        """What the hub is told of the boots that entries rest on: data waits for the present one's, alerts do not."""
        boots = {entry.boot for entry in entries if entry.boot is not None}
        while (times := self._boots.times(boots)) is None:
            if stream is Stream.ALERT:
                return tuple(time for boot in boots for time in self._boots.times([boot]) or ())
            await self._boots.learnt()
        return times


def _covers(outer: Range, inner: Range) -> bool:
    return outer[:2] == inner[:2] and outer.first <= inner.first and inner.last <= outer.last


def _batches(entries: Sequence[Entry], batch_records: int) -> Iterator[list[Entry]]:
    """Whole entries, in order, packed into messages up to the limits of records, parts and bytes."""
    batch: list[Entry] = []
    records = size = 0
    for entry in entries:
        count = entry.part.range.last - entry.part.range.first + 1
        is_full = records + count > batch_records or size + len(entry.part.blob) > MAX_MESSAGE_BYTES
        if batch and (is_full or len(batch) == MAX_PARTS):
            yield batch
            batch, records, size = [], 0, 0
        batch.append(entry)
        records += count
        size += len(entry.part.blob)
    if batch:
        yield batch
