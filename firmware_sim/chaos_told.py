"""What a run of chaos tells while it goes on, and what it ends with: for people a bar and lines, for machines JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from contract.errors import KanmonError
from firmware_sim import narrator
from firmware_sim.chaos_judge import Verdict
from firmware_sim.chaos_plan import Round
from firmware_sim.demo import facts
from firmware_sim.ledger import Balance
from firmware_sim.plan import Layout, TownLayout
from firmware_sim.sources import AgentStatus


class ChaosFailed(KanmonError):
    """A round could not be played to its end; the text says what did not come back."""


@dataclass(frozen=True, slots=True)
class RoundResult:
    """One round. `tails` are the last lines of each child's log when it failed, else empty."""

    number: int
    faults: Round
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
        what = " + ".join(map(str, self.faults)) or "no fault"
        return f"round {self.number}: {what}: {end} in {self.lasted_s:.1f} s{gaps}"


@dataclass(frozen=True, slots=True)
class Report:
    """How a run ended. `final` is the balance of everything, once the town spoke no more."""

    rounds: tuple[RoundResult, ...]
    final: Balance
    restarts: int

    @property
    def holds(self) -> bool:
        """True when every round and the last balance hold."""
        return self.final.holds and all(result.holds for result in self.rounds)


class Told(narrator.Narrator, Protocol):
    """Who hears of a run while it goes on."""

    def round_began(self, number: int, faults: Round) -> None:
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

    def round_began(self, number: int, faults: Round) -> None:
        """Beside the bar."""
        self._bar.update(self._task, description=f"round {number}: {' + '.join(map(str, faults)) or 'no fault'}")

    def round_ended(self, result: RoundResult) -> None:
        """One line above the bar; with the last lines of the logs when it failed."""
        self._console.print(str(result), markup=False, soft_wrap=True)
        for name, tail in result.tails.items():
            self._console.print(f"\nlast lines of {name}:\n{tail}", markup=False, soft_wrap=True)
        self._bar.update(self._task, completed=result.number)

    def ended(self, report: Report, seed: int) -> None:
        """The balance of everything, and the seed."""
        verdict = "passed" if report.holds else "FAILED"
        columns = {name: value for name, value in facts(report.final).items() if name != "devices"}
        self._console.print(f"seed {seed}: {verdict}; {', '.join(f'{name} {n}' for name, n in columns.items())}")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()


class ForMachines(narrator.ForMachines):
    """Plain lines on stderr, so that stdout holds the JSON object alone."""

    def round_began(self, number: int, faults: Round) -> None:
        """Nothing: its end tells all of it."""

    def round_ended(self, result: RoundResult) -> None:
        """One line."""
        narrator.say(str(result))


def as_json(report: Report, seed: int, state: Path | None) -> str:
    """The one JSON object a run ends with; `state` where its folder was kept."""
    head = {"seed": seed, "passed": report.holds, "restarts": report.restarts, "state": state and str(state)}
    rounds = [_round(result) for result in report.rounds]
    return json.dumps({**head, "rounds": rounds, "final": facts(report.final)}, ensure_ascii=False)


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
        "faults": [str(fault) for fault in result.faults],
        "passed": result.holds,
        "problems": list(verdict.problems),
        "lasted_s": round(result.lasted_s, 2),
        "recovered_s": round(result.recovered_s, 2),
        "ledger": {**facts(verdict.balance), **judged},
        **({"log": dict(result.tails)} if result.tails else {}),
    }
