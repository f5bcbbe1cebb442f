"""The hub link against brokers and hubs that go away, forget, refuse and repeat: byte by byte on loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random

import pytest

from cloud_sync.backoff import Backoff
from cloud_sync.envelope import MAX_RECEIPTED, Hello, Receipt, decode_envelope, decode_hello, encode_receipt
from cloud_sync.link import HubLink, Outbox
from cloud_sync.link_settings import LinkSettings
from cloud_sync.session import Broker
from cloud_sync.uplink import KnownTime, Page, Stretch
from contract.errors import StoreFull
from contract.ids import GatewayId
from contract.record import Range, Stream
from support.broker_door import (
    Door,
    broker_door,
    closes_after_connack,
    never_acknowledges,
    never_answers,
    polite,
    publish,
    refuses_the_subscription,
)
from support.memory_outbox import MemoryOutbox
from support.waiting import until

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HASTY = Backoff(0.001, 0.002, 0.001)
PATIENCE = LinkSettings(publish_timeout_s=0.3, resend_first_s=0.1)
LONG = LinkSettings(resend_first_s=300.0)


def said(leaf: str, ranges=(), time: datetime = NOON) -> bytes:
    return publish(f"kanmon/gw-1/down/{leaf}".encode(), encode_receipt(Receipt(tuple(ranges), time)))


def receipt(ranges: list[Range]) -> bytes:
    return said("receipt", ranges)


@dataclass
class Hub:
    """A hub behind a polite broker. `answer` makes of the ranges of a message what is said to the gateway."""

    answer: Callable[[list[Range]], bytes] = receipt
    time: datetime = NOON
    got: list[Range] = field(default_factory=list)
    hellos: list[Hello] = field(default_factory=list)

    def published(self, topic: bytes, payload: bytes) -> bytes:
        if topic.endswith(b"/hello"):
            self.hellos.append(decode_hello(payload))
            return said("hello", time=self.time)
        ranges = [part.range for part in decode_envelope(payload).parts]
        self.got.extend(ranges)
        return self.answer(ranges)

    async def play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await polite(reader, writer, published=self.published)


class Heard:
    """What the link told."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.causes: list[str] = []
        self.times: list[datetime] = []

    def up(self) -> None:
        self.events.append("up")

    def lost(self, cause: str) -> None:
        self.events.append("lost")
        self.causes.append(cause)

    def hub_time(self, at: datetime) -> None:
        self.times.append(at)

    def fault(self, error) -> None:
        self.events.append("fault")


@asynccontextmanager
async def linked(outbox: Outbox, heard: Heard, *plays, settings=PATIENCE, backoff=HASTY) -> AsyncIterator[list[Door]]:
    """The link over a broker for each of `plays`."""
    async with AsyncExitStack() as stack:
        doors = [await stack.enter_async_context(broker_door(0)) for _ in plays]
        for door, play in zip(doors, plays, strict=True):
            door.play = play
        brokers = [Broker(f"mqtt://127.0.0.1:{door.port}", GatewayId("gw-1"), "x") for door in doors]
        link = HubLink(brokers, outbox, KnownTime(), "0.1.0", heard, settings, backoff)
        task = asyncio.create_task(link.run(Random(1)))
        try:
            yield doors
        finally:
            assert not task.done(), task.exception()
            task.cancel()
            await asyncio.wait([task], timeout=5)
            assert task.cancelled()


async def test_it_connects_again_after_every_loss_and_stops_when_told_to():
    """Promise 1: a hub that is killed ten times still gets what waits; an outage is told once."""
    heard, hub = Heard(), Hub()
    async with linked(MemoryOutbox(), heard, hub.play) as (door,):
        for number in range(1, 6):
            await until(lambda number=number: heard.events == ["up", "lost"] * (number - 1) + ["up"])
            before = door.connections
            await door.turn(closes_after_connack)
            await until(lambda before=before: door.connections > before + 2)
            await door.turn(hub.play)


async def test_it_ends_at_once_whenever_it_is_told_to(caplog: pytest.LogCaptureFixture):
    """Also in the moment in which a connection fails, which swallowed the cancellation; and without a traceback."""
    for turns in range(0, 240, 4):
        async with linked(MemoryOutbox(), Heard(), Hub().play, closes_after_connack):
            for _ in range(turns):
                await asyncio.sleep(0)
    assert not [record for record in caplog.records if record.name == "asyncio"]


class Unreadable(MemoryOutbox):
    """An outbox on a card with a bad sector."""

    reads = 0

    async def peek(self, stream: Stream, stretch: Stretch, page: Page) -> tuple:
        self.reads += 1
        raise StoreFull("outbox.db: disk I/O error")


async def test_an_outbox_that_cannot_be_read_costs_the_connection_and_no_more():
    """Promise 3: the process that sounds the alarms goes on."""
    heard, outbox = Heard(), Unreadable()
    async with linked(outbox, heard, polite):
        await until(lambda: outbox.reads >= 6)
    assert heard.events == ["lost"]


async def test_the_next_hub_is_taken_over_by_at_once_and_kept():
    """The first is killed and comes back: nothing hops back to it."""
    heard, first, second = Heard(), Hub(), Hub()
    outbox = MemoryOutbox()
    async with linked(outbox, heard, first.play, second.play, settings=LONG) as (one, two):
        await until(lambda: heard.events == ["up"])
        await one.turn(first.play)
        await until(lambda: heard.events == ["up", "lost", "up"])
        assert (one.connections, two.connections) == (1, 1)
        outbox.put(Stream.DATA)
        await until(lambda: not outbox.waiting())
        assert (one.connections, two.connections) == (1, 1)
        assert second.got


async def test_a_dead_hub_among_several_is_passed_over_without_delay():
    """The back-off grows only once all have failed: here it would take minutes."""
    heard, hub = Heard(), Hub()
    patient = Backoff(300.0, 300.0, 0.001)
    async with linked(MemoryOutbox(), heard, closes_after_connack, closes_after_connack, hub.play, backoff=patient):
        await until(lambda: heard.events == ["lost", "up"])


@pytest.mark.parametrize(
    ("play", "cause"),
    [
        (never_answers, "timed out"),
        (never_acknowledges, "timed out"),
        (refuses_the_subscription, "refuses to let gw-1"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_a_broker_that_does_not_answer_or_refuses_is_told_with_its_place_once(play, cause):
    """CONNACK never, PUBACK never, SUBACK with a failure: none of them counts as a success."""
    heard, outbox = Heard(), MemoryOutbox()
    outbox.put(Stream.DATA)
    async with linked(outbox, heard, play) as (door,):
        await until(lambda: door.connections >= 3)
        assert heard.events == ["lost"]
        assert cause in heard.causes[0]
        assert outbox.waiting()
        hub = Hub()
        await door.turn(hub.play)
        await until(lambda: not outbox.waiting())


async def test_a_broker_that_acknowledges_and_forgets_gets_everything_again():
    """A PUBACK is not storage: without the hub's receipt a message comes again, on the same connection."""
    heard, outbox, forgetful = Heard(), MemoryOutbox(), Hub(answer=lambda ranges: b"")
    expected = {outbox.put(stream) for stream in Stream}
    async with linked(outbox, heard, forgetful.play) as (door,):
        await until(lambda: all(forgetful.got.count(range_) >= 2 for range_ in expected))
        assert len(outbox.waiting()) == 2
        forgetful.answer = receipt
        await until(lambda: not outbox.waiting())
        assert door.connections == 1


async def test_receipts_that_come_twice_or_for_others_or_for_a_part_do_no_harm():
    """Of an entry that a receipt covers in part nothing is taken out; it is sent again and then receipted whole."""
    heard, outbox, partial_once = Heard(), MemoryOutbox(), []

    def answer(ranges: list[Range]) -> bytes:
        whole = said("receipt", ranges)
        if not partial_once:
            partial_once.append(ranges)
            stranger = replace_epoch(ranges[0])
            return said("receipt", [ranges[0]._replace(last=ranges[0].last - 1), stranger])
        return whole + whole + said("receipt", [ranges[0]._replace(first=1, last=2**62)])

    hub = Hub(answer)
    async with linked(outbox, heard, hub.play):
        range_ = outbox.put(Stream.DATA, 5)
        await until(lambda: not outbox.waiting())
    assert hub.got.count(range_) == 2
    assert heard.events == ["up"]


def replace_epoch(range_: Range) -> Range:
    return Range("f" * 16, *range_[1:])


async def test_what_is_no_receipt_is_a_fault_and_the_next_one_counts():
    heard, outbox = Heard(), MemoryOutbox()
    nonsense = publish(b"kanmon/gw-1/down/receipt", b'{"v":[1,0],"ranges":[["x"')
    hub = Hub(answer=lambda ranges: nonsense + said("receipt", ranges))
    async with linked(outbox, heard, hub.play, settings=LONG):
        for _ in range(3):
            outbox.put(Stream.DATA)
        await until(lambda: not outbox.waiting())
    assert heard.events[0] == "up"
    assert set(heard.events[1:]) == {"fault"}


async def test_a_hub_whose_time_jumps_still_gets_each_record_once():
    """Centuries forward and back, hello by hello and receipt by receipt: each is told on, none stops a message."""
    heard, outbox = Heard(), MemoryOutbox()
    times = iter([datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)])
    hub = Hub(answer=lambda ranges: said("receipt", ranges, next(times)))
    async with linked(outbox, heard, hub.play, settings=LONG):
        for _ in range(3):
            outbox.put(Stream.DATA)
            await until(lambda: not outbox.waiting())
    assert [time.year for time in heard.times] == [2026, 1970, 9999, 1]
    assert len(hub.got) == len(set(hub.got)) == 3


async def test_each_hello_states_what_was_receipted():
    """A hub that was restored from a backup learns so what it lost."""
    heard, hub = Heard(), Hub()
    outbox = MemoryOutbox()
    async with linked(outbox, heard, hub.play) as (door,):
        await until(lambda: hub.hellos)
        ranges = []
        for _ in range(MAX_RECEIPTED + 6):
            ranges.append(outbox.put(Stream.DATA))
        outbox.told.clear()
        await until(lambda: not outbox.waiting())
        outbox.told = ranges
        await door.turn(hub.play)
        await until(lambda: len(hub.hellos) == 2)
    assert hub.hellos[0].receipted == ()
    assert hub.hellos[1].receipted == tuple(ranges[-MAX_RECEIPTED:])
    assert replace(hub.hellos[1], receipted=()) == hub.hellos[0]
