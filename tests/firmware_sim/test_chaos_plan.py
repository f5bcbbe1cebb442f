"""The schedule of chaos: the same seed brings the same faults, every kind comes, and only allowed gaps are allowed."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.record import GapReason
from firmware_sim.chaos_kinds import CLOCKS, RESTART_GAP_S, TRAITS, WITNESS_S, Kind, Setup, Touched, are_apart, kinds_of
from firmware_sim.chaos_plan import BLOCK_ROUNDS, SCENARIOS, Fault, Round, Scenario, blocks, drawn, without
from firmware_sim.fault_proxy import BOTH

LOSES_THE_FILE = {Kind.OUTBOX_LOST, Kind.OUTBOX_RESTORED}


@given(
    seed=st.integers(0, 10**9),
    rounds=st.integers(1, 60),
    setups=st.lists(st.sampled_from(Setup), min_size=1, unique=True),
)
def test_a_seed_brings_the_same_rounds_again_and_a_longer_run_begins_with_them(
    seed: int, rounds: int, setups: list[Setup]
) -> None:
    schedule = drawn(seed, rounds, setups)
    assert drawn(seed, rounds + 5, setups)[:rounds] == schedule
    for one in schedule:
        assert one.setup in setups
        assert len(one.faults) in (1, 2)
        assert all(one.setup in TRAITS[fault.kind].setups for fault in one.faults)
        assert all(fault.at_s + fault.for_s <= 7.0 for fault in one.faults)
        assert len(one.faults) == 1 or are_apart(*(fault.kind for fault in one.faults))


def test_200_rounds_bring_every_kind_on_every_set_up_that_has_it() -> None:
    seen = Counter((one.setup, fault.kind) for one in drawn(1, 200) for fault in one.faults)
    assert set(seen) == {(setup, kind) for setup in Setup for kind in kinds_of(setup)}
    assert min(seen.values()) >= 2


def test_a_set_up_is_kept_for_a_block_of_rounds() -> None:
    schedule = drawn(1, 3 * BLOCK_ROUNDS)
    found = list(blocks(schedule))
    assert [len(block) for block in found] == [BLOCK_ROUNDS] * 3
    assert {block[0].setup for block in found} == set(Setup)
    assert [one for block in found for one in block] == list(schedule)


def test_faults_on_one_part_never_meet() -> None:
    assert not are_apart(Kind.CUT, Kind.SLOW)
    assert not are_apart(Kind.KILL_AGENT, Kind.OUTBOX_DELETED)
    assert are_apart(Kind.KILL_AGENT, Kind.CUT)
    assert all(traits.touches for traits in TRAITS.values())
    assert {part for traits in TRAITS.values() for part in traits.touches} == set(Touched)


def test_faults_that_a_machine_cannot_play_are_left_out_and_the_others_stay() -> None:
    schedule = drawn(1, 50)
    rest = without(schedule, CLOCKS)
    assert [one.setup for one in rest] == [one.setup for one in schedule]
    assert not {fault.kind for one in rest for fault in one.faults} & CLOCKS
    assert all(set(left.faults) <= set(one.faults) for left, one in zip(rest, schedule, strict=True))


def test_named_faults_alone_are_drawn_when_asked_for() -> None:
    schedule = drawn(3, 20, [Setup.EMBEDDED], frozenset({Kind.CUT}))
    assert {fault.kind for one in schedule for fault in one.faults} == {Kind.CUT}


def test_only_deaths_of_agent_and_town_may_leave_gaps() -> None:
    """Beyond the outbox nothing is lost; and a clock, or a full disk, costs nothing at all."""
    allowed = {kind: Round(Setup.EMBEDDED, (Fault(kind, 2.0, 3.0),)).gap_limit_s for kind in Kind}
    assert {kind for kind, limit_s in allowed.items() if limit_s} == {Kind.KILL_AGENT, Kind.KILL_TOWN, *LOSES_THE_FILE}
    assert allowed[Kind.OUTBOX_RESTORED] == RESTART_GAP_S + 3.0
    assert allowed[Kind.OUTBOX_LOST] == WITNESS_S + RESTART_GAP_S
    both = Round(Setup.EMBEDDED, (Fault(Kind.KILL_AGENT, 2.0), Fault(Kind.KILL_TOWN, 2.0)))
    assert both.gap_limit_s == 2 * RESTART_GAP_S
    assert both.gap_reasons == {GapReason.RESTART, GapReason.UNREACHABLE}
    assert Round(Setup.EMBEDDED, (Fault(Kind.CLOCK_1970, 2.0, 3.0),)).gap_reasons == frozenset()


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault(Kind.BLACK_HOLE, 1.5, 30.0, BOTH, ends_in_cut=True), "black hole at 1.5 s for 30.0 s then cut"),
        (Fault(Kind.KILL_NODE, 2.0), "kill node at 2.0 s (the gateway's)"),
        (Fault(Kind.CLOCK_BACK, 2.0, 1.0), "clock -1 day at 2.0 s for 1.0 s"),
    ],
)
def test_a_fault_reads_as_a_sentence(fault: Fault, text: str) -> None:
    assert str(fault) == text
    assert str(Round(Setup.CLUSTER, (fault, fault))) == f"[cluster] {text} + {text}"


def test_scenarios_that_are_rounds_have_one() -> None:
    assert set(SCENARIOS) == set(Scenario) - {Scenario.DAY_AWAY}
    assert [SCENARIOS[name][0].faults[0].for_s for name in SCENARIOS] == [30.0, 600.0]
