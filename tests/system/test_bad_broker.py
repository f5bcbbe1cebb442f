"""Brokers that go wrong: the real agent goes on and says so once; nothing is lost or doubled in the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from random import Random

import pytest

from support.broker_door import (
    CONNACK,
    CONNACK_REFUSED,
    Door,
    Play,
    broker_door,
    closes,
    closes_after_connack,
    closes_after_connect,
    next_packet,
    polite,
    publish,
)
from support.counting_station import SETTINGS, CountingLine, counting_station
from support.processes import Gateway, Hub, running
from support.waiting import until

RSS_MOST = 90 * 2**20
TRIES = 4


@dataclass
class Line(CountingLine):
    """A station that counts, a gateway, a door and a hub behind it."""

    door: Door

    def said(self) -> list[str]:
        return [line for line in self.gateway.log.read_text().splitlines() if " hub: " in line]


@pytest.fixture(scope="module")
async def line(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Line]:
    folder = tmp_path_factory.mktemp("broker")
    station, counting = counting_station(folder, 0.02)
    hub = Hub(folder)
    async with AsyncExitStack() as stack:
        await station.start()
        stack.push_async_callback(station.stop)
        await stack.enter_async_context(running(hub))
        door = await stack.enter_async_context(broker_door(hub.mqtt_port))
        password = await hub.add_gateway("gw-1")
        gateway = Gateway(folder, SETTINGS.format(port=door.port, password=password, modbus=station.port))
        await stack.enter_async_context(running(gateway))
        yield Line(hub, gateway, counting, door)


async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await next_packet(reader)
    writer.write(CONNACK_REFUSED)
    await reader.read()


async def closes_when_served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes the connection and the subscription, and hangs up: as a broker on which the same id connects twice."""
    serving = asyncio.create_task(polite(reader, writer, bytes))
    await asyncio.wait([serving], timeout=0.1)
    serving.cancel()
    await asyncio.wait([serving])


async def babbles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(Random(3).randbytes(100_000))
    await writer.drain()


async def speaks_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize("play", [refuses, closes_when_served], ids=lambda play: play.__name__)
async def test_a_broker_that_does_not_serve_is_said_once_and_tried_with_patience(line: Line, play: Play) -> None:
    """A wrong password, a broker that hangs up: no storm of attempts, none of lines."""
    await not_served(line, play, TRIES)


@pytest.mark.long
@pytest.mark.parametrize(
    "play",
    [closes, closes_after_connect, closes_after_connack, babbles, speaks_http],
    ids=lambda play: play.__name__,
)
async def test_whatever_answers_instead_of_a_broker_is_said_once(line: Line, play: Play) -> None:
    """It closes before CONNACK or SUBACK, or says what is neither."""
    await not_served(line, play, 2)


async def not_served(line: Line, play: Play, tries: int) -> None:
    await line.all_arrive()
    said, connections = len(line.said()), line.door.connections
    await line.door.turn(play)
    loop = asyncio.get_running_loop()
    start = loop.time()
    await until(lambda: line.door.connections >= connections + tries, 30)
    assert line.said()[said:] == [one for one in line.said()[said:] if "lost" in one][:1], "said more than once"
    assert loop.time() - start > 0.2, "a storm of connections"
    await line.door.turn(None)
    await line.all_arrive()
    assert len(line.said()) <= said + 2


MALFORMED = {
    "topic beyond the packet": b"\x30\x04\x00\x50ab",
    "no topic": b"\x30\x00",
    "half a topic length": b"\x30\x01\x00",
    "topic that is no UTF-8": publish(b"\xff\xfe\xfd", b"x"),
    "topic with a wildcard": publish(b"kanmon/#", b"x"),
    "qos 3": b"\x36" + publish(b"kanmon/gw-1/down/receipt", b"{}")[1:],
    "qos 2 without id": b"\x34\x03\x00\x01a",
    "suback of a wrong length": b"\x90\x01\x00",
    "puback of nothing": b"\x40\x00",
    "puback of an unknown message": b"\x40\x02\xff\xff",
    "connack again": CONNACK,
    "reserved type": b"\xf0\x00",
    "type 0": b"\x00\x00",
    "length that never ends": b"\x30\xff\xff\xff\xff\xff\xff",
    "a client's packet": b"\x10\x00",
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_packet_costs_a_connection_at_most(line: Line, name: str) -> None:
    await line.all_arrive()
    said = line.gateway.log.stat().st_size
    line.door.inject(MALFORMED[name])
    await line.all_arrive()
    assert line.gateway.log.stat().st_size - said < 600, line.said()[-5:]


RECEIPT = b"kanmon/gw-1/down/receipt"
NOT_RECEIPTS = (
    b"",
    b"\xff" * 100,
    b"[" * 50_000,
    b"{}",
    b'{"v":[1,0]}',
    b'{"v":[2,0],"ranges":[],"time":"2026-11-22T00:00:00Z"}',
    b'{"v":[1,0],"ranges":[],"time":"2026-11-22T00:00:00"}',
    b'{"v":[1,0],"ranges":[["x","data",1,2]],"time":"2026-11-22T00:00:00Z"}',
    b'{"v":[1,0],"ranges":[["0000000000000000","data",0,2]],"time":"2026-11-22T00:00:00Z"}',
    b'{"v":[1,0],"ranges":[["0000000000000000","data",1,%d]],"time":"2026-11-22T00:00:00Z"}' % 2**80,
    b'{"v":[1,0],"ranges":[],"time":1e400}',
)
STRANGE_RECEIPTS = (
    b'{"v":[1,0],"ranges":[["0000000000000000","data",1,9223372036854775807]],"time":"0001-01-01T00:00:00+14:00"}',
    b'{"v":[1,0],"ranges":[["0000000000000000","data",9,2]],"time":"9999-12-31T23:59:59-14:00"}',
    b'{"v":[1,0],"ranges":[%s],"time":"2026-11-22T00:00:00Z"}'
    % b",".join([b'["0000000000000000","alert",1,2]'] * 3000),
)


async def test_receipts_that_are_none_take_nothing_out_of_the_outbox(line: Line) -> None:
    await line.all_arrive()
    said, connections = len(line.said()), line.door.connections
    epoch = (await line.gateway.status())["epoch"].encode()
    for payload in (*NOT_RECEIPTS, *STRANGE_RECEIPTS):
        line.door.inject(publish(RECEIPT, payload))
        line.door.inject(publish(b"kanmon/gw-1/down/hello", payload))
        line.door.inject(publish(b"kanmon/gw-1/down/unheard-of", payload))
        line.door.inject(publish(b"kanmon/gw-2/down/receipt", payload))
    backwards = b'{"v":[1,0],"ranges":[["%s","data",1099511627776,3]],"time":"2026-11-22T00:00:00Z"}' % epoch
    line.door.inject(publish(RECEIPT, backwards))
    await line.all_arrive()
    assert line.door.connections == connections, "the link was lost over a message"
    told = line.said()[said:]
    assert len(told) <= 8, told
    assert any("faults so far" in one for one in told)


async def test_a_giant_message_does_not_grow_the_agent(line: Line) -> None:
    """256 MiB are announced and 16 MiB sent."""

    async def sends_a_giant(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b"\x30\xff\xff\xff\x7f" + len(RECEIPT).to_bytes(2, "big") + RECEIPT
        serving = asyncio.create_task(polite(reader, writer, lambda: head))
        for _ in range(16):
            writer.write(bytes(2**20))
            await writer.drain()
        await serving

    await line.all_arrive()
    connections = line.door.connections
    await line.door.turn(sends_a_giant)
    await until(lambda: line.door.connections > connections, 20)
    await until(lambda: rss(line.gateway.pid) > 0)
    await line.door.turn(None)
    await line.all_arrive()
    assert rss(line.gateway.pid) < RSS_MOST


async def test_an_acknowledgement_of_the_broker_alone_removes_nothing(line: Line) -> None:
    """A broker that takes everything and stores nothing: all of it comes again once the right one is back."""
    await line.all_arrive()
    await line.door.turn(partial(polite, subscribed=bytes))
    count = line.counting.count
    await until(lambda: line.counting.count > count + 100, 20)
    assert (await line.gateway.status())["outbox"]["data"] >= 50
    await line.door.turn(None)
    await line.all_arrive()


async def test_a_link_that_is_open_and_dead_loses_nothing(line: Line) -> None:
    """A black hole, and then its end by a cut."""
    await line.all_arrive()
    line.door.is_dead = True
    count = line.counting.count
    await until(lambda: line.counting.count > count + 100, 20)
    await line.door.turn(None)
    await line.all_arrive()


@pytest.mark.long
async def test_a_link_that_stays_dead_is_found_out_and_given_up(line: Line) -> None:
    await line.all_arrive()
    said, connections = len(line.said()), line.door.connections
    line.door.is_dead = True
    await until(lambda: len(line.said()) > said, 40)
    await until(lambda: line.door.connections > connections + 1, 60)
    assert len(line.said()) == said + 1
    await line.door.turn(None)
    await line.all_arrive()


async def test_a_broker_that_repeats_everything_doubles_nothing(line: Line) -> None:
    """Each message up and each receipt down comes three times, as at QoS 1 it may."""
    await line.all_arrive()
    line.door.copies = 3
    count = line.counting.count
    await until(lambda: line.counting.count > count + 100, 20)
    await line.all_arrive()
    line.door.copies = 1


async def test_a_broker_that_is_late_is_waited_for(line: Line) -> None:
    """Half a second each way: fresh values and receipts pass each other, nothing is lost or sent anew for it."""
    await line.all_arrive()
    connections = line.door.connections
    line.door.delay_s = 0.5
    count = line.counting.count
    await until(lambda: line.counting.count > count + 100, 20)
    line.door.delay_s = 0.0
    await line.all_arrive()
    assert line.door.connections == connections


async def test_the_logs_hold_no_secret_and_no_traceback(line: Line) -> None:
    """After all of the above. Last in this file."""
    said = line.gateway.log.read_text() + line.hub.log.read_text()
    assert "Traceback" not in said
    assert (line.hub.state / "credentials" / "gw-1.password").read_text().strip() not in said
    assert said.isascii()


def rss(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:
        return next(int(one.split()[1]) * 1024 for one in status if one.startswith("VmRSS"))
