"""What each kind of fault came to over a whole run. Pure."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from firmware_sim.chaos_judge import Verdict
from firmware_sim.chaos_kinds import Kind
from firmware_sim.chaos_plan import Round


@dataclass(frozen=True, slots=True)
class Row:
    """One kind. A round with two faults counts for both: which of them cost what cannot be told apart."""

    kind: Kind
    rounds: int
    missing: int
    duplicated: int
    longest_gap_s: float
    recovery_p50_s: float
    recovery_max_s: float


def table(played: Iterable[tuple[Round, Verdict, float]]) -> tuple[Row, ...]:
    """A row for each kind that came, in the order of Kind; the third of each is how long the recovery took, in s."""
    by_kind: dict[Kind, list[tuple[Verdict, float]]] = defaultdict(list)
    for one, verdict, recovered_s in played:
        for fault in one.faults:
            by_kind[fault.kind].append((verdict, recovered_s))
    return tuple(_row(kind, by_kind[kind]) for kind in Kind if kind in by_kind)


def _row(kind: Kind, results: list[tuple[Verdict, float]]) -> Row:
    recovered = [recovered_s for _, recovered_s in results]
    return Row(
        kind,
        len(results),
        sum(verdict.missing for verdict, _ in results),
        sum(verdict.duplicated for verdict, _ in results),
        round(max(verdict.longest_gap_s for verdict, _ in results), 3),
        round(median(recovered), 2),
        round(max(recovered), 2),
    )
