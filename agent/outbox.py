"""The outbox: what waits for the hub's receipt, in SQLite. Only a receipt, or a withdrawal, takes anything out of it.

A group is written in one transaction: records, the marks from which gaps follow after a crash, open windows and alarm
states. Personal records lie in blobs of one person and one purpose, sealed with that channel's key.
"""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from agent import outbox_sql, receipt_ledger
from agent.group import Channel, Group, Lane, Resumed
from agent.outbox_schema import MAX_EPOCH_NUMBER, MAX_SEQUENCE, STREAMS, row_id, span, split
from agent.outbox_sql import Row, Stored
from agent.seal import KeyFolder, seal, unseal
from agent.store import Connection, Database
from cloud_sync.blob import encode, from_ms, in_blob_order, to_ms
from cloud_sync.correction import Settle, unsettled
from cloud_sync.envelope import Part
from cloud_sync.uplink import Entry, Page, Stretch
from contract.boot import TimeBase
from contract.consent import Purpose
from contract.errors import KanmonError, StoreFull, Tampered
from contract.ids import DeviceId, Epoch, PersonId
from contract.record import Range, Record, Stream, merged, records_in

ALARM_KEY = "alarms"
MAX_DOWNTIMES = 1000
DOWNTIME_MARGIN_MS = 1000
"""What was handed to this gateway less than this before its last commit may still have been in a kernel's buffer."""

TURN_SAMPLES = 50
"""Samples encoded between two turns of the event loop: about a millisecond for samples of 100 readings."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Blob:
    lane: Lane
    first: int
    last: int
    samples: int
    plain: bytes
    forgotten: int
    """How often its channel had been forgotten when it was made."""


class Outbox:
    """The store of one run of the agent, under one epoch; rows of earlier runs keep theirs."""

    def __init__(self, database: Database, keys: KeyFolder, epoch: Epoch, batch_records: int) -> None:
        self._database = database
        self._keys = keys
        self._epoch = epoch
        self._batch_records = batch_records
        self._epochs: dict[int, Epoch] = {}
        self._numbers: dict[Epoch, int] = {}
        self._channels: dict[int, Channel] = {}
        self._next = dict.fromkeys(Stream, 1)
        self.waiting = dict.fromkeys(Stream, 0)
        self.withheld = 0
        self.downtime: list[tuple[datetime, datetime]] = []
        self._forgotten: Counter[Channel | None] = Counter()
        self._receipted: tuple[Range, ...] = ()
        self._has_said_lost = False
        self._added = {stream: asyncio.Event() for stream in Stream}

    async def open(self, at: datetime, settle: Settle = unsettled) -> Resumed:
        """Read what is left, note how long this gateway was dead, and begin the epoch.

        `settle` gives what puts marks right that rest on a base, by what is known of its boot.
        """
        return await self._database.write(lambda connection: self._begin(connection, at, settle))

    async def commit(self, group: Group) -> None:
        """Write the group in one transaction; when this returns it survives a power cut. StoreFull: none of it did."""
        group.count_withdrawn()
        # From here to the end of the write a withdrawal's own write, which comes after it, counts what it forgets.
        blobs = [self._as_agreed(blob) for blob in [blob async for blob in self._encoded(group)]]
        group.is_on_its_way, before = True, dict(self._next)
        self._next.update({blob.lane.stream: blob.last + 1 for blob in blobs})
        try:
            states = dict(group.states)  # what is withdrawn from here on is forgotten after this write
            await self._database.write(lambda connection: self._write(connection, group, blobs, states))
        except KanmonError:
            group.is_on_its_way, self._next = False, before
            raise
        except asyncio.CancelledError:
            self._account(group, blobs)
            raise
        self._account(group, blobs)

    def _account(self, group: Group, blobs: Sequence[_Blob]) -> None:
        group.is_written = True
        self.withheld += group.withheld
        for blob in blobs:
            self.waiting[blob.lane.stream] += blob.last - blob.first + 1
            self._added[blob.lane.stream].set()

    @property
    def withdrawals(self) -> int:
        """How often something that waits was withdrawn."""
        return self._forgotten.total()

    async def added(self, stream: Stream) -> None:
        """Return once something was committed to the stream since the last call."""
        await self._added[stream].wait()
        self._added[stream].clear()

    @property
    def generation(self) -> int:
        """How often the ids began anew."""
        return 0

    async def newest(self, stream: Stream) -> int:
        """The highest id that waits in a stream; 0 when nothing does."""
        return await self._database.read(lambda connection: outbox_sql.newest(connection, span(stream)))

    async def peek(self, stream: Stream, stretch: Stretch, page: Page) -> tuple[Entry, ...]:
        """The oldest entries of a stretch of a stream that fit the page, personal ones opened."""
        low, high = span(stream)
        which = Stretch(max(stretch.after, low), min(stretch.up_to, high))
        return await self._database.read(lambda connection: self._entries(outbox_sql.page(connection, which, page)))

    async def again(self, ids: Sequence[int]) -> tuple[Entry, ...]:
        """The entries of `ids` that still wait, as they are now."""
        which = f"id IN ({','.join('?' * len(ids))}) ORDER BY id"
        return await self._database.read(
            lambda connection: self._entries(outbox_sql.select(connection, which, tuple(ids)))
        )

    async def remove(self, ranges: Iterable[Range]) -> None:
        """Take out what the hub's receipt names; ranges this outbox does not hold are no fault."""
        known = sorted(r for r in ranges if r.epoch in self._numbers and r.last <= MAX_SEQUENCE)
        bounds = [
            (self._id(stream, epoch, first), last, self._id(stream, epoch, last))
            for epoch, stream, first, last in merged(known)
        ]
        spans = [
            (self._numbers[epoch], STREAMS.index(stream), first, min(last, self._given(epoch, stream)))
            for epoch, stream, first, last in merged(known)
            if first <= self._given(epoch, stream)
        ]
        gone = await self._database.write(lambda connection: self._take_out(connection, bounds, spans))
        for stream, count in gone.items():
            self.waiting[stream] -= count

    def receipted(self) -> tuple[Range, ...]:
        """What the hub has receipted of the latest epochs, as far as a hello states it."""
        return self._receipted

    def _given(self, epoch: Epoch, stream: Stream) -> int:
        """The last number that was given; of earlier runs it is not known any more."""
        return self._next[stream] - 1 if epoch == self._epoch else MAX_SEQUENCE

    def _take_out(
        self, connection: Connection, bounds: Sequence[tuple[int, int, int]], spans: Sequence[receipt_ledger.Span]
    ) -> dict[Stream, int]:
        gone = outbox_sql.delete(connection, bounds)
        receipt_ledger.note(connection, spans)
        self._load_receipted(connection)
        return gone

    def _load_receipted(self, connection: Connection) -> None:
        self._receipted = tuple(
            Range(self._epochs[number], STREAMS[stream], first, last)
            for number, stream, first, last in receipt_ledger.told(connection)
        )

    def channels(self) -> frozenset[Channel]:
        """Every person and purpose that ever had something to send."""
        return frozenset(self._channels.values())

    async def forget(self, person: PersonId, purpose: Purpose) -> int:
        """Destroy what waits unsent for a purpose; tombstones keep its numbers. Returns how many samples it was.

        The key goes first: cut anywhere after that, the rest is unreadable and is sent as tombstones.
        """
        self._forgotten[person, purpose] += 1
        samples = await self._database.write(lambda connection: self._forget(connection, person, purpose))
        self.withheld += samples
        return samples

    def _id(self, stream: Stream, epoch: Epoch, sequence: int) -> int:
        return row_id(stream, self._numbers[epoch], sequence)

    def _begin(self, connection: Connection, at: datetime, settle: Settle) -> Resumed:
        connection.execute(
            "DELETE FROM epoch WHERE no <= (SELECT max(no) FROM epoch) - ?"
            " AND no NOT IN (SELECT DISTINCT id >> 40 & ? FROM entry)",
            (receipt_ledger.KEPT_EPOCHS, MAX_EPOCH_NUMBER),
        )
        number = connection.execute("INSERT INTO epoch (epoch) VALUES (?) RETURNING no", (self._epoch,)).fetchone()[0]
        if number > MAX_EPOCH_NUMBER:
            raise StoreFull("the outbox has seen more restarts than its row ids can hold; move the file away")
        self._epochs = {no: Epoch(epoch) for no, epoch in connection.execute("SELECT no, epoch FROM epoch")}
        self._numbers = {epoch: no for no, epoch in self._epochs.items()}
        receipt_ledger.shorten(connection)
        self._load_receipted(connection)
        for stream in Stream:
            self.waiting[stream] = connection.execute(
                "SELECT coalesce(sum(last - (id & ?) + 1), 0) FROM entry WHERE id BETWEEN ? AND ?",
                (MAX_SEQUENCE, *span(stream)),
            ).fetchone()[0]
        mark = connection.execute("SELECT alive_ms, withheld, things, boot, zero_ms FROM mark").fetchone()
        alive_ms, self.withheld, things, boot, zero_ms = mark
        moved = settle(TimeBase(boot, zero_ms) if boot else None)
        if alive_ms:
            alive_ms = to_ms(moved(from_ms(alive_ms)))
            connection.execute("INSERT INTO downtime VALUES (?, ?)", (alive_ms - DOWNTIME_MARGIN_MS, to_ms(at)))
            connection.execute(
                "DELETE FROM downtime WHERE rowid <= (SELECT max(rowid) FROM downtime) - ?", (MAX_DOWNTIMES,)
            )
        spans = connection.execute("SELECT start_ms, end_ms FROM downtime")
        self.downtime = [(from_ms(start), from_ms(end)) for start, end in spans]
        last = {DeviceId(device): moved(from_ms(at_ms)) for device, at_ms in json.loads(things).items()}
        return Resumed(last, self._load_states(connection), self._load_alarms(connection))

    def _load_states(self, connection: Connection) -> dict[Channel, Mapping[str, object]]:
        states: dict[Channel, Mapping[str, object]] = {}
        for id_, person, purpose, sealed in connection.execute("SELECT id, person, purpose, state FROM channel"):
            channel = PersonId(person), Purpose(purpose)
            self._channels[id_] = channel
            if sealed is not None and (plain := self._open(id_, sealed, f"state/{id_}")):
                states[channel] = json.loads(plain)
        return states

    def _load_alarms(self, connection: Connection) -> dict[str, Mapping[str, object]]:
        key = self._keys.key(ALARM_KEY)
        alarms: dict[str, Mapping[str, object]] = {}
        for rule, sealed in connection.execute("SELECT rule, state FROM alarm"):
            try:
                alarms[rule] = json.loads(unseal(key, sealed, f"alarm/{rule}"))
            except Tampered:
                continue  # an alarm that does not open starts anew: it may ring twice, it is never silent
        return alarms

    async def _encoded(self, group: Group) -> AsyncIterator[_Blob]:
        """The group's blobs, numbered. Made on the event loop, which is given a turn now and then.

        In the store's thread it took thirty times as long beside a busy loop: zlib gives the interpreter lock away.
        """
        numbers, turn = dict(self._next), 0
        forgotten = Counter(self._forgotten)  # as it was before the first turn in which something may be withdrawn
        for lane in list(group.records):
            records = group.records.get(lane, [])  # none when it was withdrawn in another's turn
            samples, stream = group.samples.get(lane, 0), lane.stream
            for chunk in _chunks(in_blob_order(records), self._batch_records):
                first, numbers[stream] = numbers[stream], numbers[stream] + sum(map(records_in, chunk))
                last = numbers[stream] - 1
                yield _Blob(lane, first, last, samples, encode(chunk, lane.base), forgotten[lane.channel])
                samples = 0  # told once, with the group's first blob
                turn += len(chunk)
                if turn >= TURN_SAMPLES:
                    turn = 0
                    await asyncio.sleep(0)

    def _as_agreed(self, blob: _Blob) -> _Blob:
        """A tombstone in its place when it was withdrawn while others were encoded; its samples are counted then."""
        is_agreed = blob.lane.channel is None or blob.forgotten == self._forgotten[blob.lane.channel]
        return blob if is_agreed else replace(blob, samples=0, plain=b"")

    def _write(
        self,
        connection: Connection,
        group: Group,
        blobs: Sequence[_Blob],
        states: Mapping[Channel, Mapping[str, object]],
    ) -> None:
        outbox_sql.insert(connection, [self._row(connection, blob) for blob in blobs])
        for channel, state in states.items():
            id_ = self._channel_id(connection, channel)
            sealed = seal(self._keys.key(_key_name(id_)), json.dumps(state).encode(), f"state/{id_}")
            connection.execute("UPDATE channel SET state = ? WHERE id = ?", (sealed, id_))
        for rule, state in group.alarms.items():
            sealed = seal(self._keys.key(ALARM_KEY), json.dumps(state).encode(), f"alarm/{rule}")
            connection.execute(
                "INSERT INTO alarm VALUES (?, ?) ON CONFLICT DO UPDATE SET state = excluded.state", (rule, sealed)
            )
        things = json.dumps({device: to_ms(at) for device, at in group.things.items()})
        connection.execute(
            "UPDATE mark SET alive_ms = ?, withheld = withheld + ?, things = ?, boot = ?, zero_ms = ?",
            (to_ms(group.at), group.withheld, things, *(group.base or (None, None))),
        )

    def _row(self, connection: Connection, blob: _Blob) -> Row:
        stream, channel, base = blob.lane
        id_, boot, content = self._id(stream, self._epoch, blob.first), base and base.boot, blob.plain
        channel_id = None if channel is None else self._channel_id(connection, channel)
        if channel_id is not None and content:
            content = seal(self._keys.key(_key_name(channel_id)), content, f"entry/{id_}")
        return id_, blob.last, blob.samples, channel_id, content, boot

    def _channel_id(self, connection: Connection, channel: Channel) -> int:
        row = connection.execute("SELECT id FROM channel WHERE person = ? AND purpose = ?", channel).fetchone()
        if row is None:
            insert = "INSERT INTO channel (person, purpose) VALUES (?, ?) RETURNING id"
            row = connection.execute(insert, channel).fetchone()
        self._channels[row[0]] = channel
        return int(row[0])

    def _entries(self, rows: Iterable[Stored]) -> tuple[Entry, ...]:
        entries = []
        for row in rows:
            stream, number, first = split(row.id)
            range_ = Range(self._epochs[number], stream, first, row.last)
            if row.channel is None:
                entries.append(Entry(row.id, Part(range_, None, row.blob), row.boot))
                continue
            plain = self._open(row.channel, row.blob, f"entry/{row.id}") if row.blob else b""
            if row.blob and not plain and not self._has_said_lost:
                self._has_said_lost = True
                log.error("outbox: sealed records do not open, their key is lost or they are damaged; they go unsent")
            entries.append(Entry(row.id, Part(range_, self._channels[row.channel][1], plain), row.boot))
        return tuple(entries)

    def _open(self, channel_id: int, sealed: bytes, place: str) -> bytes:
        """The plain bytes, or none when the key they were sealed with is gone: withdrawn in the middle of a cut."""
        name = _key_name(channel_id)
        if not self._keys.has(name):
            return b""
        try:
            return unseal(self._keys.key(name), sealed, place)
        except Tampered:
            return b""

    def _forget(self, connection: Connection, person: PersonId, purpose: Purpose) -> int:
        row = connection.execute(
            "SELECT id FROM channel WHERE person = ? AND purpose = ?", (person, purpose)
        ).fetchone()
        if row is None:
            return 0
        self._keys.destroy(_key_name(row[0]))
        samples = connection.execute(
            "SELECT coalesce(sum(samples), 0) FROM entry WHERE channel = ? AND length(blob) > 0", row
        ).fetchone()[0]
        connection.execute("UPDATE entry SET blob = x'' WHERE channel = ?", row)
        connection.execute("UPDATE channel SET state = NULL WHERE id = ?", row)
        connection.execute("UPDATE mark SET withheld = withheld + ?", (samples,))
        return int(samples)


def _key_name(channel_id: int) -> str:
    return f"channel-{channel_id}"


def _chunks(records: Sequence[Record], limit: int) -> Iterable[Sequence[Record]]:
    """`records` cut so that each piece takes about `limit` numbers, one record at least."""
    start, count = 0, 0
    for index, record in enumerate(records):
        size = records_in(record)
        if count and count + size > limit:
            yield records[start:index]
            start, count = index, 0
        count += size
    if count:
        yield records[start:]
