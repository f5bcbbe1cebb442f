"""Promise 2 on the running system: what was not agreed to is on no wire, no disk, in no log and on no page."""

import asyncio
import time
from pathlib import Path

import httpx

from firmware_sim.bluez.host import SimulatedBlueZ
from firmware_sim.bluez.strap import Strap
from support.processes import Gateway, Hub, bytes_below, running
from support.waiting import until
from support.wire import Wire, tapped

CANARY_BPM = 211
CANARY_RR_1024 = 291  # 0.2841796875 s
CANARIES = (
    b"0.2841796875",
    b"0.284",
    b"211.0",
    b"resident-canary",
    b"C0:FF:EE:CA:4A:21",
    b"SERIAL-CANARY",
    b"Canary HR",
)


def settings(port: int, password: Path) -> str:
    return f"""
[gateway]
id = "gw-1"
[hub]
urls = ["mqtt://127.0.0.1:{port}"]
password_file = "{password}"
[[person]]
id = "resident-canary"
[[device]]
id = "strap-1"
kind = "ble_heart_rate"
person = "resident-canary"
address = "C0:FF:EE:CA:4A:21"
[[rule]]
kind = "pulse_high_at_rest"
window_s = 10
"""


def beat(strap: Strap, bpm: int = CANARY_BPM) -> None:
    strap.notify(bpm, [CANARY_RR_1024, CANARY_RR_1024])


async def beats_until(strap: Strap, condition, limit_s: float = 20.0) -> None:
    """Notifications, ten a second, until `condition` holds."""

    async def beat_and_look() -> bool:
        beat(strap)
        await asyncio.sleep(0.1)
        return await condition()

    await until(beat_and_look, limit_s)


async def pages(hub: Hub) -> bytes:
    """Every page and list that the hub serves, as bytes."""
    paths = ("/", "/alerts", "/api/v1/gateways", "/api/v1/devices", "/api/v1/released", "/api/v1/aggregates")
    paths += ("/api/v1/alerts", "/api/v1/gaps", "/ngsi-ld/v1/entities?type=Device")
    async with httpx.AsyncClient() as client:
        return b"\n".join([(await client.get(f"{hub.url}{path}")).content for path in paths])


async def test_without_consent_nothing_of_a_wearer_leaves_or_rests(tmp_path):
    strap = Strap("C0:FF:EE:CA:4A:21", "Canary HR", "SERIAL-CANARY")
    hub = Hub(tmp_path)
    async with SimulatedBlueZ(tmp_path / "bus") as bluez, running(hub), tapped(hub.mqtt_port) as wire:
        bluez.radio.add(strap)
        password = await hub.add_gateway("gw-1")
        gateway = Gateway(tmp_path, settings(wire.port, password), {"DBUS_SYSTEM_BUS_ADDRESS": bluez.address})
        async with running(gateway):

            async def many_were_withheld() -> bool:
                return (await gateway.status())["withheld"] > 50

            await beats_until(strap, many_were_withheld, 30.0)
            assert wire.published, "the gateway never said hello"
            assert wire.data() == []
            seen = await pages(hub)
            # Kill it: what would only be wiped at a clean stop is found as well.
            await gateway.kill()
        resting = bytes_below(gateway.state, hub.state) + gateway.log.read_bytes() + hub.log.read_bytes()
        # The list of statistics names the quantity whether or not anybody shares it; no file has reason to.
        assert b'"heart_rate"' not in resting
        for canary in CANARIES:
            assert canary not in seen
            # Who the gateway's persons are stands in gateway.toml, and nowhere in its state.
            assert canary not in resting


async def test_a_withdrawal_in_mid_run_is_silence_on_the_wire_within_two_seconds(tmp_path):
    strap = Strap("C0:FF:EE:CA:4A:21", "Canary HR", "SERIAL-CANARY")
    hub = Hub(tmp_path)
    async with SimulatedBlueZ(tmp_path / "bus") as bluez, running(hub), tapped(hub.mqtt_port) as wire:
        bluez.radio.add(strap)
        password = await hub.add_gateway("gw-1")
        gateway = Gateway(tmp_path, settings(wire.port, password), {"DBUS_SYSTEM_BUS_ADDRESS": bluez.address})
        async with running(gateway):
            await gateway.agree("resident-canary", "research")
            await gateway.agree("resident-canary", "health_centre")
            await beats_until(strap, lambda: _true(len(wire.personal()) > 30), 30.0)
            await gateway.agree("resident-canary", "research", False)
            await gateway.agree("resident-canary", "health_centre", False)
            off_at = time.monotonic()
            before = (await gateway.status())["withheld"]

            async def many_were_withheld() -> bool:
                return (await gateway.status())["withheld"] > before + 30

            await beats_until(strap, many_were_withheld)
            assert _last(wire) <= off_at + 2.0
            # The channel's key is gone, so that what may still lie in the file cannot be read.
            assert [path for path in (gateway.state / "keys").iterdir() if path.name.startswith("channel-")] == []


def _last(wire: Wire) -> float:
    return max(wire.personal())


async def _true(value: bool) -> bool:
    return value
