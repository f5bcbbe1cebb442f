"""One recording through one simulated device, from the opening of its port to the last value handed over."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from firmware_sim.bluez import Radio, SimulatedBlueZ, Strap
from firmware_sim.modbus_station import ModbusStation
from firmware_sim.plan import WEARERS, TownLayout
from firmware_sim.ports import HOST
from firmware_sim.pty_line import PtyLine
from firmware_sim.replay import Pace, Progress, replay_modbus, replay_nmea, replay_rr
from firmware_sim.river_station import Weather, river_station
from firmware_sim.state_folder import opening

LINGER_S = 1.0
"""A port is kept open so long after the last value: what lies unread in it is lost when it closes."""


@dataclass(slots=True)
class Count:
    """How far the recording was played."""

    progress: Progress = field(default_factory=lambda: Progress(0, 0))

    def take(self, progress: Progress) -> None:
        """Keep the newest."""
        self.progress = progress


async def play_nmea(path: Path, layout: TownLayout, pace: Pace, on_ready: Callable[[str], None]) -> Progress:
    """A log through a pty named `layout.gnss_port`. `on_ready` is told the port's name."""
    count = Count()
    with opening(layout.root), PtyLine(layout.gnss_port) as line:
        on_ready(str(layout.gnss_port))
        await replay_nmea(path, line, pace=pace, progress=count.take)
        await asyncio.sleep(LINGER_S)
    return count.progress


async def play_rr(path: Path, layout: TownLayout, pace: Pace, on_ready: Callable[[str], None]) -> Progress:
    """RR intervals through a strap of the simulated BlueZ. `on_ready` is told the bus and the strap's address."""
    count, wearer, radio = Count(), WEARERS[0], Radio()
    strap = Strap(wearer.address, f"Kanmon {wearer.strap}", wearer.serial)
    radio.add(strap)
    with opening(layout.root):
        async with SimulatedBlueZ(layout.bus_socket, radio) as bluez:
            on_ready(f"DBUS_SYSTEM_BUS_ADDRESS={bluez.address} {strap.address}")
            await replay_rr(path, strap.notify, pace=pace, progress=count.take)
            await asyncio.sleep(LINGER_S)
    return count.progress


async def play_modbus(
    path: Path, layout: TownLayout, pace: Pace, on_ready: Callable[[str], None], port: int = 0
) -> Progress:
    """A table through the river station on TCP `port` (0: a free one). `on_ready` is told host and port."""
    count, shown = Count(), _Shown()
    with opening(layout.root):
        async with ModbusStation(HOST, port, equipment=river_station(lambda: shown.weather)) as station:
            on_ready(f"{HOST}:{station.port}")
            await replay_modbus(path, shown.show, lambda: station.answers > 0, pace=pace, progress=count.take)
            await asyncio.sleep(LINGER_S)
    return count.progress


@dataclass(slots=True)
class _Shown:
    """What the station measures now."""

    weather: Weather = field(default_factory=dict)

    def show(self, weather: Weather) -> None:
        """From now on this."""
        self.weather = weather
