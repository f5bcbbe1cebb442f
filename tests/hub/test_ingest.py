"""From a gateway's MQTT client through the real broker into the database, and back as a receipt."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import aiomqtt
import httpx
import pytest

from cloud_sync import topics
from cloud_sync.backoff import Backoff
from cloud_sync.envelope import (
    Hello,
    decode_receipt,
    encode_hello,
)
from contract.ids import GatewayId
from contract.record import Range, Stream
from hub.credentials import HUB_USER, ensure
from hub.nats_server import NatsServer, choose_ports, executable
from hub.state_folder import Running, StateFolder
from support.gateway_traffic import EPOCH, GATEWAY, levels, receipts, stored
from support.running_hub import credential, gateway_client, hub_here
from support.waiting import until


@pytest.fixture
async def root(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
async def hub(root: Path) -> AsyncIterator[Running]:
    async with hub_here(root) as running:
        yield running


async def test_what_a_gateway_publishes_is_stored_and_receipted(root: Path, hub: Running) -> None:
    async with gateway_client(root, GATEWAY, hub.mqtt_port) as client:
        await client.subscribe(topics.down_filter(GATEWAY))
        for first in range(1, 501, 100):
            await client.publish(topics.up(GATEWAY, Stream.DATA), levels(first, 100), qos=1)
        got = await receipts(client, 500)
        named = sorted(range_ for receipt in got for range_ in receipt.ranges)
        assert named == [Range(EPOCH, Stream.DATA, first, first + 99) for first in range(1, 501, 100)]
    assert await stored(hub) == [float(n) for n in range(1, 501)]


async def test_a_hello_is_answered_with_the_hubs_time(root: Path, hub: Running) -> None:
    async with gateway_client(root, GATEWAY, hub.mqtt_port) as client:
        await client.subscribe(topics.down_filter(GATEWAY))
        await client.publish(topics.up(GATEWAY, topics.HELLO), encode_hello(Hello("test", EPOCH)), qos=1)
        async with asyncio.timeout(10):
            message = await anext(client.messages)
        assert str(message.topic) == f"kanmon/{GATEWAY}/down/hello"
        receipt = decode_receipt(bytes(message.payload))
        assert receipt.ranges == ()
        assert abs(receipt.time - datetime.now(UTC)) < timedelta(seconds=10)


async def test_garbage_is_quarantined_and_what_follows_is_stored(root: Path, hub: Running) -> None:
    """Any bytes on any topic a gateway may use: the hub goes on."""
    async with gateway_client(root, GATEWAY, hub.mqtt_port) as client:
        await client.subscribe(topics.down_filter(GATEWAY))
        for topic in ("data", "alert", "hello", "other", "a/b/c"):
            for payload in (b"", b"\xff" * 50, b"{}\n", b"[" * 5000, levels(1, 2)[:-1]):
                await client.publish(f"kanmon/{GATEWAY}/up/{topic}", payload, qos=1)
        await client.publish(topics.up(GATEWAY, Stream.DATA), levels(1, 3), qos=1)
        await receipts(client, 3)
    assert await stored(hub) == [1.0, 2.0, 3.0]


async def test_a_gateway_reaches_its_own_topics_and_nothing_else(root: Path, hub: Running) -> None:
    """What a gateway may publish and hear is decided by the broker, from its credential."""
    other = GatewayId("gw-2")
    async with (
        gateway_client(root, GATEWAY, hub.mqtt_port) as honest,
        gateway_client(root, other, hub.mqtt_port) as curious,
    ):
        await honest.subscribe(topics.down_filter(GATEWAY))
        for forbidden in (topics.down_filter(GATEWAY), "kanmon/+/up/#", "#", "$SYS/#", "$JS/#"):
            refused = await curious.subscribe(forbidden)
            assert [code for code in refused if code < 0x80] == [], forbidden
        allowed = await curious.subscribe(topics.down_filter(other))
        assert [code for code in allowed if code >= 0x80] == []
        for topic in (topics.up(GATEWAY, Stream.DATA), f"kanmon/{GATEWAY}/down/receipt", "kanmon/hub/new"):
            # Acknowledged by the server all the same: what counts is that nothing is delivered.
            await curious.publish(topic, levels(100, 5), qos=1)
        await curious.publish(topics.up(other, Stream.DATA), levels(200, 5), qos=1)
        await receipts(curious, 204)
        await honest.publish(topics.up(GATEWAY, Stream.DATA), levels(1, 5), qos=1)
        (only,) = await receipts(honest, 5)
        assert only.ranges == (Range(EPOCH, Stream.DATA, 1, 5),)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{hub.http_port}") as client:
        items = (await client.get("/api/v1/readings", params={"device": "river-1"})).json()["items"]
    assert {(item["gateway"], item["sequence"] // 100) for item in items} == {("gw-1", 0), ("gw-2", 2)}


async def test_a_wrong_password_is_refused(root: Path, hub: Running) -> None:
    credential(root, GATEWAY)
    with pytest.raises(aiomqtt.MqttError):
        async with aiomqtt.Client("127.0.0.1", hub.mqtt_port, username=GATEWAY, password="wrong"):
            pass
    with pytest.raises(aiomqtt.MqttError):
        async with aiomqtt.Client("127.0.0.1", hub.mqtt_port):
            pass


async def test_a_broker_that_dies_is_started_again_and_the_hub_lives_on(root: Path, hub: Running) -> None:
    pid_file = root / "nats" / "nats.pid"
    dead = int(pid_file.read_text())
    os.kill(dead, signal.SIGKILL)
    await until(lambda: pid_file.exists() and pid_file.read_text().strip() not in {"", str(dead)}, 15)
    async with gateway_client(root, GATEWAY, hub.mqtt_port) as client:
        await client.subscribe(topics.down_filter(GATEWAY))
        await client.publish(topics.up(GATEWAY, Stream.DATA), levels(1, 3), qos=1)
        await receipts(client, 3, 30)
    assert await stored(hub) == [1.0, 2.0, 3.0]


async def test_a_server_that_already_runs_is_used_in_place_of_the_child(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "broker")
    state.make()
    ports = choose_ports(0, 0)
    password = ensure(state.credentials, HUB_USER)
    async with NatsServer(state, executable({}), ports, 2**30, Backoff(), Random(1)).started():
        url = f"nats://hub:{password}@127.0.0.1:{ports.nats}"
        async with hub_here(tmp_path / "hub", {"KANMON_NATS_URL": url}) as running:
            assert not (tmp_path / "hub" / "nats" / "nats.pid").exists()
            async with gateway_client(state.root, GATEWAY, ports.mqtt) as client:
                await client.subscribe(topics.down_filter(GATEWAY))
                await client.publish(topics.up(GATEWAY, Stream.DATA), levels(1, 3), qos=1)
                await receipts(client, 3)
            assert await stored(running) == [1.0, 2.0, 3.0]
