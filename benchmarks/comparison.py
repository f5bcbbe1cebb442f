"""Two results of one part: which ratios became worse. Pure.

Only ratios to a limit of the same run are judged: a rate by itself tells more of the machine's neighbours than of us.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from benchmarks.figures import Figure, Result

TOLERANCE = 0.2
"""A ratio that moved by less is noise: CPU per operation moved about as much with the load of a shared machine."""


class Verdict(StrEnum):
    """What became of a figure."""

    REGRESSED = "regressed"
    IMPROVED = "improved"
    STEADY = "steady"
    SHOWN = "shown"
    """It has no ratio, so it is shown and not judged."""
    SKIPPED = "skipped"
    """Not measured in this run, or not in the baseline."""


@dataclass(frozen=True, slots=True)
class Change:
    """A figure then and now. `worse_by`: 0.2 is a fifth worse, negative is better; None when it cannot be said."""

    part: str
    name: str
    before: Figure | None
    now: Figure | None
    worse_by: float | None
    verdict: Verdict


def changes(before: Result, now: Result, tolerance: float = TOLERANCE) -> Iterator[Change]:
    """Every figure of either result, in the order of the newer."""
    old = {figure.name: figure for figure in before.figures}
    new = {figure.name: figure for figure in now.figures}
    for name in [*new, *(name for name in old if name not in new)]:
        yield _change(now.part, name, old.get(name), new.get(name), tolerance)


def _change(part: str, name: str, before: Figure | None, now: Figure | None, tolerance: float) -> Change:
    if before is None or now is None or before.value is None or now.value is None:
        return Change(part, name, before, now, None, Verdict.SKIPPED)
    worse_by = _worse_by(before.ratio, now.ratio, now.higher_is_better)
    if worse_by is None:
        return Change(part, name, before, now, None, Verdict.SHOWN)
    if worse_by > tolerance:
        verdict = Verdict.REGRESSED
    else:
        verdict = Verdict.IMPROVED if worse_by < -tolerance else Verdict.STEADY
    return Change(part, name, before, now, worse_by, verdict)


def _worse_by(before: float | None, now: float | None, higher_is_better: bool) -> float | None:
    """The share by which `now` is worse. A rate is judged by the time it takes, so that both directions are alike."""
    if before is None or now is None:
        return None
    low, high = (now, before) if higher_is_better else (before, now)
    if low <= 0:
        return None if high <= 0 else float("inf")
    return high / low - 1
