"""What gateways are known to lose, stall on or tell strangers, each with the real agent and the real hub.

Refused and dead links, a full disk, kills and emptied queues have files of their own.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import aiomqtt
import pytest

from cloud_sync import blob, topics
from cloud_sync.envelope import Part, encode_envelope
from contract.ids import Epoch, GatewayId
from contract.record import Measured, Range, Record, Stream
from contract.sample import ClockQuality, Flag, Reading
from support.counting_station import SETTINGS, CountingLine, counting_station
from support.modbus_server import Server
from support.processes import Gateway, Hub, running
from support.waiting import until

AT = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
SILENT_DEVICE = """
[[device]]
id = "river-2"
kind = "modbus"
host = "127.0.0.1"
port = {port}
timeout_s = 20
map = "station.toml"
"""


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    hub = Hub(tmp_path)
    async with running(hub):
        yield hub


async def polled(line: CountingLine, times: int) -> None:
    count = line.counting.count
    await until(lambda: line.counting.count >= count + times, 30)


async def test_readings_with_equal_stamps_are_all_kept(hub: Hub) -> None:
    """Two polls within one millisecond are two readings: a key of device and time would keep one of them."""
    password = (await hub.add_gateway("gw-1")).read_text().strip()
    same: list[Record] = [
        Measured("river-1", AT, ClockQuality.SYNCHRONISED, (Reading("water_level", 1.5, Flag.GOOD),)) for _ in range(3)
    ]
    part = Part(Range(Epoch("0" * 16), Stream.DATA, 1, 3), None, blob.encode(same))
    gateway = GatewayId("gw-1")
    broker = {"hostname": "127.0.0.1", "port": hub.mqtt_port, "username": gateway, "password": password}
    async with aiomqtt.Client(**broker, identifier=gateway) as client:
        await client.publish(topics.up(gateway, Stream.DATA), encode_envelope([part]), qos=1)

    async def are_kept() -> bool:
        return [row["value"] for row in await hub.items("/api/v1/readings", device="river-1")] == [1.5, 1.5, 1.5]

    await until(are_kept, 15)


async def test_a_station_that_never_answers_delays_no_other(hub: Hub, tmp_path: Path) -> None:
    silent = Server({4: {}})
    silent.is_silent = True
    station, counting = counting_station(tmp_path, 0.02)
    await asyncio.gather(station.start(), silent.start())
    try:
        password = await hub.add_gateway("gw-1")
        settings = SETTINGS.format(port=hub.mqtt_port, password=password, modbus=station.port)
        gateway = Gateway(tmp_path, settings + SILENT_DEVICE.format(port=silent.port))
        async with running(gateway):
            line = CountingLine(hub, gateway, counting)
            await polled(line, 200)
            assert silent.connections == 1, "the silent station has been asked all the time"
            assert counting.count >= 200
            await line.all_arrive()
    finally:
        await asyncio.gather(station.stop(), silent.stop())


async def test_polling_goes_on_while_the_hub_is_away_and_all_of_it_arrives(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    station, counting = counting_station(tmp_path, 0.02)
    await station.start()
    try:
        async with running(hub):
            password = await hub.add_gateway("gw-1")
        settings = SETTINGS.format(port=hub.mqtt_port, password=password, modbus=station.port)
        gateway = Gateway(tmp_path, settings)
        async with running(gateway):
            line = CountingLine(hub, gateway, counting)
            await polled(line, 300)
            async with running(hub):
                await polled(line, 10)
                await line.all_arrive()
                assert (await line.stored())[0] == 1
    finally:
        await station.stop()


async def test_the_agent_talks_to_nobody_it_was_not_told_of(hub: Hub, tmp_path: Path) -> None:
    station, counting = counting_station(tmp_path, 0.02)
    await station.start()
    try:
        password = await hub.add_gateway("gw-1")
        gateway = Gateway(tmp_path, SETTINGS.format(port=hub.mqtt_port, password=password, modbus=station.port))
        async with running(gateway):
            line = CountingLine(hub, gateway, counting)
            seen = set()
            for _ in range(20):
                await polled(line, 3)
                seen |= peers_of(gateway.pid)
            assert seen == {("0100007F", hub.mqtt_port), ("0100007F", station.port)}
    finally:
        await station.stop()


def peers_of(pid: int) -> set[tuple[str, int]]:
    """(address, port) at the other end of each IP socket of a process (proc(5), net/tcp: hex, as the kernel writes)."""
    links = (link.readlink().as_posix() for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink())
    inodes = {link.removeprefix("socket:[").rstrip("]") for link in links if link.startswith("socket:[")}
    peers = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes:
                address, port = fields[2].split(":")
                peers.add((address, int(port, 16)))
    return peers
