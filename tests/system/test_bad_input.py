"""Any bytes on any door of the real hub: it goes on, says so in bounded words, and good data arrives once."""

import asyncio
import json
import socket
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import aiomqtt
import httpx
import pytest

from cloud_sync import blob, topics
from cloud_sync.envelope import Part, decode_receipt, encode_envelope
from contract.consent import Purpose
from contract.ids import Epoch, GatewayId
from contract.record import Measured, Range, Record, Stream
from contract.sample import ClockQuality, Flag, Reading
from support.processes import Hub, running
from support.waiting import until

GATEWAY, OTHER = GatewayId("gw-1"), GatewayId("gw-2")
EPOCH = Epoch("00000000000000d1")
NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
CANARY = "canaryheart"
LOG_BYTES_MOST = 6000
RSS_MOST = 200 * 2**20
CLIENTS = 200


@dataclass
class Door:
    """A hub, and a gateway that numbers its good readings."""

    hub: Hub
    password: str
    client: aiomqtt.Client
    sent: int = 0

    async def good(self, *beside: Part) -> None:
        """Send one good reading, with `beside` in the same message, and wait until it is stored and receipted."""
        self.sent += 1
        range_ = Range(EPOCH, Stream.DATA, self.sent, self.sent)
        payload = encode_envelope([*beside, Part(range_, None, blob.encode([reading(self.sent)]))])
        await self.client.publish(topics.up(GATEWAY, Stream.DATA), payload, qos=1)
        await self.receipt(range_)
        stored = [row["value"] for row in await self.hub.items("/api/v1/readings", device="river-1", limit=10000)]
        assert stored == [float(number) for number in range(1, self.sent + 1)]

    async def receipt(self, range_: Range, limit_s: float = 15.0) -> None:
        """Wait for the receipt that names `range_`."""
        async with asyncio.timeout(limit_s):
            async for message in self.client.messages:
                is_receipt = str(message.topic).endswith("/receipt")
                if is_receipt and range_ in decode_receipt(bytes(message.payload)).ranges:
                    return

    def rss(self) -> int:
        lines = Path(f"/proc/{self.hub.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def reading(number: float, subject: str = "river-1", quantity: str = "water_level") -> Measured:
    at = NOW + timedelta(seconds=number)
    return Measured(subject, at, ClockQuality.SYNCHRONISED, (Reading(quantity, number, Flag.GOOD),))


@pytest.fixture(scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    hub = Hub(tmp_path_factory.mktemp("doors"))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(hub))
        password = (await hub.add_gateway(GATEWAY)).read_text()
        client: list[aiomqtt.Client] = []

        async def connects() -> bool:
            one = aiomqtt.Client("127.0.0.1", hub.mqtt_port, username=GATEWAY, password=password, identifier=GATEWAY)
            try:
                await one.__aenter__()
            except aiomqtt.MqttError:
                return False
            client.append(one)
            return True

        await until(connects, 20)
        stack.push_async_exit(client[0])
        await client[0].subscribe(topics.down_filter(GATEWAY))
        yield Door(hub, password, client[0])


def part(
    first: int, last: int, content: bytes, purpose: Purpose | None = None, epoch: str = "00000000000000e1"
) -> Part:
    return Part(Range(Epoch(epoch), Stream.DATA, first, last), purpose, content)


def packed(document: object) -> bytes:
    return zlib.compress(json.dumps(document).encode())


def bad_parts() -> dict[str, Part]:
    """Parts whose envelope is right and whose content is not; each has numbers of its own."""
    person: list[Record] = [reading(1, CANARY, "heart_rate")]
    whole = blob.encode([reading(1), reading(2)])
    return {
        "random": part(1, 2, Random(1).randbytes(500)),
        "cut": part(11, 12, whole[:-3]),
        "trailing": part(21, 22, whole + b"x"),
        "bomb": part(31, 32, zlib.compress(b"[" + b"0," * 2**25 + b"0]", 9)),
        "nested": part(41, 42, zlib.compress(b"[" * 200_000)),
        "count too small": part(51, 51, whole),
        "count too large": part(61, 69, whole),
        "count beyond all": part(71, 2**62, whole),
        "not an object": part(2**62 + 1, 2**62 + 1, packed([1, 2, 3])),
        "unknown version": part(2**62 + 11, 2**62 + 11, packed({"v": 99})),
        "statistics with a measurement": part(2**62 + 21, 2**62 + 21, blob.encode(person), Purpose.STATISTICS),
        "alert_self leaves nothing": part(2**62 + 31, 2**62 + 31, blob.encode(person), Purpose.ALERT_SELF),
        "subject with a space": part(2**62 + 41, 2**62 + 41, blob.encode([reading(1, f"{CANARY} 1")])),
        "subject with SQL": part(2**62 + 51, 2**62 + 51, blob.encode([reading(1, "x'; DROP TABLE telemetry; --")])),
        "quantity with a dot": part(2**62 + 61, 2**62 + 61, blob.encode([reading(1, "river-1", "a.b")])),
        "a mebibyte": part(2**62 + 71, 2**62 + 71, Random(2).randbytes(2**20)),
    }


@pytest.mark.parametrize("name", bad_parts())
async def test_a_bad_part_is_receipted_and_the_good_one_beside_it_is_stored(door: Door, name: str) -> None:
    """Without a receipt a gateway would send it for ever, and stop sending once its window is full."""
    bad = bad_parts()[name]
    payload = encode_envelope([bad])
    for _ in range(3):
        await door.client.publish(topics.up(GATEWAY, Stream.DATA), payload, qos=1)
        await door.receipt(bad.range)
    await door.good(bad)


def bad_messages() -> dict[str, bytes]:
    whole = encode_envelope([part(1, 1, blob.encode([reading(1)]), epoch="00000000000000e2")])
    head, _, rest = whole.partition(b"\n")
    return {
        "empty": b"",
        "random": Random(3).randbytes(1000),
        "a mebibyte of nothing": bytes(2**20),
        "a mebibyte of brackets": b"[" * 2**20,
        "no line end": head,
        "cut": whole[:-1],
        "longer": whole + b"x",
        "only a line end": b"\n",
        "other major version": whole.replace(b'"v":[1,', b'"v":[2,'),
        "backwards": head.replace(b'"first":1', b'"first":9') + b"\n" + rest,
        "number 0": head.replace(b'"first":1', b'"first":0') + b"\n" + rest,
        "number beyond 64 bits": head.replace(b'"last":1', b'"last":%d' % 2**70) + b"\n" + rest,
        "negative size": head.replace(b'"size":', b'"size":-') + b"\n" + rest,
        "unknown purpose": head.replace(b"null", b'"spying"') + b"\n" + rest,
        "unknown stream": head.replace(b'"data"', b'"gossip"') + b"\n" + rest,
        "surrogate": head.replace(b'"data"', b'"\\ud800"') + b"\n" + rest,
        "5000 parts": json.dumps({"v": [1, 0], "parts": [json.loads(head)["parts"][0]] * 5000}).encode() + b"\n",
    }


async def test_messages_that_are_none_do_not_block_what_follows(door: Door) -> None:
    for payload in bad_messages().values():
        for leaf in ("data", "alert", "hello", "unheard-of"):
            await door.client.publish(f"kanmon/{GATEWAY}/up/{leaf}", payload, qos=1)
        await door.client.publish(topics.up(OTHER, Stream.DATA), payload, qos=1)
    await door.good()


async def test_overlapping_ranges_are_stored_once(door: Door) -> None:
    """By number and not by message: what overlaps is taken once, whoever repeats it, and how."""
    epoch = "00000000000000e3"
    spans = ((1, 5), (3, 8), (1, 10), (10, 12), (4, 4), (1, 12))
    parts = [
        part(first, last, blob.encode([reading(n, "overlap-1") for n in range(first, last + 1)]), epoch=epoch)
        for first, last in spans
    ]
    await door.client.publish(topics.up(GATEWAY, Stream.DATA), encode_envelope(parts), qos=1)
    for one in parts:
        await door.client.publish(topics.up(GATEWAY, Stream.DATA), encode_envelope([one]), qos=1)
    await door.receipt(parts[-1].range)
    await door.good()
    rows = await door.hub.items("/api/v1/readings", device="overlap-1", limit=1000)
    assert [row["value"] for row in rows] == [float(number) for number in range(1, 13)]


async def test_the_same_message_ten_times_is_stored_once_and_receipted_each_time(door: Door) -> None:
    one = part(1, 2, blob.encode([reading(1, "repeat-1"), reading(2, "repeat-1")]), epoch="00000000000000e4")
    for _ in range(10):
        await door.client.publish(topics.up(GATEWAY, Stream.DATA), encode_envelope([one]), qos=1)
        await door.receipt(one.range)
    assert len(await door.hub.items("/api/v1/readings", device="repeat-1", limit=100)) == 2


def send(stack: ExitStack, port: int, data: bytes) -> None:
    """Say `data` on a connection that stays open, unless the other end closes it."""
    client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
    with suppress(ConnectionError):
        client.sendall(data)


@pytest.mark.parametrize("which", ["http", "mqtt", "nats"])
async def test_a_port_takes_any_bytes_and_clients_that_say_nothing(door: Door, which: str) -> None:
    """Half-open connections by the hundred beside garbage: the hub answers others meanwhile."""
    port, random = getattr(door.hub, f"{which}_port"), Random(4)
    openings = (
        b"",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
        b"\x10\xff\xff\xff\x7f\x00",
        b"CONNECT {",
        b"PUB a ",
    )
    noises = (random.randbytes(5000), b"A" * 200_000, b"\r\n" * 5000, b"\x00" * 5000, b"GET / HTTP/9.9\r\n\r\n")
    with ExitStack() as stack:
        for number in range(CLIENTS):
            send(stack, port, openings[number % len(openings)])
        for noise in noises:
            send(stack, port, noise)
        assert await door.hub.answers()
        await door.good()
    await door.good()


async def test_a_body_without_end_is_not_kept(door: Door) -> None:
    """32 MiB to routes that take none."""
    before = door.rss()

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(32):
            yield bytes(2**20)

    async with httpx.AsyncClient(timeout=20) as client:
        for path in ("/", "/api/v1/readings", "/ngsi-ld/v1/entities"):
            try:
                answer = await client.post(f"{door.hub.url}{path}", content=endless())
                assert 400 <= answer.status_code < 500
            except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
                continue  # hung up in the middle of it, which is as well
    assert door.rss() - before < 24 * 2**20
    assert await door.hub.answers()


async def test_browsers_that_never_read_hold_nothing_up(door: Door) -> None:
    """Event streams that nobody reads: memory stays bounded, and readings go on being stored and shown."""
    with ExitStack() as stack:
        for number in range(CLIENTS):
            silent = stack.enter_context(socket.socket())
            silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            silent.connect(("127.0.0.1", door.hub.http_port))
            page = ("overview", "alerts", "device&gateway=gw-1&device=river-1&quantity=water_level")[number % 3]
            silent.sendall(f"GET /events?page={page} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        for _ in range(15):
            await door.good()
        assert door.rss() < RSS_MOST
        async with httpx.AsyncClient(timeout=10) as client:
            assert (await client.get(f"{door.hub.url}/")).status_code == 200
    await door.good()


async def test_the_log_is_short_and_tells_nothing_personal(door: Door) -> None:
    """After all of the above. Last in this file."""
    said = door.hub.log.read_text()
    assert "Traceback" not in said, said[-3000:]
    assert CANARY not in said
    assert door.password not in said
    assert said.isascii()
    assert len(said) < LOG_BYTES_MOST, said
