"""The outbox on its way to the hub: a bounded window of messages, each sent until the hub's receipt names it.

Alerts and data have a window each, so that no backlog stands before an alert. A broker's PUBACK is not storage: only
`receipted` ends a message. Whatever is without receipt when the connection breaks is sent again on the next one.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cloud_sync import topics
from cloud_sync.envelope import MAX_PARTS, Part, encode_envelope
from contract.boot import BootId
from contract.ids import GatewayId
from contract.record import Range, Stream

WINDOW = 20
"""Messages in flight per stream: measured best; a thousand cost more, since pending ones are searched."""
PAGE = 2 * WINDOW
"""Entries read at once: what keeps the window full, and no more than that in memory."""
MAX_MESSAGE_BYTES = 512 * 2**10
"""Half of what NATS takes in one message by default."""
RESEND_FIRST_S = 10.0
RESEND_LIMIT_S = 300.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored blob as it waits: `id` grows with the order of writing."""

    id: int
    part: Part
    boot: BootId | None = None
    """The boot whose time its own times rest on; None when they were stamped by a synchronised clock."""


class Waiting(Protocol):
    """The outbox as the uplink sees it."""

    @property
    def withdrawals(self) -> int:
        """How often something that waits was withdrawn: entries read before are not to be sent as they were."""
        ...

    async def added(self, stream: Stream) -> None:
        """Return once something was added to the stream since the last call."""
        ...

    async def peek(self, stream: Stream, after: int, limit: int) -> tuple[Entry, ...]:
        """At most `limit` entries with an id above `after`, oldest first."""
        ...

    async def again(self, ids: Sequence[int]) -> tuple[Entry, ...]:
        """Those of `ids` that still wait, as they are now: a withdrawal may have emptied them."""
        ...


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
    """The sending half of one connection. `batch_records`: most records in one message.

    A message without receipt is sent again after `resend_first_s`, then after twice as long, up to RESEND_LIMIT_S.
    """

    def __init__(
        self,
        gateway: GatewayId,
        outbox: Waiting,
        session: Publisher,
        batch_records: int,
        resend_first_s: float = RESEND_FIRST_S,
    ) -> None:
        self._gateway = gateway
        self._outbox = outbox
        self._session = session
        self._batch_records = batch_records
        self._resend_first_s = resend_first_s
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
            entries = await self._outbox.peek(stream, after, PAGE)
            if not entries:
                await self._outbox.added(stream)
                continue
            for batch in _batches(entries, self._batch_records):
                await window.acquire()
                tasks.create_task(self._deliver(stream, batch, withdrawals, window), name=f"deliver-{stream}")
            after = entries[-1].id

    async def _deliver(
        self, stream: Stream, entries: Sequence[Entry], withdrawals: int, window: asyncio.Semaphore
    ) -> None:
        message = _Message([entry.id for entry in entries], {entry.part.range for entry in entries})
        self._sent.add(message)
        wait_s = self._resend_first_s
        while entries:
            if withdrawals != self._outbox.withdrawals:  # since these were read: a full window may wait for hours
                withdrawals, entries = self._outbox.withdrawals, await self._outbox.again(message.ids)
                continue
            payload = encode_envelope([entry.part for entry in entries])
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
