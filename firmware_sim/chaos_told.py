"""What a run of chaos tells while it goes on, and what it ends with: for people a bar and lines, for machines JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from firmware_sim import narrator
from firmware_sim.chaos_judge import Verdict
from firmware_sim.chaos_plan import Round
from firmware_sim.chaos_table import Row, table
from firmware_sim.demo import facts
from firmware_sim.ledger import Balance
from firmware_sim.plan import Layout, TownLayout
from firmware_sim.sources import AgentStatus

FINAL_COLUMNS = ("emitted", "stored", "aggregated", "withheld", "in_gaps", "missing", "duplicated")


@dataclass(frozen=True, slots=True)
class RoundResult:
    """One round. `tails`: of one that failed the last lines of each log, and what the ledger cannot explain."""

    number: int
    played: Round
    lasted_s: float
    recovered_s: float
    verdict: Verdict
    tails: Mapping[str, str]

    @property
    def holds(self) -> bool:
        """True when every promise was kept."""
        return not self.verdict.problems

    def __str__(self) -> str:
        """One line."""
        verdict = self.verdict
        end = "ok" if self.holds else f"FAILED: {'; '.join(verdict.problems)}"
        gaps = f", {verdict.gaps} gaps of at most {verdict.longest_gap_s:.1f} s" if verdict.gaps else ""
        return f"round {self.number}: {self.played}: {end} in {self.lasted_s:.1f} s{gaps}"


@dataclass(frozen=True, slots=True)
class BlockResult:
    """How the rounds on one bench ended. `final` is the balance of everything, once its town spoke no more."""

    rounds: tuple[RoundResult, ...]
    final: Balance
    restarts: int

    @property
    def holds(self) -> bool:
        """True when every round and the last balance hold."""
        return self.final.holds and all(result.holds for result in self.rounds)


@dataclass(frozen=True, slots=True)
class Report:
    """How a run ended, bench after bench."""

    blocks: tuple[BlockResult, ...]

    @property
    def rounds(self) -> tuple[RoundResult, ...]:
        """Every round."""
        return tuple(result for block in self.blocks for result in block.rounds)

    @property
    def holds(self) -> bool:
        """True when every round and each bench's last balance hold."""
        return all(block.holds for block in self.blocks)

    @property
    def restarts(self) -> int:
        """How often any child was started again."""
        return sum(block.restarts for block in self.blocks)

    @property
    def final(self) -> dict[str, int]:
        """The last balances added up."""
        columns = (*FINAL_COLUMNS, "alerts")
        return {name: sum(getattr(block.final, name) for block in self.blocks) for name in columns}

    @property
    def by_kind(self) -> tuple[Row, ...]:
        """What each kind of fault came to."""
        return table((result.played, result.verdict, result.recovered_s) for result in self.rounds)


class Told(narrator.Narrator, Protocol):
    """Who hears of a run while it goes on."""

    def round_began(self, number: int, played: Round) -> None:
        """A round begins."""
        ...

    def round_ended(self, result: RoundResult) -> None:
        """A round is judged."""
        ...


class ForPeople:
    """A bar on a terminal, and one line a round, on stderr."""

    def __init__(self, rounds: int) -> None:
        self._console = Console(stderr=True, highlight=False)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)
        self._task = self._bar.add_task("starting", total=rounds)

    def step(self, name: str) -> None:
        """Beside the bar."""
        self._bar.update(self._task, description=name)

    def restarted(self, child: str) -> None:
        """Nothing: that is what a round is for."""

    def ready(self, address: str, layout: Layout, for_s: float | None) -> None:
        """Nothing: a run of chaos has no page to look at."""

    def live(self, town: TownLayout, status: AgentStatus | None, alerts: int | None) -> None:
        """Nothing: the bar shows how far it is."""

    def round_began(self, number: int, played: Round) -> None:
        """Beside the bar."""
        self._bar.update(self._task, description=f"round {number}: {played}")

    def round_ended(self, result: RoundResult) -> None:
        """One line above the bar; with the last lines of the logs when it failed."""
        self._console.print(str(result), markup=False, soft_wrap=True)
        for name, tail in result.tails.items():
            self._console.print(f"\nlast lines of {name}:\n{tail}", markup=False, soft_wrap=True)
        self._bar.update(self._task, completed=result.number)

    def ended(self, report: Report, seed: int) -> None:
        """What each kind of fault came to, the balance of everything, and the seed."""
        shown = Table(*("fault", "rounds", "missing", "double", "longest gap", "recovery p50", "max"), box=None)
        for row in report.by_kind:
            gap, p50, longest = (
                f"{row.longest_gap_s:.1f} s",
                f"{row.recovery_p50_s:.1f} s",
                f"{row.recovery_max_s:.1f} s",
            )
            shown.add_row(row.kind, str(row.rounds), str(row.missing), str(row.duplicated), gap, p50, longest)
        self._console.print(shown)
        verdict = "passed" if report.holds else "FAILED"
        self._console.print(f"seed {seed}: {verdict}; {', '.join(f'{name} {n}' for name, n in report.final.items())}")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()


class ForMachines(narrator.ForMachines):
    """Plain lines on stderr, so that stdout holds the JSON object alone."""

    def round_began(self, number: int, played: Round) -> None:
        """Nothing: its end tells all of it."""

    def round_ended(self, result: RoundResult) -> None:
        """One line."""
        narrator.say(str(result))


def as_json(report: Report, seed: int, state: Path | None) -> str:
    """The one JSON object a run ends with; `state` where its folder was kept."""
    head = {"seed": seed, "passed": report.holds, "restarts": report.restarts, "state": state and str(state)}
    rounds = [_round(result) for result in report.rounds]
    kinds = [asdict(row) for row in report.by_kind]
    return json.dumps({**head, "rounds": rounds, "kinds": kinds, "final": report.final}, ensure_ascii=False)


def _round(result: RoundResult) -> dict[str, object]:
    verdict = result.verdict
    judged = {
        "missing": verdict.missing,
        "in_flight": verdict.in_flight,
        "disordered": verdict.disordered,
        "gaps": verdict.gaps,
        "longest_gap_s": round(verdict.longest_gap_s, 3),
    }
    return {
        "round": result.number,
        "setup": result.played.setup,
        "faults": [str(fault) for fault in result.played.faults],
        "passed": result.holds,
        "problems": list(verdict.problems),
        "lasted_s": round(result.lasted_s, 2),
        "recovered_s": round(result.recovered_s, 2),
        "ledger": {**facts(verdict.balance), **judged},
        **({"log": dict(result.tails)} if result.tails else {}),
    }
