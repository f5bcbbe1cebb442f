"""The whole path: 4 Modbus TCP connections x 100 registers through gateway, broker and hub, all on the same cores.

Rules, quality and release are on. Readings per second are those the hub has receipted, so committed; CPU is that of
each process, by the kernel's clock, per receipted reading.
"""

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import stand, with_uvloop
from benchmarks.figures import Figure, Goal, Limit, not_measured
from benchmarks.peers import bare_loop
from benchmarks.processes import SCRIPTS, cpu_s, rss_mib
from benchmarks.receipt_latency import latencies_ms
from benchmarks.run import Run, finished
from benchmarks.stand import Farm

FIGURES = (
    "rate_100",
    "gateway_cpu_100",
    "rate_1000",
    "gateway_cpu_1000",
    "rate_100_uvloop",
    "gateway_cpu_100_uvloop",
    "rate_1000_uvloop",
    "gateway_cpu_1000_uvloop",
    "core_paced_2000_a_second",
    "commit_to_receipt_p99",
)
GOALS = {100: (Goal(at_least=50_000), Goal(at_most=12)), 1000: (Goal(at_least=150_000), Goal(at_most=5))}
"""Readings a second, and the gateway's CPU microseconds a reading, by readings a message."""
CONNECTIONS = 4
REGISTERS = 100
WARM_UP_S = 4.0
FIRST_LIMIT_S = 30.0
PACED_PERIOD_S = 0.2
PACED_BATCH = 500


@dataclass(frozen=True, slots=True)
class Flow:
    """What went through between two moments."""

    seconds: float
    records: int
    gateway_cpu_s: float
    hub_cpu_s: float
    gateway_rss_mib: float
    hub_rss_mib: float


def measure(run: Run) -> Iterator[Figure]:
    """All of FIGURES."""
    with stand.running_farm(CONNECTIONS, REGISTERS) as farm:
        run.say("bare loop")
        bare = bare_loop(farm, 0, run.take(5.0, 2.0))
    for batch in GOALS:
        yield from _free_running(run, batch, bare, is_on_uvloop=False)
    for batch in GOALS:
        yield from _free_running(run, batch, bare, is_on_uvloop=True)
    yield _paced(run)
    run.say("commit to receipt")
    with run.folder() as folder:
        waits = sorted(finished(latencies_ms(folder, PACED_BATCH, run.take(160, 20))))
    details = {"p50 ms": waits[len(waits) // 2], "worst ms": waits[-1], "commits": len(waits)}
    p99 = waits[int(len(waits) * 0.99)]
    yield Figure("commit_to_receipt_p99", p99, "ms", False, Goal(at_most=25), details=details)


def _free_running(run: Run, batch: int, bare: dict[str, float], is_on_uvloop: bool) -> Iterator[Figure]:
    rate_goal, cpu_goal = GOALS[batch]
    suffix, goals = ("_uvloop", (None, None)) if is_on_uvloop else ("", (rate_goal, cpu_goal))
    rate_name, cpu_name = f"rate_{batch}{suffix}", f"gateway_cpu_{batch}{suffix}"
    if is_on_uvloop and not with_uvloop.IS_THERE:
        yield not_measured(rate_name, "readings/s", with_uvloop.MISSING)
        yield not_measured(cpu_name, "us/reading", with_uvloop.MISSING)
        return
    run.say(f"batches of {batch}{' on uvloop' if is_on_uvloop else ''}")
    flow = _through(run, 0, batch, 100, run.take(10.0, 3.0), is_on_uvloop)
    details = {
        "hub us/reading": flow.hub_cpu_s / flow.records * 1e6,
        "gateway RSS MiB": flow.gateway_rss_mib,
        "hub RSS MiB": flow.hub_rss_mib,
    }
    what = "a bare pymodbus loop"
    limit = Limit(what, bare["readings"] / bare["seconds"])
    yield Figure(rate_name, flow.records / flow.seconds, "readings/s", True, goals[0], limit, details)
    limit = Limit(what, bare["cpu_s"] / bare["readings"] * 1e6)
    yield Figure(cpu_name, flow.gateway_cpu_s / flow.records * 1e6, "us/reading", False, goals[1], limit)


def _paced(run: Run) -> Figure:
    """2,000 readings/s: four stations at 5 Hz, a commit and a message of 500 each 250 ms."""
    run.say("paced, bare loop")
    with stand.running_farm(CONNECTIONS, REGISTERS) as farm:
        bare = bare_loop(farm, PACED_PERIOD_S, run.take(5.0, 3.0))
    run.say("paced")
    flow = _through(run, PACED_PERIOD_S, PACED_BATCH, 250, run.take(20.0, 5.0), is_on_uvloop=False)
    limit = Limit("a bare pymodbus loop", bare["cpu_s"] / bare["readings"] * flow.records / flow.seconds)
    details = {"readings/s": flow.records / flow.seconds, "hub cores": flow.hub_cpu_s / flow.seconds}
    share = flow.gateway_cpu_s / flow.seconds
    return Figure("core_paced_2000_a_second", share, "cores", False, Goal(at_most=0.04), limit, details)


def _through(run: Run, period_s: float, batch: int, linger_ms: int, seconds: float, is_on_uvloop: bool) -> Flow:
    with run.folder() as folder, stand.running_farm(CONNECTIONS, REGISTERS) as farm:
        return finished(_flow(folder, farm, (period_s, linger_ms, batch), seconds, is_on_uvloop))


async def _flow(folder: Path, farm: Farm, settings: tuple[float, int, int], seconds: float, is_on_uvloop: bool) -> Flow:
    def launcher(name: str) -> Sequence[object]:
        command: list[object] = [SCRIPTS / name]
        return [sys.executable, "-m", "benchmarks.with_uvloop", name] if is_on_uvloop else command

    async with stand.running_hub(folder, launcher("kanmon-hub")) as hub, hub.receipts() as receipts:
        config = stand.write_gateway(folder, hub, farm, *settings)
        with stand.running_agent(folder, config, launcher("kanmon-agent")) as agent:

            def state() -> tuple[float, ...]:
                return time.monotonic(), receipts.records, cpu_s(agent.pid), cpu_s(hub.pid)

            await receipts.at_least(1, FIRST_LIMIT_S)
            await asyncio.sleep(WARM_UP_S)
            before = state()
            await asyncio.sleep(seconds)
            after = state()
            elapsed, records, gateway, hub_cpu = (b - a for a, b in zip(before, after, strict=True))
            return Flow(elapsed, int(records), gateway, hub_cpu, rss_mib(agent.pid), rss_mib(hub.pid))
