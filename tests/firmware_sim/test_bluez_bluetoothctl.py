"""The real bluetoothctl, a program nobody here wrote, drives the simulated BlueZ: scan, pair, read, remove."""

import asyncio
import os
import pty
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from firmware_sim.bluez import SimulatedBlueZ, Strap
from firmware_sim.bluez.strap import BATTERY_LEVEL, MEASUREMENT
from support.bluez import bluetooth
from support.waiting import until

ADDRESS = "C0:FF:EE:00:00:01"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x01\x02\r]")


class Bluetoothctl:
    """The program on a pseudo-terminal, since its line editor wants one; `said` is its output without control codes."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._output = bytearray()
        self._seen = 0

    def readable(self) -> None:
        try:
            self._output += os.read(self._terminal, 65536)
        except OSError:  # the program ended and took the other end with it
            asyncio.get_running_loop().remove_reader(self._terminal)

    @property
    def said(self) -> str:
        return _CONTROL.sub("", self._output.decode(errors="replace"))

    async def expect(self, text: str) -> None:
        """Wait until it says this, after what was expected before."""
        await until(lambda: text in self.said[self._seen :], 10)
        self._seen += self.said[self._seen :].index(text) + len(text)

    async def do(self, command: str, answer: str) -> None:
        os.write(self._terminal, f"{command}\n".encode())
        await self.expect(answer)


@asynccontextmanager
async def bluetoothctl(town: SimulatedBlueZ) -> AsyncIterator[Bluetoothctl]:
    ours, theirs = pty.openpty()
    loop = asyncio.get_running_loop()
    environment = os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": town.address, "TERM": "dumb"}
    process = await asyncio.create_subprocess_exec(
        "bluetoothctl", stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    control = Bluetoothctl(ours)
    loop.add_reader(ours, control.readable)
    try:
        yield control
        os.write(ours, b"quit\n")
        async with asyncio.timeout(5):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        loop.remove_reader(ours)
        os.close(ours)


@pytest.mark.parametrize("bus", ["own bus", "dbus-daemon"])
async def test_bluetoothctl_scans_pairs_reads_listens_and_removes(bus: str) -> None:
    if shutil.which("bluetoothctl") is None:
        pytest.skip("bluetoothctl is not installed (Debian package bluez)")
    if bus == "dbus-daemon" and shutil.which("dbus-daemon") is None:
        pytest.skip("dbus-daemon is not installed (Debian package dbus-daemon)")
    emitted: list[object] = []
    strap = Strap(ADDRESS, "Belt", "SN-1", 77, emitted=emitted.append)
    async with bluetooth(daemon=bus == "dbus-daemon") as town, bluetoothctl(town) as control:
        town.radio.add(strap)
        town.radio.ask_confirmation(strap)
        await control.expect("Agent registered")
        await control.do("show", "Roles: central")
        await control.do("scan on", f"Device {ADDRESS} Belt")
        await control.do(f"info {ADDRESS}", "RSSI: -60")
        await control.do(f"connect {ADDRESS}", "Connection successful")
        await control.expect("ServicesResolved: yes")
        await control.do("menu gatt", "Print environment variables")
        await control.do("list-attributes", "Heart Rate Measurement")
        await control.do(f"select-attribute {BATTERY_LEVEL}", "char")
        await control.do("read", "4d")
        await control.do(f"select-attribute {MEASUREMENT}", "char")
        await control.do("notify on", "Notify started")
        assert strap.notify(70, [800])
        await control.expect("10 46 20 03")
        await control.do("back", "Print environment variables")
        await control.do(f"pair {ADDRESS}", "Confirm passkey")
        await control.do("yes", "Pairing successful")
        await control.do(f"info {ADDRESS}", "Battery Percentage: 0x4d (77)")
        await control.do(f"disconnect {ADDRESS}", "Connected: no")
        await control.do("scan off", "Discovery stopped")
        await control.do(f"remove {ADDRESS}", "Device has been removed")
    assert emitted == [{"heart_rate": 70.0}]


async def test_bluetoothctl_may_refuse_to_pair() -> None:
    if shutil.which("bluetoothctl") is None:
        pytest.skip("bluetoothctl is not installed (Debian package bluez)")
    strap = Strap(ADDRESS, "Belt", "SN-1")
    async with bluetooth() as town, bluetoothctl(town) as control:
        town.radio.add(strap)
        town.radio.ask_confirmation(strap)
        await control.expect("Agent registered")
        await control.do("scan on", f"Device {ADDRESS} Belt")
        await control.do(f"pair {ADDRESS}", "Confirm passkey")
        await control.do("no", "org.bluez.Error.AuthenticationRejected")
