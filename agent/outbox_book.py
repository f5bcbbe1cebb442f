"""What the outbox does within one transaction. All of it runs in the thread of the outbox's file."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from agent import outbox_begin, outbox_sql, outbox_totals, receipt_ledger
from agent.channels import Channels, State
from agent.group import Channel, Group, Lane, Loss, Resumed
from agent.outbox_blobs import Blob, chunks, numbered
from agent.outbox_reading import Read, read
from agent.outbox_room import GivenUp, Room, need_of
from agent.outbox_schema import MAX_SEQUENCE, STREAMS, row_id
from agent.outbox_sql import Row, Stored
from agent.outbox_totals import Change, Mark, Totals
from agent.outbox_witness import Seen
from agent.seal import KeyFolder
from agent.sqlite import Connection
from agent.store_file import Cause, Origin, accept
from cloud_sync.blob import from_ms, to_ms
from cloud_sync.correction import Settle
from contract.ids import Epoch
from contract.record import Gap, Range, Stream, merged


@dataclass(frozen=True, slots=True)
class Begun:
    """How an epoch begins."""

    resumed: Resumed
    totals: Totals
    losses: tuple[Loss, ...]
    downtime: list[tuple[datetime, datetime]]
    receipted: tuple[Range, ...]


@dataclass(slots=True)
class Outcome:
    """What a write has come to; it counts once the write is durable. `following`: the next number of each stream."""

    following: dict[Stream, int]
    totals: Totals | None = None
    added: frozenset[Stream] = frozenset()


class Book:
    """The tables of one outbox file, under the present epoch."""

    def __init__(self, keys: KeyFolder, batch_records: int, max_bytes: int) -> None:
        self.channels = Channels(keys)
        self.room = Room(max_bytes, self.channels.opened)
        self._batch_records = batch_records
        self._epochs: dict[int, Epoch] = {}
        self._numbers: dict[Epoch, int] = {}
        self._number = 0
        self._seen: Seen | None = None
        self._has_begun = False

    def begin(
        self, connection: Connection, epoch: Epoch, at: datetime, origin: Origin, seen: Seen | None, settle: Settle
    ) -> Begun:
        """Begin `epoch` at `at`, in a file that came about by `origin` and was last `seen` so."""
        missing = outbox_begin.mend(connection) if origin.cause is Cause.DAMAGED else 0
        accept(connection)
        self.room.reopened()
        self._epochs = outbox_begin.begin_epoch(connection, epoch)
        self._numbers = {name: number for number, name in self._epochs.items()}
        self._number, self._seen = self._numbers[epoch], seen
        alive, things = outbox_begin.marks(connection, settle)
        if alive and not self._has_begun:
            outbox_begin.note_downtime(connection, alive, at)
        totals = outbox_totals.read(connection)
        if outbox_begin.loss_of(origin, missing, seen, totals.commits):
            outbox_begin.note_loss(connection, self._lost_since(at), to_ms(at))
        witnessed = {device: from_ms(at_ms) for device, at_ms in seen.things.items()} if seen else {}
        states = self.channels.load(connection)
        self._has_begun = True
        return Begun(
            Resumed({**witnessed, **things}, states, self.channels.load_alarms(connection)),
            totals,
            outbox_begin.losses(connection),
            outbox_begin.downtimes(connection),
            self._receipted(connection),
        )

    def write(
        self,
        connection: Connection,
        group: Group,
        blobs: Sequence[Blob],
        states: Mapping[Channel, State],
        outcome: Outcome,
    ) -> None:
        """Write what a group holds, as `blobs` and `states`, and make the room that it needs."""
        outcome.following.update({blob.lane.stream: blob.last + 1 for blob in blobs})
        given = self.room.make(connection, need_of(len(blob.plain) for blob in blobs)) or GivenUp()
        written = [*blobs, *self._gaps(given, outcome.following)]
        rows = [self._row(connection, blob) for blob in written]
        outbox_sql.insert(connection, rows)
        self.channels.save(connection, states, group.alarms)
        self._note_torn(connection, given.torn, group.at)
        outbox_begin.settle_losses(connection, group.declared)
        for row, blob in zip(rows, written, strict=True):
            given.change.records[blob.lane.stream] += blob.last - blob.first + 1
            given.change.bytes[blob.lane.stream] += len(row[4])
        given.change.withheld += group.withheld
        things = json.dumps({device: to_ms(at) for device, at in group.things.items()})
        mark = Mark(to_ms(group.at), things, group.base)
        outcome.totals = outbox_totals.add(connection, given.change, given.thinned_to, mark)
        outcome.added = frozenset(blob.lane.stream for blob in written)

    def take_out(
        self, connection: Connection, ranges: Iterable[Range], given: Mapping[Stream, int]
    ) -> tuple[Totals, tuple[Range, ...]]:
        """Take out what receipts name, of numbers below `given` in this epoch; the totals and what is receipted."""
        change, thinned_to = Change(), outbox_totals.read(connection).thinned_to
        known = [r for r in ranges if r.epoch in self._numbers and r.last <= MAX_SEQUENCE]
        for epoch, stream, first, last in merged(sorted(known)):
            number = self._numbers[epoch]
            bounds = row_id(stream, number, first), last, row_id(stream, number, last)
            outbox_sql.delete(connection, bounds, thinned_to, change)
            # What was given in earlier runs is not known any more.
            up_to = min(last, given[stream] - 1) if number == self._number else last
            if first <= up_to:
                receipt_ledger.note(connection, [(number, STREAMS.index(stream), first, up_to)])
        return outbox_totals.add(connection, change), self._receipted(connection)

    def forget(self, connection: Connection, channel: Channel) -> tuple[int, Totals]:
        """Destroy what waits in a channel: how many samples it was, and the totals then."""
        change, number = Change(), self.channels.withdraw(connection, channel)
        if number is not None:
            thinned_to = outbox_totals.read(connection).thinned_to
            change.withheld = outbox_sql.empty(connection, number, thinned_to, change)
        return change.withheld, outbox_totals.add(connection, change)

    def read(self, rows: Iterable[Stored]) -> Read:
        """Entries as the uplink sends them."""
        return read(rows, self._epochs, self.channels)

    def tear(self, connection: Connection, rows: Sequence[Stored], at: datetime) -> tuple[Totals, tuple[Loss, ...]]:
        """Make tombstones of rows that do not open, and note the loss: the totals and the losses then."""
        change, thinned_to = Change(), outbox_totals.read(connection).thinned_to
        outbox_sql.empty_ids(connection, [row.id for row in rows])
        for row in rows:
            thinned = len(row.blob) if row.stream is Stream.DATA and row.id <= thinned_to else 0
            change.took_out(row.stream, 0, len(row.blob), thinned)
        self._note_torn(connection, {row.channel for row in rows}, at)
        return outbox_totals.add(connection, change), outbox_begin.losses(connection)

    def _gaps(self, given: GivenUp, following: dict[Stream, int]) -> Iterator[Blob]:
        for (stream, number, base), spans in given.gaps.items():
            lane = Lane(stream, self.channels.channel(number), base)
            gaps = [
                Gap(s.subject, s.quantity, from_ms(at.start_ms), from_ms(at.end_ms), s.reason, at.records)
                for s, at in spans.items()
                if s.reason is not None
            ]
            for chunk in chunks(gaps, self._batch_records):
                yield numbered(lane, chunk, following, 0, 0)

    def _row(self, connection: Connection, blob: Blob) -> Row:
        stream, channel, base = blob.lane
        id_ = row_id(stream, self._number, blob.first)
        number = None if channel is None else self.channels.number(connection, channel)
        content = self.channels.sealed(number, id_, blob.plain)
        return id_, blob.last, blob.samples, number, content, base.boot if base else None

    def _note_torn(self, connection: Connection, channels: Iterable[int | None], at: datetime) -> None:
        for channel in {self.channels.channel(number) for number in channels}:
            outbox_begin.note_loss(connection, self._lost_since(at), to_ms(at), channel[0] if channel else None)

    def _lost_since(self, at: datetime) -> int:
        """Nothing that waits is older; with no witness of it, that something is lost is all that is known."""
        return self._seen.since_ms if self._seen else to_ms(at)

    def _receipted(self, connection: Connection) -> tuple[Range, ...]:
        return tuple(
            Range(self._epochs[number], STREAMS[stream], first, last)
            for number, stream, first, last in receipt_ledger.told(connection)
            if number in self._epochs
        )
