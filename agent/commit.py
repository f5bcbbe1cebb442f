"""Group commit: what arrives during the linger, or during the last commit, is made durable together."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from agent.group import Channel, Group, Lane, Loss
from agent.outbox import Outbox
from contract.boot import TimeBase
from contract.errors import StoreFull, Tampered, Unreachable
from contract.record import Record, Stream, records_in

RETRY_S = 1.0
MAX_PENDING_RECORDS = 100_000
"""What may wait in memory while the disk takes nothing: about 20 MB."""

FULL_RECORDS = 5_000
"""A group of this size is written at once: waiting would make it no cheaper a reading."""
PACE_RECORDS = 10_000
PACE_LIMIT_S = 1.0

log = logging.getLogger(__name__)


class Ticket:
    """What accepting a sample gives: `durable` returns once the sample survives a power cut."""

    def __init__(self, written: "asyncio.Future[None]") -> None:
        self._written = written

    async def durable(self) -> None:
        """Wait for the commit that holds the sample; StoreFull when it was not taken."""
        await asyncio.shield(self._written)


class Committer:
    """Collects records into the next group and writes it. `base`: what times rest on now, None on a set clock."""

    def __init__(
        self,
        outbox: Outbox,
        linger_s: float,
        now: Callable[[], datetime],
        base: Callable[[], TimeBase | None] = lambda: None,
    ) -> None:
        self._outbox = outbox
        self._linger_s = linger_s
        self._now = now
        self._base = base
        self._declare: Callable[[Loss], None] = lambda _: None
        self._snapshots: list[Callable[[Group], None]] = []
        self._group = Group(now())
        self._pending = self._in_write = 0
        self._written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closed: tuple[Group, asyncio.Future[None]] | None = None
        self._changed = asyncio.Event()
        self._urgent = asyncio.Event()
        self._writing = asyncio.Lock()
        self._is_failing = self._is_hanging = False

    def on_loss(self, declare: Callable[[Loss], None]) -> None:
        """Let `declare` add the gaps of each loss that the outbox has met with."""
        self._declare = declare

    def before_write(self, snapshot: Callable[[Group], None]) -> None:
        """Let `snapshot` add marks and states to each group when it is closed."""
        self._snapshots.append(snapshot)

    @property
    def is_full(self) -> bool:
        """True while nothing more can be taken, because the disk takes nothing."""
        return self._pending >= MAX_PENDING_RECORDS

    @property
    def unwritten(self) -> int:
        """Records that were taken and are not durable yet."""
        return self._pending + self._in_write

    async def keep_pace(self) -> None:
        """Wait while far more comes than is written; for one second at most, and not at all for a disk that hangs.

        Devices that are read as fast as they answer are thus read as fast as the gateway can write.
        """
        if self._pending < PACE_RECORDS or self._is_failing or self._is_hanging:
            return
        try:
            async with asyncio.timeout(PACE_LIMIT_S):
                await self.ticket().durable()
        except TimeoutError:
            self._is_hanging = True

    def add(self, stream: Stream, channel: Channel | None, record: Record) -> None:
        """Put a record into the next group; an alert, or a group that is large, does not wait for the linger."""
        self._group.records.setdefault(Lane(stream, channel, self._base()), []).append(record)
        self._pending += records_in(record)
        self._changed.set()
        if stream is Stream.ALERT or self._pending >= FULL_RECORDS:
            self._urgent.set()

    def count_sample(self, channel: Channel | None) -> None:
        """One more sample lies in the data records of `channel`."""
        lane = Lane(Stream.DATA, channel, self._base())
        self._group.samples[lane] = self._group.samples.get(lane, 0) + 1

    def drop(self, channel: Channel) -> None:
        """Take back what waits in memory for a channel; the outbox does the same for what it was handed."""
        for group in (self._group, *(closed[0] for closed in [self._closed] if closed)):
            for lane in [lane for lane in group.records if lane.channel == channel]:
                records = group.records.pop(lane)
                if group is self._group:
                    self._pending -= sum(map(records_in, records))
            if not group.is_on_its_way:  # what is, the outbox counts when it forgets it
                for lane in [lane for lane in group.samples if lane.channel == channel]:
                    self._group.withheld += group.samples.pop(lane)
            group.states.pop(channel, None)
        self._changed.set()

    def withhold(self, samples: int) -> None:
        """Samples that will never be sent."""
        self._group.withheld += samples
        self._changed.set()

    def touch(self) -> None:
        """Something that only the snapshot holds has changed."""
        self._changed.set()

    def ticket(self) -> Ticket:
        """The ticket of the group that is being filled."""
        return Ticket(self._written)

    async def run(self) -> None:
        """Commit group after group, without end."""
        while True:
            await self._changed.wait()
            try:
                async with asyncio.timeout(self._linger_s):
                    await self._urgent.wait()
            except TimeoutError:
                pass
            await self.flush()

    async def flush(self) -> None:
        """Write what was taken so far; returns when it is durable. While the disk is full it is tried again."""
        async with self._writing:
            if self._closed is not None:
                await self._write(*self._closed)  # left over when an earlier flush was cancelled
            self._closed = self._close()
            await self._write(*self._closed)

    async def _write(self, group: Group, written: "asyncio.Future[None]") -> None:
        task = asyncio.current_task()
        before = task.cancelling() if task else 0
        try:
            while not await self._try(group):
                if task and task.cancelling() > before:
                    raise asyncio.CancelledError
                await asyncio.sleep(RETRY_S)
        finally:
            if group.is_written:
                self._closed, self._in_write, self._is_hanging = None, 0, False
                written.set_result(None)

    def _close(self) -> tuple[Group, "asyncio.Future[None]"]:
        for loss in self._outbox.losses:
            if self._closed is None or loss not in self._closed[0].declared:
                self._declare(loss)
                self._group.declared.append(loss)
        group, written = self._group, self._written
        self._group, self._pending, self._in_write = Group(self._now()), 0, self._pending
        self._written = asyncio.get_running_loop().create_future()
        self._changed.clear()
        self._urgent.clear()
        group.at, group.base = self._now(), self._base()
        for snapshot in self._snapshots:
            snapshot(group)
        return group, written

    async def _try(self, group: Group) -> bool:
        try:
            await self._outbox.commit(group)
        except (StoreFull, Unreachable, Tampered) as error:  # full, failing, locked by another program, or damaged
            if not self._is_failing:
                log.error("outbox: the disk takes nothing (%s); readings wait in memory, free some space", error)
            self._is_failing = True
            return False
        if self._is_failing:
            log.info("outbox: the disk takes data again")
        self._is_failing = False
        return True
