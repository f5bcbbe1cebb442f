"""The judge of chaos sees every broken promise, and the table tells what each kind of fault came to."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from contract.record import GapReason
from firmware_sim.chaos_judge import Terms, judge
from firmware_sim.chaos_kinds import Kind, Setup
from firmware_sim.chaos_memory import LEDGERS_OWN
from firmware_sim.chaos_plan import Fault, Round
from firmware_sim.chaos_table import table
from firmware_sim.ledger import Books, Emission, Span, StoredSample
from firmware_sim.plan import RIVER

T0 = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
RESTART = frozenset({GapReason.RESTART})


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def emission(number: int) -> Emission:
    return Emission(RIVER, at(number), {"device_counter": number, "water_level": 1.0})


def stored(number: int, sequence: int | None = None, late_s: float = 0.0) -> StoredSample:
    sequence = number if sequence is None else sequence
    return StoredSample(RIVER, at(number + late_s), {"device_counter": number}, f"e:data:{sequence}")


WELL = Books([emission(n) for n in range(10)], [stored(n) for n in range(10)])
TERMS = Terms(10, T0, 0.0, 0.0, frozenset(), 0)


def test_what_arrived_once_and_in_order_has_no_problem() -> None:
    assert judge(WELL, TERMS).problems == ()


def test_what_came_after_the_due_may_be_on_its_way_and_nothing_else() -> None:
    books = replace(WELL, stored=WELL.stored[:8])
    verdict = judge(books, replace(TERMS, due=8))
    assert (verdict.problems, verdict.in_flight) == ((), 2)
    assert judge(books, replace(TERMS, due=9)).problems == ("1 missing",)


def test_a_sample_stored_twice_is_seen() -> None:
    assert judge(replace(WELL, stored=[*WELL.stored, stored(5)]), TERMS).problems == ("1 duplicated",)
    assert judge(replace(WELL, stored=[*WELL.stored, stored(5, 99, 0.1)]), TERMS).problems[0] == "1 duplicated"


def test_a_sequence_against_the_order_of_the_device_is_seen() -> None:
    swapped = [*WELL.stored[:4], stored(4, 5), stored(5, 4), *WELL.stored[6:]]
    assert "out of order" in judge(replace(WELL, stored=swapped), TERMS).problems[0]


def test_a_counter_may_begin_anew_once_for_each_restart_of_the_town() -> None:
    emissions = [Emission(RIVER, at(n), {"device_counter": n % 5}) for n in range(10)]
    samples = [StoredSample(RIVER, one.at, one.values, f"e:data:{n}") for n, one in enumerate(emissions)]
    books = Books(emissions, samples)
    assert judge(books, replace(TERMS, town_restarts=1)).problems == ()
    assert judge(books, TERMS).problems == ("1 out of order",)


def test_a_gap_may_be_as_long_as_the_faults_of_its_own_round_allow() -> None:
    gap = Span(RIVER, at(3), at(8), GapReason.RESTART)
    books = replace(WELL, gaps=[gap])
    assert judge(books, replace(TERMS, limit_s=5.0, reasons=RESTART)).problems == ()
    assert judge(books, TERMS).problems == ("gap of 5.0 s of river-1, allowed: 0 s",)
    assert judge(books, replace(TERMS, known_gaps=frozenset([gap]))).problems == ()
    before = replace(TERMS, began=at(9), limit_before_s=5.0, reasons_before=RESTART)
    assert judge(books, before).problems == ()
    assert judge(books, replace(before, limit_before_s=0.0, limit_s=5.0, reasons=RESTART)).problems != ()


def test_a_gap_with_a_reason_that_no_fault_of_its_round_gives_is_seen() -> None:
    books = replace(WELL, gaps=[Span(RIVER, at(3), at(8), GapReason.OVERLOAD)])
    said = "gap of 5.0 s of river-1 for the reason overload, allowed: restart"
    assert judge(books, replace(TERMS, limit_s=5.0, reasons=RESTART)).problems == (said,)


def test_a_span_of_the_ledgers_own_is_no_gap_that_anybody_declared() -> None:
    books = replace(WELL, gaps=[Span(None, at(-60), at(8), LEDGERS_OWN)])
    verdict = judge(books, TERMS)
    assert (verdict.problems, verdict.gaps) == ((), 0)


def test_a_round_counts_for_each_of_its_kinds() -> None:
    well, late = judge(WELL, TERMS), judge(replace(WELL, stored=WELL.stored[:8]), TERMS)
    cut, kill = Fault(Kind.CUT, 2.0), Fault(Kind.KILL_AGENT, 2.0)
    both, one = Round(Setup.EMBEDDED, (cut, kill)), Round(Setup.CLUSTER, (cut,))
    first, second = table([(both, well, 2.0), (one, late, 4.0), (one, well, 3.0)])
    assert (first.kind, first.rounds, first.missing, first.recovery_max_s) == (Kind.KILL_AGENT, 1, 0, 2.0)
    assert (second.kind, second.rounds, second.missing, second.duplicated) == (Kind.CUT, 3, 2, 0)
    assert (second.recovery_p50_s, second.recovery_max_s) == (3.0, 4.0)
