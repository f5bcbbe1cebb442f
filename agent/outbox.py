"""The outbox: what waits for the hub's receipt, in SQLite. Only a receipt, a withdrawal or want of room takes it out.

A group is written in one transaction: records, the marks from which gaps follow after a crash, open windows and alarm
states. Personal records lie in blobs of one person and one purpose, sealed with that channel's key.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from agent import outbox_sql
from agent.group import Channel, Group, Loss, Resumed
from agent.outbox_blobs import Blob, encoded
from agent.outbox_book import Begun, Book, Outcome
from agent.outbox_schema import span
from agent.outbox_sql import Stored
from agent.outbox_totals import NO_TOTALS
from agent.outbox_witness import Witness, seen_now
from agent.seal import KeyFolder
from agent.sqlite import Connection
from agent.store import Database, Renewed
from cloud_sync.blob import from_ms, to_ms
from cloud_sync.correction import Settle, unsettled
from cloud_sync.uplink import Entry, Page, Stretch
from contract.consent import Purpose
from contract.errors import KanmonError
from contract.ids import Epoch, PersonId
from contract.record import Range, Stream

MAX_BYTES = 2**30
MAX_RENEWALS = 3
"""How often one piece of work is begun again because its file had to be made anew."""
_Result = TypeVar("_Result")


def draw_epoch() -> Epoch:
    """64 random bits."""
    return Epoch(secrets.token_hex(8))


class Outbox:
    """The store of one run of the agent; rows of earlier epochs keep theirs.

    The run's epoch is `epoch` until its file is found damaged, deleted or replaced: then `draw` gives another one. The
    file is kept within `max_bytes`.
    """

    def __init__(
        self,
        database: Database,
        keys: KeyFolder,
        epoch: Epoch,
        batch_records: int,
        max_bytes: int = MAX_BYTES,
        draw: Callable[[], Epoch] = draw_epoch,
    ) -> None:
        self._database = database
        self._batch_records = batch_records
        self._draw = draw
        self._book = Book(keys, batch_records, max_bytes)
        self._witness = Witness(database.path.with_suffix(".witness"))
        self._next = dict.fromkeys(Stream, 1)
        self._forgotten: Counter[Channel | None] = Counter()
        self._receipted: tuple[Range, ...] = ()
        self._added = {stream: asyncio.Event() for stream in Stream}
        self._renewing = asyncio.Lock()
        self._latest = from_ms(0)
        self.epoch = epoch
        self.generation = 0
        """How often ids began anew, since the file was found damaged, deleted or replaced."""
        self.totals = NO_TOTALS
        self.downtime: list[tuple[datetime, datetime]] = []
        self.losses: tuple[Loss, ...] = ()
        """What is lost with a damaged or deleted file and still to be declared."""

    async def open(self, at: datetime, settle: Settle = unsettled) -> Resumed:
        """Read what is left, note how long this gateway was dead, and begin the epoch.

        `settle` gives what puts marks right that rest on a base, by what is known of its boot.
        """
        self._latest = at
        begun = await self._begin(settle)
        await self.attest()
        return begun.resumed

    async def commit(self, group: Group) -> None:
        """Write the group in one transaction; when this returns it survives a power cut. StoreFull: none of it did."""
        group.count_withdrawn()
        await self._lasting(lambda: self._commit(group))

    @property
    def waiting(self) -> Mapping[Stream, int]:
        """How many records wait."""
        return self.totals.records

    @property
    def withheld(self) -> int:
        """Samples that will never be sent, in the whole life of the file."""
        return self.totals.withheld

    @property
    def max_bytes(self) -> int:
        """What the file is kept within."""
        return self._book.room.max_bytes

    @property
    def withdrawals(self) -> int:
        """How often something that waits was withdrawn."""
        return self._forgotten.total()

    async def added(self, stream: Stream) -> None:
        """Return once something was committed to the stream since the last call, or ids began anew."""
        await self._added[stream].wait()
        self._added[stream].clear()

    async def newest(self, stream: Stream) -> int:
        """The highest id that waits in a stream; 0 when nothing does."""
        return await self._lasting(lambda: self._database.read(lambda c: outbox_sql.newest(c, span(stream))))

    async def peek(self, stream: Stream, stretch: Stretch, page: Page) -> tuple[Entry, ...]:
        """The oldest entries of a stretch of a stream that fit the page, personal ones opened."""
        low, high = span(stream)
        which = Stretch(max(stretch.after, low), min(stretch.up_to, high))
        return await self._read(lambda connection: outbox_sql.page(connection, which, page))

    async def again(self, ids: Sequence[int]) -> tuple[Entry, ...]:
        """The entries of `ids` that still wait, as they are now."""
        which = f"id IN ({','.join('?' * len(ids))}) ORDER BY id"
        return await self._read(lambda connection: outbox_sql.select(connection, which, tuple(ids)))

    async def remove(self, ranges: Iterable[Range]) -> None:
        """Take out what the hub's receipt names; ranges this outbox does not hold are no fault."""
        named = list(ranges)
        self.totals, self._receipted = await self._lasting(
            lambda: self._database.write(lambda c: self._book.take_out(c, named, self._next))
        )

    def receipted(self) -> tuple[Range, ...]:
        """What the hub has receipted of the latest epochs, as far as a hello states it."""
        return self._receipted

    def channels(self) -> frozenset[Channel]:
        """Every person and purpose that ever had something to send."""
        return self._book.channels.all()

    async def forget(self, person: PersonId, purpose: Purpose) -> int:
        """Destroy what waits unsent for a purpose; tombstones keep its numbers. Returns how many samples it was.

        The key goes first: cut anywhere after that, the rest is unreadable and is sent as tombstones.
        """
        channel = person, purpose
        self._forgotten[channel] += 1
        samples, self.totals = await self._lasting(
            lambda: self._database.write(lambda c: self._book.forget(c, channel))
        )
        return samples

    async def attest(self) -> None:
        """Note beside the file how it stands, for the day it is lost; StoreFull when the disk does not take it."""
        opened, before, at_ms = self._book.channels.opened, self._witness.seen, to_ms(self._latest)
        seen = await self._lasting(lambda: self._database.read(lambda c: seen_now(c, opened, before, at_ms)))
        await self._database.beside(lambda: self._witness.write(seen))

    async def _commit(self, group: Group) -> None:
        # From here to the end of the write a withdrawal's own write, which comes after it, counts what it forgets.
        made = encoded(group, self._next, self._batch_records, Counter(self._forgotten))
        blobs = [self._as_agreed(blob) for blob in [blob async for blob in made]]
        outcome, group.is_on_its_way = Outcome(dict(self._next)), True
        try:
            states = dict(group.states)  # what is withdrawn from here on is forgotten after this write
            await self._database.write(lambda c: self._book.write(c, group, blobs, states, outcome))
        except KanmonError:
            group.is_on_its_way = False
            raise
        except asyncio.CancelledError:
            self._account(group, outcome)
            raise
        self._account(group, outcome)

    def _account(self, group: Group, outcome: Outcome) -> None:
        group.is_written, self._latest = True, group.at
        self._next = outcome.following
        self.totals = outcome.totals or self.totals
        self.losses = tuple(loss for loss in self.losses if loss not in group.declared)
        for stream in outcome.added:
            self._added[stream].set()

    def _as_agreed(self, blob: Blob) -> Blob:
        """A tombstone in its place when it was withdrawn while others were encoded; its samples are counted then."""
        is_agreed = blob.lane.channel is None or blob.forgotten == self._forgotten[blob.lane.channel]
        return blob if is_agreed else replace(blob, samples=0, plain=b"")

    async def _read(self, rows: Callable[[Connection], Iterator[Stored]]) -> tuple[Entry, ...]:
        found = await self._lasting(lambda: self._database.read(lambda c: self._book.read(rows(c))))
        if found.torn:
            self.totals, self.losses = await self._lasting(
                lambda: self._database.write(lambda c: self._book.tear(c, found.torn, self._latest))
            )
        return tuple(found.entries)

    async def _lasting(self, work: Callable[[], Awaitable[_Result]]) -> _Result:
        """The result of `work`, which is begun again in a new epoch when its file had to be made anew."""
        for _ in range(MAX_RENEWALS):
            try:
                return await work()
            except Renewed:
                async with self._renewing:
                    if self._database.is_stale:  # else another piece of work has done so meanwhile
                        await self._renew()
        return await work()

    async def _renew(self) -> None:
        self.epoch = self._draw()
        await self._begin(unsettled)
        self._next = dict.fromkeys(Stream, 1)
        self.generation += 1
        for event in self._added.values():
            event.set()

    async def _begin(self, settle: Settle) -> Begun:
        seen = await self._database.beside(self._witness.read)

        def begin(connection: Connection) -> Begun:
            return self._book.begin(connection, self.epoch, self._latest, self._database.origin, seen, settle)

        for attempt in range(MAX_RENEWALS):
            try:
                begun = await self._database.resume(begin)
                break
            except Renewed:
                if attempt == MAX_RENEWALS - 1:
                    raise
        self.totals, self.losses, self._receipted = begun.totals, begun.losses, begun.receipted
        self.downtime = begun.downtime
        return begun
