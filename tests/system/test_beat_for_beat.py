"""Real recordings through strap, D-Bus, bleak, driver, pipeline, outbox, broker and hub: every beat once, in order."""

import asyncio
from pathlib import Path

import pytest

from firmware_sim.beats import MAX_RR_IN_FRAME, average_bpm
from firmware_sim.bluez.host import SimulatedBlueZ
from firmware_sim.bluez.strap import Strap
from firmware_sim.recordings import read_rr
from support.corpus import corpus
from support.processes import Gateway, Hub, running
from support.waiting import until
from support.wire import tapped

RECORDINGS = ("04015", "06426", "08219")
BEATS = 3000
ADDRESS = "C0:FF:EE:00:00:01"


def settings(port: int, password: Path) -> str:
    return f"""
[gateway]
id = "gw-1"
[hub]
urls = ["mqtt://127.0.0.1:{port}"]
password_file = "{password}"
[[person]]
id = "resident-1"
[[device]]
id = "strap-1"
kind = "ble_heart_rate"
person = "resident-1"
address = "{ADDRESS}"
"""


async def play(strap: Strap, beats: tuple[int, ...]) -> None:
    """The beats in frames of at most nine, faster than life."""
    for start in range(0, len(beats), MAX_RR_IN_FRAME):
        frame = beats[start : start + MAX_RR_IN_FRAME]
        strap.notify(average_bpm(frame), frame)
        await asyncio.sleep(0)


@pytest.mark.parametrize("name", RECORDINGS)
async def test_with_consent_the_hub_stores_the_recording_beat_for_beat(tmp_path, name):
    """Promise 1 over the whole line."""
    beats = read_rr(corpus(f"afdb/{name}.rr.gz"))[:BEATS]
    strap, hub = Strap(ADDRESS, "Strap", "1"), Hub(tmp_path)
    async with SimulatedBlueZ(tmp_path / "bus") as bluez, running(hub):
        bluez.radio.add(strap)
        password = await hub.add_gateway("gw-1")
        gateway = Gateway(tmp_path, settings(hub.mqtt_port, password), {"DBUS_SYSTEM_BUS_ADDRESS": bluez.address})
        async with running(gateway):
            await gateway.agree("resident-1", "research")
            await until(lambda: _is_up(gateway), 20.0)
            await play(strap, beats)
            frames = -(-len(beats) // MAX_RR_IN_FRAME)
            await until(lambda: _has_taken(gateway, frames), 30.0)
            await until(gateway.drained, 30.0)
            rows = await hub.items("/api/v1/released", purpose="research", quantity="rr_interval")
    stored = [round(value * 1024) for row in rows for value in row["value"]["values"]]
    assert stored == [beat for beat in beats if beat not in (0, 65535)]


async def test_without_consent_the_same_recording_is_silence_on_the_wire(tmp_path):
    """Promise 2 over the whole line."""
    beats = read_rr(corpus(f"afdb/{RECORDINGS[0]}.rr.gz"))[:BEATS]
    strap, hub = Strap(ADDRESS, "Strap", "1"), Hub(tmp_path)
    async with SimulatedBlueZ(tmp_path / "bus") as bluez, running(hub), tapped(hub.mqtt_port) as wire:
        bluez.radio.add(strap)
        password = await hub.add_gateway("gw-1")
        gateway = Gateway(tmp_path, settings(wire.port, password), {"DBUS_SYSTEM_BUS_ADDRESS": bluez.address})
        async with running(gateway):
            await until(lambda: _is_up(gateway), 20.0)
            await play(strap, beats)
            frames = -(-len(beats) // MAX_RR_IN_FRAME)
            await until(lambda: _has_withheld(gateway, frames), 30.0)
        assert wire.data() == []
        assert await hub.items("/api/v1/released") == []


async def _is_up(gateway: Gateway) -> bool:
    return (await gateway.device("strap-1"))["state"] == "up"


async def _has_withheld(gateway: Gateway, samples: int) -> bool:
    return (await gateway.status())["withheld"] >= samples


async def _has_taken(gateway: Gateway, samples: int) -> bool:
    return (await gateway.device("strap-1"))["samples"] >= samples
