"""Chaos, short: the same seed brings the same faults, the judge sees every broken promise, and real rounds keep all."""

import asyncio
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim import chaos_plan
from firmware_sim.chaos_judge import Terms, judge
from firmware_sim.chaos_plan import LINK, RESTART_GAP_LIMIT_S, Fault, Kind, drawn, gap_limit_s
from firmware_sim.fault_proxy import BOTH
from firmware_sim.ledger import Books, Emission, Span, StoredSample
from firmware_sim.plan import RIVER

SEED, ROUNDS = 10, 2
"""Black holes of one way and a dead broker; the demo's own test kills the processes."""
SHORT_LIMIT_S = 240.0
T0 = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


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
    gap = Span(RIVER, at(3), at(8))
    books = replace(WELL, gaps=[gap])
    assert judge(books, replace(TERMS, limit_s=5.0)).problems == ()
    assert judge(books, TERMS).problems == ("gap of 5.0 s of river-1, allowed: 0 s",)
    assert judge(books, replace(TERMS, known_gaps=frozenset([gap]))).problems == ()
    assert judge(books, replace(TERMS, began=at(4), limit_before_s=5.0)).problems == ()
    assert judge(books, replace(TERMS, began=at(4), limit_s=5.0)).problems != ()


def test_only_deaths_of_gateway_and_town_may_leave_gaps() -> None:
    allowed = {kind: gap_limit_s((Fault(kind, 2.0),)) for kind in Kind}
    assert {kind for kind, limit_s in allowed.items() if limit_s} == {Kind.KILL_AGENT, Kind.KILL_TOWN}
    assert gap_limit_s((Fault(Kind.KILL_AGENT, 2.0), Fault(Kind.KILL_TOWN, 2.0))) == 2 * RESTART_GAP_LIMIT_S


@given(seed=st.integers(0, 10**9), rounds=st.integers(1, 30))
def test_a_seed_brings_the_same_rounds_again_and_a_longer_run_begins_with_them(seed: int, rounds: int) -> None:
    schedule = drawn(seed, rounds)
    assert drawn(seed, rounds + 5)[:rounds] == schedule
    for faults in schedule:
        assert len(faults) in (1, 2)
        assert len({fault.kind for fault in faults}) == len(faults)
        assert sum(fault.kind in LINK for fault in faults) <= 1
        assert all(fault.at_s + fault.for_s <= 7.0 for fault in faults)


def test_every_kind_of_fault_is_drawn() -> None:
    assert {fault.kind for faults in drawn(1, 60) for fault in faults} == set(Kind)


def test_a_fault_reads_as_a_sentence() -> None:
    assert str(Fault(Kind.BLACK_HOLE, 1.5, 30.0, BOTH, ends_in_cut=True)) == ("black hole at 1.5 s for 30.0 s then cut")


async def chaos(*words: str, limit_s: float = SHORT_LIMIT_S) -> dict:
    """What `kanmon-sim chaos` ends with; its exit code must agree, and its lines are told when a promise is broken."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "firmware_sim.cli", "chaos", "--json", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(limit_s):
            output, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    result = json.loads(output)
    assert "error" not in result, result
    assert process.returncode == (0 if result["passed"] else 1)
    assert result["passed"], said.decode() + json.dumps(result, indent=1)
    return result


async def test_two_rounds_lose_and_double_nothing() -> None:
    """Promise 1, whatever is killed or cut."""
    result = await chaos("--seed", str(SEED), "--rounds", str(ROUNDS))
    assert result["seed"] == SEED
    assert [one["faults"] for one in result["rounds"]] == [list(map(str, faults)) for faults in drawn(SEED, ROUNDS)]
    assert (result["final"]["missing"], result["final"]["duplicated"]) == (0, 0)
    assert result["final"]["stored"] > 50


@pytest.mark.long
async def test_a_black_hole_of_30_s_loses_nothing_and_leaves_no_gap() -> None:
    """The link is open and dead longer than a publish waits for its answer, and than the keepalive."""
    result = await chaos("--scenario", chaos_plan.Scenario.BLACK_HOLE)
    assert result["rounds"][0]["lasted_s"] > 30
    assert result["rounds"][0]["ledger"]["gaps"] == 0
    final = result["final"]
    assert (final["missing"], final["duplicated"], final["in_gaps"]) == (0, 0, 0)
    assert final["emitted"] > 200
