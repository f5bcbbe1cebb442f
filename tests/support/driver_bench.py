"""A bench for each driver: the driver with a peer that can be made to vanish, come back and babble.

A new driver gets a bench here and a line in BENCHES; the conformance suite then runs on it.
"""

import asyncio
import os
import tty
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Protocol

from contract.configuration import parse
from drivers import modbus, nmea_receiver
from drivers.base import Driver
from support.driving import Noted
from support.modbus_server import Server, modbus_server

QUICK_S = 0.5
"""Time limits of the drivers under test: an absent peer is found out soon."""


class Bench(Protocol):
    """A driver's peer. It speaks sense from the start."""

    def open(self, noted: Noted) -> Driver:
        """A fresh driver for the peer, not entered."""
        ...

    async def go_away(self) -> None:
        """The peer vanishes, as by losing its power."""
        ...

    async def come_back(self) -> None:
        """The peer is there again, at the same place."""
        ...

    def babble(self) -> None:
        """From now on the peer sends bytes that mean nothing."""
        ...

    def talk_sense(self) -> None:
        """From now on it speaks as it did at first."""
        ...


class ModbusBench:
    """A Modbus TCP server with two registers."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._server, self._random = server, Random(5)
        register = 'quantity = "air_temperature"\ntable = "input"\naddress = 0\ntype = "int16"\nscale = 0.1\n'
        (folder / "map.toml").write_text(f"period_s = 0\n[[register]]\n{register}")
        text = f'host = "127.0.0.1"\nport = {server.port}\ntimeout_s = {QUICK_S}\nmap = "map.toml"'
        self._config = parse(modbus.Config, text, "gateway.toml", {"folder": folder})

    def open(self, noted: Noted) -> Driver:
        return modbus.open(self._config, noted.context())

    async def go_away(self) -> None:
        await self._server.stop()

    async def come_back(self) -> None:
        await self._server.start()

    def babble(self) -> None:
        self._server.spoil = lambda _: self._random.randbytes(self._random.randrange(1, 300))

    def talk_sense(self) -> None:
        self._server.spoil = None


class NmeaBench:
    """A receiver on a pty that says its cycle again and again; `link` is the port's name."""

    def __init__(self, link: Path) -> None:
        self._link, self._random = link, Random(5)
        self._master = -1
        self._is_babbling = False
        self._second = 0

    def open(self, noted: Noted) -> Driver:
        return nmea_receiver.open(nmea_receiver.Config(port=str(self._link), silence_s=QUICK_S), noted.context())

    async def go_away(self) -> None:
        self._link.unlink()
        master, self._master = self._master, -1
        os.close(master)

    async def come_back(self) -> None:
        self._master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(self._master, False)
        self._link.symlink_to(os.ttyname(slave))
        os.close(slave)

    def babble(self) -> None:
        self._is_babbling = True

    def talk_sense(self) -> None:
        self._is_babbling = False

    async def speak(self) -> None:
        """Say a cycle every 20 ms, to whoever listens."""
        while True:
            if self._master >= 0:
                with suppress(BlockingIOError):  # nobody reads and the line is full
                    os.write(self._master, self._burst())
            await asyncio.sleep(0.02)

    def _burst(self) -> bytes:
        if self._is_babbling:
            return self._random.randbytes(100)
        self._second = (self._second + 1) % 60
        body = f"GPRMC,0300{self._second:02d}.00,A,3357.0000,N,13056.4000,E,10.0,90.0,221126,,,A"
        checksum = 0
        for byte in body.encode():
            checksum ^= byte
        return f"${body}*{checksum:02X}\r\n".encode()


@asynccontextmanager
async def modbus_bench(folder: Path) -> AsyncIterator[Bench]:
    async with modbus_server({4: {0: 153}}) as server:
        yield ModbusBench(server, folder)


@asynccontextmanager
async def nmea_bench(folder: Path) -> AsyncIterator[Bench]:
    bench = NmeaBench(folder / "ttyGNSS")
    await bench.come_back()
    speaking = asyncio.create_task(bench.speak())
    try:
        yield bench
    finally:
        speaking.cancel()
        await asyncio.wait([speaking])
        if bench._master >= 0:
            await bench.go_away()


BENCHES: Mapping[str, Callable[[Path], AbstractAsyncContextManager[Bench]]] = {
    "modbus": modbus_bench,
    "nmea_receiver": nmea_bench,
}
"""Kind -> bench, in a folder of its own. One line a driver."""
