"""The gateway under the peers' workload: a Modbus farm, rules and release on, SQLite durable, a real hub behind it."""

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from nats.aio.msg import Msg

from benchmarks import stand
from benchmarks.figures import Figure, Goal, Limit, not_measured
from benchmarks.outbox import NOT_COUNTED
from benchmarks.processes import cpu_s, peak_rss_mib, written_bytes
from benchmarks.run import Run, finished
from benchmarks.stand import Farm, Hub, Receipts

FIGURES = (
    "polls_50x100_at_10_hz",
    "readings_50x100_at_10_hz",
    "core_50x100_at_10_hz",
    "cpu_10_registers",
    "cpu_100_registers",
    "core_at_100_a_second",
    "bytes_at_1000_a_second",
    "first_reading",
)
WARM_UP_S = 3.0
SETTLE_LIMIT_S = 10.0
FIRST_LIMIT_S = 30.0
LOOK_EVERY_S = 0.01


@dataclass(frozen=True, slots=True)
class Load:
    """What is polled: stations of so many readings, each with this period."""

    stations: int
    readings: int
    period_s: float
    linger_ms: int = 100
    batch_records: int = 1000

    @property
    def polls_per_s(self) -> float:
        """How many polls are asked for."""
        return self.stations / self.period_s


@dataclass(frozen=True, slots=True)
class Spent:
    """What the gateway did between two moments."""

    seconds: float
    polls: int
    records: int
    cpu_s: float
    written: int
    peak_rss_mib: float
    missing: int
    """Readings that were answered and are not at the hub some seconds after the farm fell silent."""
    bare_cpu_s: float
    """CPU seconds that a bare pymodbus loop takes for each 1,000 readings of the same load."""
    payload: int
    """Bytes the gateway published in the meantime."""
    stall_ms: float
    """How late this idle process was woken at worst: while the machine stands still that long, polls are missed."""

    @property
    def readings_per_s(self) -> float:
        """At the hub, by its receipts."""
        return self.records / self.seconds

    @property
    def cpu_s_per_1000(self) -> float:
        """The gateway's CPU seconds for 1,000 readings."""
        return self.cpu_s / self.records * 1000

    @property
    def share(self) -> float:
        """The gateway's share of one core."""
        return self.cpu_s / self.seconds


def measure(run: Run) -> Iterator[Figure]:
    """All of FIGURES."""
    seconds = run.take(15.0, 3.0)
    yield from _farm_of_50(run, seconds)
    yield _cpu(run, "cpu_10_registers", Load(10, 10, 0.1), seconds, Goal(at_most=0.04))
    yield _cpu(run, "cpu_100_registers", Load(10, 100, 0.1), seconds, Goal(at_most=0.006))
    spent = _spent(run, Load(10, 10, 1.0), run.take(30.0, 5.0))
    goal = Goal(at_most=0.02)
    limit = Limit("a bare pymodbus loop", spent.bare_cpu_s * spent.records / 1000 / spent.seconds)
    yield Figure("core_at_100_a_second", spent.share, "cores", False, goal, limit, _details(spent))
    yield _bytes(run, run.take(20.0, 5.0))
    yield finished(_first_reading(run))


def _farm_of_50(run: Run, seconds: float) -> Iterator[Figure]:
    load = Load(50, 100, 0.1)
    spent = _spent(run, load, seconds)
    asked = load.polls_per_s * spent.seconds
    limit = Limit("what was asked for", load.polls_per_s * load.readings)
    yield Figure(
        "polls_50x100_at_10_hz", spent.polls / asked, "ratio", True, Goal(at_least=0.998), details=_details(spent)
    )
    yield Figure(
        "readings_50x100_at_10_hz",
        spent.readings_per_s,
        "readings/s",
        True,
        Goal(at_least=0.995, of_ratio=True),
        limit,
        {"missing": spent.missing},
    )
    bare = Limit("a bare pymodbus loop", spent.bare_cpu_s * spent.records / 1000 / spent.seconds)
    yield Figure("core_50x100_at_10_hz", spent.share, "cores", False, Goal(at_most=0.25), bare)


def _cpu(run: Run, name: str, load: Load, seconds: float, goal: Goal) -> Figure:
    spent = _spent(run, load, seconds)
    limit = Limit("a bare pymodbus loop", spent.bare_cpu_s)
    return Figure(name, spent.cpu_s_per_1000, "CPU s/1,000 readings", False, goal, limit, _details(spent))


def _bytes(run: Run, seconds: float) -> Figure:
    goal = Goal(at_most=60)
    if not run.counts_bytes:
        return not_measured("bytes_at_1000_a_second", "bytes/reading", NOT_COUNTED, goal)
    spent = _spent(run, Load(10, 10, 0.1, linger_ms=1000), seconds)
    limit = Limit("what is published", spent.payload / spent.records)
    value = spent.written / spent.records
    return Figure("bytes_at_1000_a_second", value, "bytes/reading", False, goal, limit, _details(spent))


def _details(spent: Spent) -> dict[str, float | str | None]:
    return {
        "readings/s": round(spent.readings_per_s),
        "cores": round(spent.share, 4),
        "written bytes/reading": round(spent.written / spent.records, 1),
        "peak RSS MiB": spent.peak_rss_mib,
        "missing": spent.missing,
        "longest stall of the machine ms": spent.stall_ms,
    }


def _spent(run: Run, load: Load, seconds: float) -> Spent:
    run.say(f"{load.stations} x {load.readings} each {load.period_s} s, bare loop")
    with run.folder() as folder, stand.running_farm(load.stations, load.readings) as farm:
        bare = bare_loop(farm, load.period_s, min(seconds, 5.0))
        run.say(f"{load.stations} x {load.readings} each {load.period_s} s")
        return finished(_measured(folder, farm, load, seconds, bare["cpu_s"] / bare["readings"] * 1000))


def bare_loop(farm: Farm, period_s: float, seconds: float) -> dict[str, float]:
    """What a bare pymodbus loop gets from the farm, and what it costs; see `benchmarks.bare_poll`."""
    arguments = map(str, (farm.readings + 1, period_s, seconds, *farm.ports))
    command = [sys.executable, "-m", "benchmarks.bare_poll", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=seconds + 30)
    said: dict[str, float] = json.loads(done.stdout)
    return said


async def _measured(folder: Path, farm: Farm, load: Load, seconds: float, bare_cpu_s: float) -> Spent:
    async with stand.running_hub(folder) as hub, hub.receipts() as receipts, _published(hub) as payload:
        answered_before = farm.answers()
        config = stand.write_gateway(folder, hub, farm, load.period_s, load.linger_ms, load.batch_records)
        with stand.running_agent(folder, config) as agent:
            await receipts.at_least(1, FIRST_LIMIT_S)
            await asyncio.sleep(WARM_UP_S)
            before = _state(farm, receipts, agent.pid, payload)
            stall_ms = await longest_stall_ms(seconds)
            after = _state(farm, receipts, agent.pid, payload)
            peak = peak_rss_mib(agent.pid)
            wanted = (farm.stop() - answered_before) * farm.readings
            await receipts.at_least(wanted, SETTLE_LIMIT_S)
            missing = max(0, wanted - receipts.records)
    elapsed, polls, records, cpu, written, sent = (b - a for a, b in zip(before, after, strict=True))
    return Spent(elapsed, int(polls), int(records), cpu, int(written), peak, missing, bare_cpu_s, int(sent), stall_ms)


async def longest_stall_ms(seconds: float) -> float:
    """Wait for `seconds`, looking at the clock a hundred times a second; the longest that it was late."""
    loop = asyncio.get_running_loop()
    end, worst = loop.time() + seconds, 0.0
    while (now := loop.time()) < end:
        await asyncio.sleep(LOOK_EVERY_S)
        worst = max(worst, loop.time() - now - LOOK_EVERY_S)
    return worst * 1000


def _state(farm: Farm, receipts: Receipts, pid: int, payload: list[int]) -> tuple[float, ...]:
    return time.monotonic(), farm.answers(), receipts.records, cpu_s(pid), written_bytes(pid), payload[0]


@contextlib.asynccontextmanager
async def _published(hub: Hub) -> AsyncIterator[list[int]]:
    """How many bytes the gateway has published, in a list of one."""
    total = [0]

    async def count(message: Msg) -> None:
        total[0] += len(message.data)

    async with hub.broker() as client:
        await client.subscribe(stand.data_subject(), cb=count)
        await client.flush()
        yield total


async def _first_reading(run: Run) -> Figure:
    """Seconds from starting the agent's process until its first reading is at the broker."""
    times, bare = [], []
    bare_python = [sys.executable, "-c", "import asyncio, sqlite3"]
    with run.folder() as folder, stand.running_farm(1, 100) as farm:
        async with stand.running_hub(folder) as hub, hub.broker() as client:
            config = stand.write_gateway(folder, hub, farm, 0.1)
            for number in range(run.take(6, 3)):
                run.say(f"start {number}")
                messages = await client.subscribe(stand.data_subject())
                await client.flush()
                start = time.monotonic()
                with stand.running_agent(folder, config):
                    await messages.next_msg(FIRST_LIMIT_S)
                    times.append(time.monotonic() - start)
                await messages.unsubscribe()
                start = time.monotonic()
                await asyncio.to_thread(subprocess.run, bare_python, check=True)
                bare.append(time.monotonic() - start)
    limit = Limit("Python with asyncio and sqlite3", statistics.median(bare[1:]))
    details = {"slowest": round(max(times), 3), "first, cold": round(times[0], 3)}
    return Figure("first_reading", statistics.median(times[1:]), "s", False, Goal(at_most=1.0), limit, details)
