"""A fleet of gateways in one process on a real hub: all up, cut at once, all back, and the balance of it all."""

import asyncio
import gc
import os
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random

from contract.ids import Epoch
from firmware_sim import ports
from firmware_sim.children import Children
from firmware_sim.demo import single_failure
from firmware_sim.fault_proxy import FaultProxy
from firmware_sim.fleet_gateway import FleetGateway
from firmware_sim.fleet_hub import FleetFailed, OwnHub, Reach
from firmware_sim.fleet_ledger import QUANTITY, Tally, tally
from firmware_sim.fleet_meter import Meter, allow_open_files
from firmware_sim.fleet_plan import Storm, names
from firmware_sim.fleet_told import Latency, Outage, Report, Told
from firmware_sim.sources import HubApi, hub_api

BACK_LIMIT_S = 240.0
"""Far beyond the goal of 60 s: a slow return is measured, a missing one fails."""
DRAIN_LIMIT_S = 120.0
LOOK_EVERY_S = 0.1
AT_ONCE = 50
"""After so many emissions that were overdue, the connections have their turn."""
YOUNG_OBJECTS = (50_000, 20, 1000)
"""Thresholds of the garbage collector: while 3,000 gateways came back, full collections took half of the time (9 of
18 s), each looking at a million objects that stay."""
READERS = 8
"""Requests to the hub's API at once while the ledger is read."""
_FILES_A_GATEWAY = 3
"""Its connection; through a proxy two more. The broker needs one."""
_OTHER_FILES = 256


@dataclass(frozen=True, slots=True)
class Options:
    """What a run was asked for. `given` None: with a hub of its own in `state`."""

    gateways: int
    devices: int
    period_s: float
    for_s: float
    seed: int
    storm: Storm
    state: Path
    given: Reach | None = None


async def run(options: Options, told: Told) -> Report:
    """Bring all up, let them speak for `for_s` with the storm in the middle, hush, drain, read the ledger.

    Raises KanmonError when a part cannot be started or does not answer.
    """
    allow_open_files(_FILES_A_GATEWAY * options.gateways + _OTHER_FILES)
    with single_failure(), _rare_collections():
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as keepers:
            if options.given is not None:
                hub = await stack.enter_async_context(hub_api(options.given.api_url))
                return await Fleet(options, options.given, None, told).run(hub)
            own = await _own_hub(options, stack, told)
            hub = await stack.enter_async_context(hub_api(own.reach.api_url))
            told.step("registering", options.gateways)
            await own.register(tuple(names(options.gateways)), told.progress)
            told.step("starting", 1)
            await own.start(hub, keepers)
            report = await Fleet(options, own.reach, own, told).run(hub)
            told.step("stopping", 1)
            await own.stop()
            return report


async def _own_hub(options: Options, stack: AsyncExitStack, told: Told) -> OwnHub:
    children = await stack.enter_async_context(Children(options.state / "logs", told.restarted))
    free = ports.choose(0)
    proxy: FaultProxy | None = None
    if options.storm is Storm.LINK:
        # Twice as many as gateways: those that were just cut are still closing when they come back.
        proxy = await stack.enter_async_context(FaultProxy(free.mqtt, most_connections=2 * options.gateways))
    return OwnHub(options.state / "hub", free, children, proxy)


class Fleet:
    """All gateways of one run."""

    def __init__(self, options: Options, reach: Reach, own: OwnHub | None, told: Told) -> None:
        self._options = options
        self._reach = reach
        self._own = own
        self._told = told
        self._clock = asyncio.get_running_loop().time
        self._late_max_s = 0.0
        self._gateways = [
            FleetGateway(name, options.devices, Epoch(secrets.token_hex(8)), self._clock)
            for name in names(options.gateways)
        ]

    async def run(self, hub: HubApi) -> Report:
        """From the first connection to the ledger; the connections are closed when it returns."""
        began = self._clock()
        pids: dict[str, Callable[[], int | None]] = {"simulator": os.getpid}
        if self._own is not None:
            pids |= {"hub": self._own.pid, "broker": self._own.broker_pid}
        meter = Meter(pids)
        async with _running(meter.run()), self._linked():
            async with _running(self._speak()):
                start, storm = await self._play(began)
            hushed = self._clock()
            waiting = await self._drained()
            drained = self._clock()
            meter.look()
            tally = await self._read(hub)
        return Report(
            gateways=len(self._gateways),
            storm=self._options.storm,
            tally=tally,
            start=start,
            storm_outage=storm,
            blobs=sum(len(gateway.outbox.receipts) for gateway in self._gateways),
            waiting=waiting,
            losses=sum(gateway.losses for gateway in self._gateways),
            faults=sum(gateway.faults for gateway in self._gateways),
            latency=self._latency([outage for outage in (start, storm) if outage is not None]),
            late_max_s=self._late_max_s,
            drain_s=drained - hushed,
            read_s=self._clock() - drained,
            lasted_s=self._clock() - began,
            load=os.getloadavg()[0],
            usage=meter.total(),
        )

    async def _play(self, began: float) -> tuple[Outage, Outage | None]:
        """Bring all up, let them speak, with the storm in the middle. FleetFailed when they do not come up at all."""
        start = await self._returned("connecting", began)
        if start.all_s is None:
            raise FleetFailed(f"After {BACK_LIMIT_S:.0f} s only {start.returned} gateways have heard from the hub")
        if self._own is None or self._options.storm is Storm.NONE:
            await self._let_speak(self._options.for_s)
            return start, None
        await self._let_speak(self._options.for_s / 2)
        cut_at = self._clock()
        self._own.strike(self._options.storm)
        storm = await self._returned("storm", cut_at)
        await self._let_speak(self._options.for_s / 2)
        return start, storm

    async def _returned(self, step: str, since: float) -> Outage:
        """Wait until the hub has answered every gateway after `since`, for BACK_LIMIT_S at most."""
        self._told.step(step, len(self._gateways))
        while True:
            is_over = self._clock() - since > BACK_LIMIT_S
            back = sorted(g.answered_at - since for g in self._gateways if g.answered_at > since)
            self._told.progress(len(back))
            half, everyone = (len(self._gateways) + 1) // 2, len(self._gateways)
            if is_over or len(back) == everyone:
                all_s = back[-1] if len(back) == everyone else None
                return Outage(since, len(back), back[half - 1] if len(back) >= half else None, all_s)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _let_speak(self, for_s: float) -> None:
        self._told.step("speaking", for_s)
        end = self._clock() + for_s
        while (left := end - self._clock()) > 0:
            self._told.progress(for_s - left)
            await asyncio.sleep(min(left, 1.0))

    async def _speak(self) -> None:
        """Every gateway once a period, each at a phase of its own, until cancelled."""
        options = self._options
        phases = [(_random(options.seed, f"{g.name} phase").uniform(0, options.period_s), g) for g in self._gateways]
        phases.sort(key=lambda pair: pair[0])
        start, at = self._clock(), datetime.now(UTC)
        for turn in count():
            for number, (phase_s, gateway) in enumerate(phases):
                due = start + turn * options.period_s + phase_s
                wait_s = due - self._clock()
                # What is overdue is said at once: while all come back, one round of the loop takes long.
                if wait_s > 0 or number % AT_ONCE == 0:
                    await asyncio.sleep(max(0.0, wait_s))
                now = self._clock()
                self._late_max_s = max(self._late_max_s, now - due)
                # On a clock that never steps, so that a device's stamps rise with its counter.
                gateway.emit(at + timedelta(seconds=now - start))

    async def _drained(self) -> int:
        """Wait for the last receipt, for DRAIN_LIMIT_S at most; returns how many blobs still wait."""
        most = sum(len(gateway.outbox) for gateway in self._gateways)
        self._told.step("draining", most)
        end = self._clock() + DRAIN_LIMIT_S
        while (waiting := sum(len(gateway.outbox) for gateway in self._gateways)) and self._clock() < end:
            self._told.progress(most - waiting)
            await asyncio.sleep(LOOK_EVERY_S)
        return waiting

    async def _read(self, hub: HubApi) -> Tally:
        """The balance, device by device, from the hub's public API."""
        devices = [emitted for gateway in self._gateways for emitted in gateway.emitted()]
        self._told.step("reading", len(devices))
        left, tallies = iter(devices), list[Tally]()

        async def read() -> None:
            for emitted in left:
                tallies.append(tally(emitted, await hub.things(emitted.device, (QUANTITY,))))
                self._told.progress(len(tallies))

        async with asyncio.TaskGroup() as readers:
            for _ in range(READERS):
                readers.create_task(read())
        return sum(tallies, Tally())

    def _latency(self, outages: Sequence[Outage]) -> Latency | None:
        calm_s = sorted(
            done - written
            for gateway in self._gateways
            for written, done in gateway.outbox.receipts
            if not any(outage.touches(written, done) for outage in outages)
        )
        if not calm_s:
            return None
        return Latency(*(1000 * calm_s[min(len(calm_s) - 1, int(len(calm_s) * q))] for q in (0.5, 0.99, 1.0)))

    @asynccontextmanager
    async def _linked(self) -> AsyncIterator[None]:
        """All gateways keep their links inside; Misconfigured when one has no credential."""
        seed = self._options.seed
        brokers = [self._reach.brokers(gateway.name) for gateway in self._gateways]
        async with asyncio.TaskGroup() as group:
            links = [
                group.create_task(gateway.run(to, _random(seed, gateway.name)), name=f"link {gateway.name}")
                for gateway, to in zip(self._gateways, brokers, strict=True)
            ]
            yield
            for link in links:
                link.cancel()


@asynccontextmanager
async def _running(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """`work` goes on inside, and is cancelled at the end; its failure ends what is inside."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        yield
        task.cancel()


@contextmanager
def _rare_collections() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*YOUNG_OBJECTS)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _random(seed: int, name: str) -> Random:
    return Random(f"{seed} {name}")  # noqa: S311  spreads timers and retries, keeps no secret
