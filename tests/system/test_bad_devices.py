"""Devices that speak nonsense to the real agent: it goes on, says so once, and takes every good value once."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random

import pytest

from firmware_sim.bluez.host import SimulatedBlueZ
from firmware_sim.bluez.strap import Strap
from firmware_sim.pty_line import PtyLine
from support.counting_station import Counting, counting_station
from support.modbus_server import Server
from support.processes import Gateway, Hub, running
from support.waiting import until

ADDRESS = "C0:FF:EE:CA:4A:22"
CANARY_BPM = 213
LATITUDE_STEP = 1e-4
"""Between one fix and the next, in minutes of arc: no two fixes are alike."""
LOG_BYTES_MOST = 20_000


@dataclass
class Town:
    """One gateway with a station, a receiver and a strap that a test may spoil; `fixes` counts the receiver's."""

    hub: Hub
    gateway: Gateway
    station: Server
    counting: Counting
    line: PtyLine
    bluez: SimulatedBlueZ
    strap: Strap
    fixes: int = 0

    def log(self) -> str:
        return self.gateway.log.read_text()

    async def counters(self) -> list[int]:
        return [int(row["value"]) for row in await self.hub.items("/api/v1/readings", device="river-1", limit=10000)]

    async def latitudes(self) -> list[float]:
        rows = await self.hub.items("/api/v1/readings", device="bus-1", quantity="position", limit=10000)
        return [row["value"]["lat"] for row in rows]

    def say(self, data: bytes) -> bool:
        return self.line.offer(data, lambda: None)

    def fix(self) -> bool:
        """One good sentence, if somebody listens; the hours tick with the number, so that no time comes twice."""
        number = self.fixes + 1
        hours, minutes, seconds = number // 3600, number // 60 % 60, number % 60
        latitude = 57 + number * LATITUDE_STEP
        body = (
            f"GPRMC,{hours:02d}{minutes:02d}{seconds:02d}.00,A,33{latitude:07.4f},N,13056.4000,E,10.0,90.0,221126,,,A"
        )
        checksum = 0
        for byte in body.encode():
            checksum ^= byte
        was_heard = self.say(f"${body}*{checksum:02X}\r\n".encode())
        self.fixes += was_heard
        return was_heard


SETTINGS = """
[gateway]
id = "gw-1"
[hub]
urls = ["mqtt://127.0.0.1:{port}"]
password_file = "{password}"
[[device]]
id = "river-1"
kind = "modbus"
host = "127.0.0.1"
port = {modbus}
timeout_s = 0.3
map = "station.toml"
[[device]]
id = "bus-1"
kind = "nmea_receiver"
port = "{tty}"
silence_s = 1
[[person]]
id = "resident-1"
[[device]]
id = "strap-1"
kind = "ble_heart_rate"
person = "resident-1"
address = "{address}"
scan_timeout_s = 2
stale_after_s = 1.5
"""


@pytest.fixture(scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("devices")
    (station, counting), hub = counting_station(folder, 0.02), Hub(folder)
    strap = Strap(ADDRESS, "Canary strap", "CANARY-SERIAL")
    async with AsyncExitStack() as stack:
        await station.start()
        stack.push_async_callback(station.stop)
        line = stack.enter_context(PtyLine(folder / "ttyGNSS"))
        bluez = await stack.enter_async_context(SimulatedBlueZ(folder / "bus"))
        bluez.radio.add(strap)
        await stack.enter_async_context(running(hub))
        password = await hub.add_gateway("gw-1")
        settings = SETTINGS.format(
            port=hub.mqtt_port, password=password, modbus=station.port, tty=line.link, address=ADDRESS
        )
        gateway = Gateway(folder, settings, {"DBUS_SYSTEM_BUS_ADDRESS": bluez.address})
        await stack.enter_async_context(running(gateway))
        await gateway.agree("resident-1", "research")
        yield Town(hub, gateway, station, counting, line, bluez, strap)


Spoil = Callable[[bytes], bytes]


def half(frame: bytes) -> bytes:
    return frame[: len(frame) // 2]


def wrong_transaction(frame: bytes) -> bytes:
    return bytes([frame[0] ^ 0x55]) + frame[1:]


def wrong_unit(frame: bytes) -> bytes:
    return frame[:6] + b"\x63" + frame[7:]


def too_many_bytes(frame: bytes) -> bytes:
    return frame[:8] + b"\xff" + frame[9:]


RANDOM = Random(7)


def garbage(_: bytes) -> bytes:
    return RANDOM.randbytes(RANDOM.randrange(1, 600))


def flood(_: bytes) -> bytes:
    return RANDOM.randbytes(300_000)


class Late:
    """Each answer comes when the next is due."""

    def __init__(self) -> None:
        self._held = b""

    def __call__(self, frame: bytes) -> bytes:
        held, self._held = self._held, frame
        return held


BAD_ANSWERS: dict[str, Spoil] = {
    "garbage": garbage,
    "flood": flood,
    "half": half,
    "wrong transaction": wrong_transaction,
    "wrong unit": wrong_unit,
    "too many bytes": too_many_bytes,
    "late": Late(),
}


async def test_a_modbus_station_that_answers_nonsense(town: Town) -> None:
    await counts_on(town)
    for spoil in BAD_ANSWERS.values():
        await hurt_and_heal(town, lambda spoil=spoil: setattr(town.station, "spoil", spoil))
    assert_each_once(await town.counters())
    # A line for each outage, one for each return, and at most one a minute for the faults.
    lines = [line for line in town.log().splitlines() if "river-1" in line]
    assert len(lines) <= 2 * len(BAD_ANSWERS) + 2, lines
    assert len(town.log()) < LOG_BYTES_MOST


async def test_a_modbus_station_that_is_silent_or_hangs_up(town: Town) -> None:
    await counts_on(town)
    await hurt_and_heal(town, lambda: setattr(town.station, "is_silent", True))
    accepted = town.station.connections

    def hang_up(_: bytes) -> bytes:
        town.station.hang_up()
        return b""

    await hurt_and_heal(town, lambda: setattr(town.station, "spoil", hang_up))
    assert town.station.connections - accepted < 20, "reconnected in a storm"
    assert_each_once(await town.counters())


async def test_a_modbus_station_that_answers_every_exception(town: Town) -> None:
    """01 to 0B and what the specification leaves free: lost at most, and back with the first good answer."""
    for code in (*range(1, 12), 0x7F, 0xFF):
        await counts_on(town)
        before = await town.gateway.device("river-1")
        town.station.refuse = lambda *_, code=code: code

        async def is_noticed(before: dict = before) -> bool:
            now = await town.gateway.device("river-1")
            return now["faults"] > before["faults"] or now["since"] > before["since"]

        await until(is_noticed, 10)
        town.station.refuse = None
        await counts_on(town)
    assert_each_once(await town.counters())


async def test_a_receiver_that_babbles(town: Town) -> None:
    """Random bytes, a line without an end, wrong checksums; then good sentences again."""
    random = Random(9)
    noises: dict[str, Callable[[], bytes]] = {
        "random": lambda: random.randbytes(2000),
        "endless": lambda: b"$GPRMC," + b"9" * 3000,
        "wrong checksum": lambda: b"$GPRMC,030001.00,A,3357.7777,N,13056.4000,E,1,1,221126,,,A*00\r\n" * 20,
        "no sentence": lambda: b"$GPRMC,A,B,C*00\r\n$\r\n$x\r\n$$$$\r\n" * 20,
    }
    await fixes_on(town)
    for noise in noises.values():
        before = await town.gateway.device("bus-1")

        async def is_noticed(before: dict = before, noise: Callable[[], bytes] = noise) -> bool:
            town.say(noise())
            now = await town.gateway.device("bus-1")
            return now["faults"] > before["faults"] and now["state"] == "lost"

        await until(is_noticed, 10)
        await fixes_on(town)
    latitudes = await town.latitudes()
    assert len(latitudes) == len(set(latitudes)), "a fix is stored twice"
    assert not [latitude for latitude in latitudes if latitude > 33.96], "a sentence with a wrong checksum was believed"
    lines = [line for line in town.log().splitlines() if "bus-1" in line]
    assert len(lines) <= 2 * len(noises) + 3, lines


async def test_a_strap_that_garbles_its_measurements(town: Town) -> None:
    await beats_on(town)
    before, random = await town.gateway.device("strap-1"), Random(10)
    for value in (
        b"",
        b"\x00",
        b"\x01\x50",
        b"\x10\x50\x01",
        b"\x08\x50\x01",
        *(random.randbytes(1) for _ in range(300)),
    ):
        town.strap.send_raw(value)
        await asyncio.sleep(0)

    async def are_counted() -> bool:
        return (await town.gateway.device("strap-1"))["faults"] >= before["faults"] + 300

    await until(are_counted, 10)
    await beats_on(town)
    lines = [line for line in town.log().splitlines() if "strap-1" in line]
    assert len([line for line in lines if "faults so far" in line]) == 1, lines


async def test_the_bus_of_the_radio_goes_away(town: Town) -> None:
    """First bluetoothd dies, then the whole system bus: each is said once."""
    await beats_on(town)
    await town.bluez.crash()
    await until(lambda: in_state(town, "strap-1", "lost"), 40)
    await town.bluez.restart()
    await beats_on(town, 60)
    before = town.log().count("strap-1: lost")
    await town.bluez.__aexit__(None, None, None)
    await until(lambda: in_state(town, "strap-1", "lost"), 40)
    await town.bluez.__aenter__()
    await beats_on(town, 60)
    assert town.log().count("strap-1: lost") == before + 1


async def test_nothing_personal_and_no_foreign_bytes_are_in_the_logs(town: Town) -> None:
    """After all of the above. Last in this file."""
    said = town.log() + town.hub.log.read_text()
    for secret in (ADDRESS, "CANARY", "Canary", "resident-1", "33.95", "13056.4"):
        assert secret not in said, secret
    texts = [line[len("2026-11-22 03:00:00,000") :] for line in town.log().splitlines()]
    assert not [text for text in texts if re.search(rf"\b{CANARY_BPM}\b", text)]
    assert said.isprintable() or not re.search(r"[^\x20-\x7e\n]", said)
    assert "Traceback" not in said
    assert os.path.exists(f"/proc/{town.gateway.pid}")


async def hurt_and_heal(town: Town, hurt: Callable[[], None]) -> None:
    """The station is hurt until the agent says that it is lost, and healed until its values are at the hub."""
    before = town.log().count("river-1: lost")
    hurt()
    await until(lambda: town.log().count("river-1: lost") == before + 1, 15)
    town.station.spoil, town.station.is_silent = None, False
    await counts_on(town)


async def counts_on(town: Town) -> None:
    """Wait for a value that was read after now."""
    count = town.counting.count

    async def is_newer() -> bool:
        return max(await town.counters(), default=0) > count

    await until(is_newer, 30)


async def fixes_on(town: Town) -> None:
    async def has_arrived() -> bool:
        town.fix()
        latitudes = await town.latitudes()
        return bool(latitudes) and latitudes[-1] > 33 + (57 + (first - 0.5) * LATITUDE_STEP) / 60

    first = town.fixes + 1
    await until(has_arrived, 30)


async def beats_on(town: Town, limit_s: float = 30) -> None:
    """Beats until one more is at the hub."""
    before = len(await beats(town))

    async def is_more() -> bool:
        town.strap.notify(CANARY_BPM, [300])
        return len(await beats(town)) > before

    await until(is_more, limit_s)


async def beats(town: Town) -> list[dict]:
    return await town.hub.items("/api/v1/released", purpose="research", quantity="heart_rate", limit=10000)


async def in_state(town: Town, device: str, state: str) -> bool:
    return (await town.gateway.device(device))["state"] == state


def assert_each_once(counters: list[int]) -> None:
    assert counters == sorted(set(counters)), "a value is doubled or out of order"
