"""Whether a round of chaos kept the promises, by the ledger's books of a town that goes on speaking. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

from contract.record import GapReason
from firmware_sim.chaos_memory import LEDGERS_OWN
from firmware_sim.ledger import Balance, Books, Emission, Span, StoredSample, balance
from firmware_sim.plan import RIVER

COUNTER = "device_counter"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a round is judged by.

    Of the emissions only the first `due` must have arrived: those after them may still be on their way. A gap that
    ends before `began` is the round before's, and `limit_before_s` and `reasons_before` hold for it. The river's
    counter falls each time the town is killed.
    """

    due: int
    began: datetime
    limit_s: float
    limit_before_s: float
    known_gaps: frozenset[Span]
    town_restarts: int
    reasons: frozenset[GapReason] = frozenset()
    reasons_before: frozenset[GapReason] = frozenset()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The ledger at a round's end. Gaps are those that are new."""

    balance: Balance
    missing: int
    duplicated: int
    disordered: int
    gaps: int
    longest_gap_s: float
    problems: tuple[str, ...]

    @property
    def in_flight(self) -> int:
        """Emissions that were not due and have not arrived."""
        return self.balance.missing - self.missing


def judge(books: Books, terms: Terms) -> Verdict:
    """Missing among what was due, double, out of order, and gaps that are too long."""
    whole = balance(books)
    missing = balance(replace(books, emissions=books.emissions[: terms.due])).missing
    disordered = disorder(books.stored, terms.town_restarts)
    gaps = [gap for gap in frozenset(books.gaps) - terms.known_gaps if gap.reason != LEDGERS_OWN]
    problems = [
        f"{count} {what}"
        for count, what in ((missing, "missing"), (whole.duplicated, "duplicated"), (disordered, "out of order"))
        if count
    ]
    problems += [text for gap in sorted(gaps, key=_length_s) for text in _not_allowed(gap, terms)]
    longest_s = max(map(_length_s, gaps), default=0.0)
    return Verdict(whole, missing, whole.duplicated, disordered, len(gaps), longest_s, tuple(problems))


def disorder(stored: Iterable[StoredSample], town_restarts: int) -> int:
    """How often a device's stamps, or the river's counter, fall while the sequence rises.

    Only samples of things have a sequence. The counter begins anew with each life of the town.
    """
    lines: Mapping[tuple[str, str], list[tuple[int, StoredSample]]] = defaultdict(list)
    for sample in stored:
        if sample.identity:
            stream, sequence = sample.identity.rsplit(":", 1)
            lines[sample.device, stream].append((int(sequence), sample))
    late = falls = 0
    for line in lines.values():
        samples = [sample for _, sample in sorted(line, key=lambda entry: entry[0])]
        late += sum(after.at < before.at for before, after in pairwise(samples))
        falls += sum(_falls(before, after) for before, after in pairwise(samples))
    return late + max(0, falls - town_restarts)


def spoken_since(emissions: Sequence[Emission], at: datetime) -> Mapping[str, int]:
    """How often each device has spoken after `at`."""
    counts: dict[str, int] = defaultdict(int)
    for emission in reversed(emissions):
        if emission.at <= at:
            break
        counts[emission.device] += 1
    return counts


def _falls(before: StoredSample, after: StoredSample) -> bool:
    return before.device == RIVER and after.values[COUNTER] < before.values[COUNTER]


def _not_allowed(gap: Span, terms: Terms) -> Iterable[str]:
    is_new = gap.end >= terms.began
    limit_s, reasons = (terms.limit_s, terms.reasons) if is_new else (terms.limit_before_s, terms.reasons_before)
    whose = gap.device or "a device that shares nothing"
    if _length_s(gap) > limit_s:
        yield f"gap of {_length_s(gap):.1f} s of {whose}, allowed: {limit_s:.0f} s"
    elif gap.reason not in reasons:
        allowed = ", ".join(sorted(reasons)) or "none"
        yield f"gap of {_length_s(gap):.1f} s of {whose} for the reason {gap.reason}, allowed: {allowed}"


def _length_s(gap: Span) -> float:
    return (gap.end - gap.start).total_seconds()
