"""A hub that was away for a day: a full outbox drains while the town goes on speaking, and all of it arrives once.

The past is written into the gateway's outbox by a program of the repository (`benchmarks.prefill`), which knows its
format; nothing here does. Then hub, town and agent are started and watched.
"""

import asyncio
import json
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from statistics import quantiles

from contract.errors import Fault, Misconfigured, ProtocolError, Unreachable
from firmware_sim import gateway_files, ports, scenario
from firmware_sim.chaos_bench import Bench
from firmware_sim.chaos_told import Told
from firmware_sim.children import Children
from firmware_sim.demo import Demo, Options, agent_command, single_failure, town_command
from firmware_sim.patience import ChaosFailed
from firmware_sim.plan import RIVER, Layout
from firmware_sim.ports import HOST
from firmware_sim.sources import HubApi, hub_api

READINGS = 43_200_000
"""A day at 500 a second."""
PROGRAM = "benchmarks.prefill"
FRESH_LIMIT_S = 2.0
"""How old the newest value of a device may be at the hub, and how late an alert, while the backlog drains."""
FRESH_SHARE = 0.95
STREAM_BYTES = 2**30
DRAIN_LIMIT_S = 3600.0
LOOK_EVERY_S = 0.5
LEFT_RECORDS = 500
"""With fewer waiting the backlog is over: so many a town says in some seconds."""


@dataclass(frozen=True, slots=True)
class DayReport:
    """What came of it. Ages in seconds; `alert_s` None when no alert came while the backlog drained."""

    readings: int
    rows: int
    is_each_once: bool
    drained_s: float
    readings_per_s: int
    fresh_p50_s: float
    fresh_p95_s: float
    fresh_max_s: float
    alert_s: float | None
    town_holds: bool

    @property
    def holds(self) -> bool:
        """True when everything arrived once, and fresh values and alerts did not wait for it."""
        is_fresh = self.fresh_p95_s <= FRESH_LIMIT_S and (self.alert_s is None or self.alert_s <= FRESH_LIMIT_S)
        return self.is_each_once and self.town_holds and is_fresh

    def __str__(self) -> str:
        """For a person."""
        alert = "no alert came meanwhile" if self.alert_s is None else f"an alert overtook it in {self.alert_s:.1f} s"
        return (
            f"{self.readings:,} readings drained in {self.drained_s:.0f} s ({self.readings_per_s:,}/s), "
            f"{self.rows:,} stored, each once: {'yes' if self.is_each_once else 'NO'}; newest value at the hub "
            f"{self.fresh_p50_s:.1f} s old (95 %: {self.fresh_p95_s:.1f} s, longest {self.fresh_max_s:.1f} s); "
            f"{alert}; "
            f"the town's ledger {'holds' if self.town_holds else 'DOES NOT HOLD'}"
        )


async def run(root: Path, seed: int, readings: int, told: Told) -> DayReport:
    """Fill, start, drain, count. Raises KanmonError when a part does not start, or the drain takes over an hour."""
    if find_spec(PROGRAM.partition(".")[0]) is None:
        fault = Fault(PROGRAM, 0, "is part of the repository and not of the package", "Run it from a checkout")
        raise Misconfigured(fault)
    layout = Layout(root / "day-away")
    options = Options(layout, ports.choose(0), seed, scenario.STAGES_M)
    layout.logs.mkdir(parents=True, exist_ok=True)
    layout.gateway.mkdir(mode=0o700, exist_ok=True)
    gateway_files.write(layout, options.ports, options.stages_m)
    told.step(f"filling the outbox with {readings:,} readings")
    filled = int((await _program("--state", str(layout.gateway), "--readings", str(readings)))["readings"])
    with single_failure():
        async with Children(layout.logs, told.restarted) as children:
            watch, town_holds = await _Day(options, children, told).run(filled)
    told.step("counting")
    counted = await _program("--count", str(layout.hub / "hub.sqlite"))
    is_each_once = (counted["rows"], counted["highest"], counted["sum"]) == (filled, filled, filled * (filled + 1) // 2)
    cuts = quantiles(watch.ages_s, n=20)
    return DayReport(
        readings=filled,
        rows=int(counted["rows"]),
        is_each_once=is_each_once,
        drained_s=round(watch.drained_s, 1),
        readings_per_s=round(filled / watch.drained_s),
        fresh_p50_s=round(cuts[9], 2),
        fresh_p95_s=round(cuts[-1], 2),
        fresh_max_s=round(max(watch.ages_s), 2),
        alert_s=None if watch.alert_s is None else round(watch.alert_s, 2),
        town_holds=town_holds,
    )


@dataclass(slots=True)
class _Watch:
    """What was seen while it drained."""

    ages_s: list[float]
    drained_s: float = 0.0
    alert_s: float | None = None
    """How old the first alert was when it was first seen; the look every half second is part of it."""


class _Day:
    """Hub, town and agent of one run."""

    def __init__(self, options: Options, children: Children, told: Told) -> None:
        bench = Bench(options, children, stream_bytes=STREAM_BYTES)
        commands = (*bench.hubs, town_command(options), agent_command(options))
        self._base_url = f"http://{HOST}:{options.ports.http}"
        self._demo = Demo(options, children, told, commands)
        self._children = children
        self._told = told

    async def run(self, filled: int) -> tuple[_Watch, bool]:
        """What was seen, and whether the town's own ledger holds at the end."""
        async with asyncio.TaskGroup() as keepers, hub_api(self._base_url) as hub:
            began = asyncio.get_running_loop().time()
            await self._demo.start(hub, keepers)
            watch = await self._drain(hub, filled, began)
            self._told.step("settling")
            await self._demo.hear_all()
            await self._demo.hush()
            final = await self._demo.balance(hub)
            await self._children.stop("agent", "town", "hub")
        return watch, final.holds

    async def _drain(self, hub: HubApi, filled: int, began: float) -> _Watch:
        """Until the backlog is over; counted from the start of the processes."""
        clock, watch = asyncio.get_running_loop().time, _Watch([])
        while clock() - began < DRAIN_LIMIT_S:
            with suppress(Unreachable, ProtocolError):
                heard_at, alert_at = await hub.last_at(RIVER), await hub.first_alert_at()
                now = datetime.now(UTC)
                if heard_at is not None:
                    watch.ages_s.append((now - heard_at).total_seconds())
                if alert_at is not None and watch.alert_s is None:
                    watch.alert_s = (now - alert_at).total_seconds()
            status = await self._demo.status()
            if status is not None:
                waiting = status.outbox.data
                self._told.step(f"{waiting:,} of {filled:,} wait")
                if waiting < LEFT_RECORDS and len(watch.ages_s) > 1:
                    watch.drained_s = clock() - began
                    return watch
            await asyncio.sleep(LOOK_EVERY_S)
        raise ChaosFailed(f"After {DRAIN_LIMIT_S:.0f} s the backlog is still there")


async def _program(*words: str) -> dict[str, int]:
    """What the repository's program answers; it runs on its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", PROGRAM, *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise ChaosFailed(f"python -m {PROGRAM} {words[0]} failed (exit {process.returncode})")
    answer: dict[str, int] = json.loads(output)
    return answer


def as_json(report: DayReport, seed: int) -> str:
    """The one JSON object it ends with."""
    return json.dumps({"seed": seed, "passed": report.holds, **asdict(report)})
