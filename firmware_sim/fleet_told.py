"""What a run of a fleet tells while it goes on, and what it ends with: a bar for people, JSON for machines."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType, TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from firmware_sim.fleet_ledger import Tally
from firmware_sim.fleet_meter import Usage
from firmware_sim.fleet_plan import Storm
from firmware_sim.narrator import say

BACK_GOAL_S = 60.0
HUB_GOAL_MIB = 400.0

_STEPS: Mapping[str, str] = MappingProxyType(
    {
        "registering": "ゲートウェイを登録します / registering the gateways",
        "starting": "ハブを起動します / starting the hub",
        "connecting": "接続します / connecting",
        "speaking": "送信しています / speaking",
        "storm": "全台が切断、復帰を待ちます / all cut, waiting for their return",
        "draining": "残りの受領を待ちます / waiting for the last receipts",
        "reading": "ハブの記録と照合します / comparing with what the hub holds",
        "stopping": "終了します / stopping",
    }
)
"""Step of a run -> what is told of it."""


@dataclass(frozen=True, slots=True)
class Outage:
    """All gateways without the hub from `began` (on the fleet's clock); how many came back, and after how long."""

    began: float
    returned: int
    half_s: float | None
    """Until half of them were back; None when fewer were within the limit."""
    all_s: float | None

    def touches(self, start: float, end: float) -> bool:
        """True when something of [start, end] lies between the cut and the return of the last."""
        return end >= self.began and (self.all_s is None or start <= self.began + self.all_s)


@dataclass(frozen=True, slots=True)
class Latency:
    """From a blob's writing to its leaving the outbox, of blobs that no outage touched; milliseconds."""

    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Report:
    """How a run ended. `late_max_s`: how far the simulator itself fell behind its own timetable."""

    gateways: int
    storm: Storm
    tally: Tally
    start: Outage
    storm_outage: Outage | None
    blobs: int
    waiting: int
    """Blobs that the hub had not receipted when the limit was over."""
    losses: int
    faults: int
    latency: Latency | None
    late_max_s: float
    drain_s: float
    read_s: float
    lasted_s: float
    load: float
    usage: Mapping[str, Usage]

    @property
    def holds(self) -> bool:
        """True when nothing is lost, double, altered or out of order, and every gateway came back."""
        is_back = self.storm_outage is None or self.storm_outage.all_s is not None
        return self.tally.holds and self.waiting == 0 and is_back

    @property
    def meets_goals(self) -> bool | None:
        """Holds, all back within 60 s, hub at most 400 MiB; None when there was no storm or the hub was not ours."""
        if self.storm_outage is None or "hub" not in self.usage:
            return None
        back_s = self.storm_outage.all_s
        is_in_time = back_s is not None and back_s <= BACK_GOAL_S
        return self.holds and is_in_time and self.usage["hub"].rss_max_mib <= HUB_GOAL_MIB


class Told(Protocol):
    """Who hears of a run while it goes on."""

    def step(self, name: str, total: float) -> None:
        """A step begins; `progress` counts up to `total`."""
        ...

    def progress(self, done: float) -> None:
        """How far the step is."""
        ...

    def restarted(self, child: str) -> None:
        """The hub died and was started again."""
        ...


class ForPeople:
    """A bar on a terminal, and one line a step, on stderr."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)
        self._task = self._bar.add_task("")

    def step(self, name: str, total: float) -> None:
        """One line, and a new bar."""
        self._console.print(f"[bold]・[/bold] {_STEPS[name]}")
        self._bar.reset(self._task, total=round(total), description=name)

    def progress(self, done: float) -> None:
        """The bar."""
        self._bar.update(self._task, completed=round(done))

    def restarted(self, child: str) -> None:
        """One line."""
        self._console.print(f"[yellow]![/yellow] {child}: 停止したため再起動しました / died and was started again")

    def ended(self, report: Report) -> None:
        """The balance, the return and what it cost."""
        tally = report.tally
        verdict = (
            "[green]すべて届きました / everything is there, once and in order[/green]"
            if report.holds
            else "[red]合いません / the balance does not hold[/red]"
        )
        self._console.print(
            f"\n発信 emitted {tally.emitted} = 保存 stored {tally.stored} + 不明 missing {tally.missing}"
            f"   重複 duplicated {tally.duplicated}   改変 altered {tally.altered}"
            f"   順序 out of order {tally.disordered}\n{verdict}"
        )
        self._console.print(f"接続 all up after {_seconds(report.start.all_s)}", end="")
        if report.storm_outage is not None:
            outage = report.storm_outage
            told = f"half {_seconds(outage.half_s)}, all {_seconds(outage.all_s)} ({outage.returned})"
            self._console.print(f"   復帰 back after {report.storm}: {told}", end="")
        if report.latency is not None:
            told = f"p50 {report.latency.p50_ms:.0f} ms, p99 {report.latency.p99_ms:.0f} ms"
            self._console.print(f"   受領 receipt {told}", end="")
        self._console.print()
        for name, use in report.usage.items():
            share = use.cpu_s / report.lasted_s
            self._console.print(f"  {name}: {use.rss_max_mib:.0f} MiB, {use.cpu_s:.1f} s CPU ({share:.0%})")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()


class ForMachines:
    """Plain lines on stderr, so that stdout holds the JSON object alone."""

    def step(self, name: str, total: float) -> None:  # noqa: ARG002  a bar is for people
        """One line a step."""
        say(name)

    def progress(self, done: float) -> None:
        """Nothing: a machine waits for the end."""

    def restarted(self, child: str) -> None:
        """One line."""
        say(f"{child} died and was started again")


def as_json(report: Report, seed: int) -> str:
    """The one JSON object a run ends with; times in seconds, sizes in MiB."""
    back = report.storm_outage
    lasted_s = {"drain_s": report.drain_s, "read_s": report.read_s, "lasted_s": report.lasted_s}
    return json.dumps(
        {
            "seed": seed,
            "gateways": report.gateways,
            "storm": report.storm,
            "passed": report.holds,
            "meets_goals": report.meets_goals,
            **asdict(report.tally),
            "blobs": report.blobs,
            "waiting": report.waiting,
            "losses": report.losses,
            "faults": report.faults,
            "up_half_s": _rounded(report.start.half_s),
            "up_all_s": _rounded(report.start.all_s),
            "back": back
            and {"gateways": back.returned, "half_s": _rounded(back.half_s), "all_s": _rounded(back.all_s)},
            "receipt": report.latency and {name: _rounded(ms) for name, ms in asdict(report.latency).items()},
            "late_max_s": _rounded(report.late_max_s),
            "load": _rounded(report.load),
            **{name: _rounded(seconds) for name, seconds in lasted_s.items()},
            "usage": {n: {k: _rounded(v) for k, v in asdict(use).items()} for n, use in report.usage.items()},
        }
    )


def _seconds(value: float | None) -> str:
    return "?" if value is None else f"{value:.1f} s"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
