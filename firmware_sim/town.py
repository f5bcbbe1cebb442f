"""The simulated town: river station, straps and bus in one process, what they say recorded for the ledger."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random

from contract.errors import Tampered
from firmware_sim import bus_route, pulse, scenario
from firmware_sim.bluez import Radio, SimulatedBlueZ, Strap
from firmware_sim.bluez.strap import BATTERY
from firmware_sim.gnss import GnssReceiver
from firmware_sim.ledger import Emission
from firmware_sim.modbus_station import ModbusStation
from firmware_sim.nmea import Fix
from firmware_sim.plan import BUS, RIVER, WEARERS, TownLayout, Wearer
from firmware_sim.ports import HOST
from firmware_sim.pty_line import PtyLine
from firmware_sim.recorder import Recorder
from firmware_sim.river_station import river_station
from firmware_sim.state_folder import opening

NOTIFY_PERIOD_S = 1.0
FIX_PERIOD_S = 0.5
LATE_SHARE = 0.5
"""A turn that is late by more than this share of its period shifts all that follow."""


class Town:
    """The devices of one town, all playing one scenario that began at `began`."""

    def __init__(self, layout: TownLayout, seed: int, began: datetime, modbus_port: int, recorder: Recorder) -> None:
        self._layout = layout
        self._seed = seed
        self._began = began
        self._recorder = recorder
        self._is_quiet = False
        self.station = ModbusStation(
            HOST, modbus_port, equipment=river_station(self._weather), emitted=partial(self._emitted, RIVER)
        )
        self.line = PtyLine(layout.gnss_port)
        noise = Random(f"{seed}/gnss")  # noqa: S311  a scenario, not a secret
        self._receiver = GnssReceiver(self.line, self._fix, now=_now, emitted=partial(self._emitted, BUS), random=noise)
        self._straps = tuple(self._strap(wearer) for wearer in WEARERS)
        self.radio = Radio()
        for strap in self._straps:
            self.radio.add(strap)

    def hush(self) -> None:
        """Say nothing more, and keep every link open."""
        self._is_quiet = True
        self.station.stop_emitting()
        self._receiver.stop_emitting()
        self._layout.quiet.touch()

    async def play(self) -> None:
        """Until cancelled: the bus and the straps speak by themselves, the station when it is asked."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._drive(), name=BUS)
            for resident, strap in zip(pulse.RESIDENTS, self._straps, strict=True):
                group.create_task(self._wear(resident, strap), name=strap.name)

    async def _drive(self) -> None:
        async for _ in turns(FIX_PERIOD_S):
            self._receiver.say()

    async def _wear(self, resident: int, strap: Strap) -> None:
        told_s = self._elapsed_s(_now())
        async for _ in turns(NOTIFY_PERIOD_S):
            now_s = self._elapsed_s(_now())
            frame = pulse.frame(self._seed, resident, told_s, now_s)
            told_s = now_s
            if not self._is_quiet:
                strap.notify(frame.bpm, frame.rr_1024)

    def _strap(self, wearer: Wearer) -> Strap:
        """A strap without a battery service.

        A gateway counts a battery level as a sample of its own, but the strap cannot tell who read it: with it the
        ledger would be off by one each time a gateway connects.
        """
        name = f"Kanmon {wearer.strap}"
        strap = Strap(wearer.address, name, wearer.serial, emitted=partial(self._emitted, wearer.strap))
        strap.services = tuple(service for service in strap.services if service.uuid != BATTERY)
        strap.advertised = tuple(uuid for uuid in strap.advertised if uuid != BATTERY)
        return strap

    def _emitted(self, device: str, values: Mapping[str, float]) -> None:
        self._recorder.record(Emission(device, _now(), values))

    def _weather(self) -> Mapping[str, float]:
        return scenario.weather(self._seed, self._elapsed_s(_now()))

    def _fix(self, at: datetime) -> Fix:
        bus = bus_route.state(self._seed, self._elapsed_s(at))
        return Fix(at, bus.lat_deg, bus.lon_deg, bus.speed_mps, bus.course_deg)

    def _elapsed_s(self, at: datetime) -> float:
        return max(0.0, (at - self._began).total_seconds())


async def run(layout: TownLayout, seed: int, modbus_port: int, on_ready: Callable[[int], None]) -> None:
    """Play until SIGTERM or SIGINT; SIGUSR1 hushes. `on_ready` is told the station's port once all devices answer.

    Raises StateUnusable when the folder cannot be written or the port is taken.
    """
    ended = asyncio.Event()
    with opening(layout.root):
        layout.quiet.unlink(missing_ok=True)
        with Recorder(layout.emitted) as recorder:
            town = Town(layout, seed, began(layout.facts), modbus_port, recorder)
            with _signals(town.hush, ended.set), town.line:
                async with town.station, SimulatedBlueZ(layout.bus_socket, town.radio), asyncio.TaskGroup() as group:
                    playing = group.create_task(town.play(), name="town")
                    on_ready(town.station.port)
                    await ended.wait()
                    playing.cancel()


async def turns(
    period_s: float, clock: Callable[[], float] | None = None, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> AsyncIterator[None]:
    """One turn a period, without end. After a late one the next comes a whole period later: two turns close together
    would say the same twice, which no real device does and no reader can tell from an echo.
    """
    clock = clock or asyncio.get_running_loop().time
    due = clock()
    while True:
        due += period_s
        await sleep(max(0.0, due - clock()))
        yield
        if clock() - due > period_s * LATE_SHARE:
            due = clock()


def began(facts: Path) -> datetime:
    """When the scenario began: as an earlier life of the town wrote it down, else now. Raises Tampered."""
    if not facts.exists():
        fresh = facts.with_suffix(".new")
        fresh.write_text(json.dumps({"began": _now().isoformat()}))
        fresh.replace(facts)
    try:
        at = datetime.fromisoformat(json.loads(facts.read_text())["began"])
    except (ValueError, KeyError, TypeError) as error:
        raise Tampered(f"{facts.name} does not say when the scenario began; delete it to begin anew") from error
    if at.tzinfo is None:
        raise Tampered(f"{facts.name} names a time without a zone; delete it to begin anew")
    return at


@contextmanager
def _signals(hush: Callable[[], None], end: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    actions = {signal.SIGUSR1: hush, signal.SIGTERM: end, signal.SIGINT: end}
    for number, action in actions.items():
        loop.add_signal_handler(number, action)
    try:
        yield
    finally:
        for number in actions:
            loop.remove_signal_handler(number)


def _now() -> datetime:
    return datetime.now(UTC)
