"""The hub link against a broker that goes away and comes back: it connects again, each time, and says so once."""

import asyncio
from datetime import UTC, datetime
from random import Random

from cloud_sync.backoff import Backoff
from cloud_sync.envelope import Hello, Receipt, encode_receipt
from cloud_sync.link import HubLink, Outbox
from cloud_sync.link_settings import LinkSettings
from cloud_sync.session import Broker
from cloud_sync.uplink import KnownTime, Page, Stretch
from contract.errors import StoreFull
from contract.ids import Epoch, GatewayId
from contract.record import Stream
from support.broker_door import publish
from support.waiting import until

EPOCH = Epoch("0" * 16)
CONNACK = bytes.fromhex("20020000")
SUBACK = bytes.fromhex("9003000100")
GREETING = publish(b"kanmon/gw-1/down/hello", encode_receipt(Receipt((), datetime(2026, 11, 22, tzinfo=UTC))))


class Empty:
    """An outbox with nothing in it."""

    withdrawals = generation = 0

    async def added(self, stream: Stream) -> None:
        await asyncio.Event().wait()

    async def newest(self, stream: Stream) -> int:
        return 0

    async def peek(self, stream: Stream, stretch: Stretch, page: Page) -> tuple:
        return ()

    def receipted(self) -> tuple:
        return ()

    async def again(self, ids) -> tuple:
        return ()

    async def remove(self, ranges) -> None:
        pass


class Heard:
    """What the link told."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def up(self) -> None:
        self.events.append("up")

    def lost(self, cause: str) -> None:
        self.events.append("lost")

    def hub_time(self, at) -> None:
        pass

    def fault(self, error) -> None:
        self.events.append("fault")


def link_over(broker: Broker, outbox: Outbox, heard: Heard) -> HubLink:
    hasty = Backoff(0.001, 0.002, 0.001)
    return HubLink([broker], outbox, KnownTime(), Hello("0.1.0", EPOCH), heard, LinkSettings(), hasty)


async def test_it_connects_again_after_every_loss_and_stops_when_told_to():
    """Promise 1: a hub that is killed ten times still gets what waits."""
    connections = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A broker that takes the connection and the subscription, and dies; each second time the hub is not there."""
        nonlocal connections
        connections += 1
        await reader.read(4096)
        writer.write(CONNACK)
        await reader.read(4096)
        writer.write(SUBACK)
        await reader.read(4096)
        if connections % 2:
            writer.write(GREETING)
        writer.close()

    heard = Heard()
    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    broker = Broker(f"mqtt://127.0.0.1:{port}", GatewayId("gw-1"), "x")
    link = link_over(broker, Empty(), heard)
    task = asyncio.ensure_future(link.run(Random(1)))
    async with server:
        await until(lambda: connections >= 10 or task.done())
        assert not task.done()
    await until(lambda: heard.events[-1] == "lost")
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()
    assert heard.events[:4] == ["up", "lost", "up", "lost"]


class Unreadable(Empty):
    """An outbox on a card with a bad sector."""

    def __init__(self) -> None:
        self.reads = 0

    async def peek(self, stream: Stream, stretch: Stretch, page: Page) -> tuple:
        self.reads += 1
        raise StoreFull("outbox.db: disk I/O error")


async def test_an_outbox_that_cannot_be_read_costs_the_connection_and_no_more():
    """Promise 3: the process that sounds the alarms goes on."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in (CONNACK, SUBACK):
            await reader.read(4096)
            writer.write(answer)
        await reader.read()
        writer.close()

    heard, outbox = Heard(), Unreadable()
    server = await asyncio.start_server(take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    broker = Broker(f"mqtt://127.0.0.1:{port}", GatewayId("gw-1"), "x")
    link = link_over(broker, outbox, heard)
    task = asyncio.ensure_future(link.run(Random(1)))
    async with server:
        await until(lambda: outbox.reads >= 6 or task.done())
        assert not task.done()
        task.cancel()
        await asyncio.wait([task], timeout=5)
    assert heard.events == ["lost"]
