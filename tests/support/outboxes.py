"""The gateway's outbox in a folder, and records to put into it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent import outbox_schema
from agent.group import Channel, Group, Lane, Resumed
from agent.outbox import MAX_BYTES, Outbox
from agent.outbox_schema import MAX_SEQUENCE, span
from agent.seal import KeyFolder
from agent.store import Database
from cloud_sync.uplink import Entry, Page, Stretch
from contract.alert import Alert, Transition
from contract.boot import TimeBase
from contract.consent import Purpose
from contract.ids import AlertId, DeviceId, Epoch, PersonId
from contract.record import AlertRecord, Gap, GapReason, Measured, Record, Stream
from contract.sample import ClockQuality, Flag, Reading

AT = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
PERSON = PersonId("resident-1")
RESEARCH: Channel = (PERSON, Purpose.RESEARCH)
EPOCHS = [Epoch(f"{number:016x}") for number in range(1, 9)]


def after(seconds: float) -> datetime:
    """A moment after AT."""
    return AT + timedelta(seconds=seconds)


def measured(*values: float, subject: str = "river-1", at: datetime = AT) -> Measured:
    """One sample of as many readings as there are values."""
    members = tuple(Reading("water_level", value, Flag.GOOD) for value in values)
    return Measured(subject, at, ClockQuality.SYNCHRONISED, members)


def gap() -> Gap:
    """A gap of one second."""
    return Gap("river-1", None, AT, AT + timedelta(seconds=1), GapReason.RESTART)


def alert(at: datetime = AT) -> AlertRecord:
    """One alert about the river."""
    raised = Alert(
        id=AlertId("a" * 32),
        rule="river_stage",
        rule_version="1",
        transition=Transition.RAISED,
        at=at,
        quantity="water_level",
        value=2.0,
        threshold=1.0,
        level=1,
        name_ja="氾濫注意水位",
        name_en="flood watch",
        evidence=(),
    )
    return AlertRecord("river-1", raised)


def group(
    *records: Record,
    stream: Stream = Stream.DATA,
    channel: Channel | None = None,
    base: TimeBase | None = None,
    at: datetime = AT,
) -> Group:
    """A group of one lane."""
    lane = Lane(stream, channel, base)
    things = {DeviceId("river-1"): at}
    return Group(at, {lane: list(records)}, {lane: len(records)}, things=things)


class OpenedOutbox(Outbox):
    """An outbox that keeps what it was opened with, and its file."""

    resumed: Resumed
    database: Database


@asynccontextmanager
async def outbox_in(
    folder: Path, epoch: Epoch = EPOCHS[0], batch_records: int = 1000, max_bytes: int = MAX_BYTES, at: datetime = AT
) -> AsyncIterator[OpenedOutbox]:
    """The outbox of the state folder `folder`; epochs that it draws itself are the following of EPOCHS."""
    drawn = iter(EPOCHS[EPOCHS.index(epoch) + 1 :] if epoch in EPOCHS else ())
    async with Database(folder / "outbox.db", outbox_schema.MIGRATIONS) as database:
        keys = KeyFolder(folder / "keys")
        outbox = OpenedOutbox(database, keys, epoch, batch_records, max_bytes, lambda: next(drawn))
        outbox.database = database
        outbox.resumed = await outbox.open(at)
        yield outbox


async def everything(outbox: Outbox, stream: Stream = Stream.DATA) -> tuple[Entry, ...]:
    """All that waits in a stream."""
    return await outbox.peek(stream, Stretch(0), Page(1_000_000, 2**30))


async def check_totals(outbox: OpenedOutbox) -> None:
    """The totals are what a scan finds."""
    for stream in Stream:
        low, high = span(stream)
        found = await outbox.database.read(
            lambda connection, low=low, high=high: connection.execute(
                "SELECT ifnull(sum(last - (id & ?) + 1), 0), ifnull(sum(length(blob)), 0),"
                " ifnull(sum(length(blob)) FILTER (WHERE id <= (SELECT thinned_to FROM mark)), 0)"
                " FROM entry WHERE id BETWEEN ? AND ?",
                (MAX_SEQUENCE, low, high),
            ).fetchone()
        )
        totals = outbox.totals
        assert (totals.records[stream], totals.bytes[stream]) == found[:2]
        if stream is Stream.DATA:
            assert totals.thinned_bytes == found[2]
