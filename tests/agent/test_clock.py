"""The gateway's own time: no step of the kernel's clock moves it, and what it learnt it keeps."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.clock import JUMP_LOOKS, ROOM_MS, Clock, Kernel, StepKind
from cloud_sync.blob import to_ms
from contract.boot import BootId, TimeBase
from contract.sample import ClockQuality
from support.gateway_clock import TRUTH, SteppedKernel

BOOT = BootId("0123456789abcdef" * 2)
DAWN = datetime(1970, 1, 1, tzinfo=UTC)


def look(clock: Clock) -> StepKind | None:
    """One look, and what it asked for done."""
    step = clock.look()
    if step is not None:
        clock.take(step)
    return None if step is None else step.kind


def test_a_clock_that_learnt_nothing_holds_what_the_wall_clock_said_at_the_start():
    kernel = SteppedKernel(DAWN + timedelta(days=1), 30)
    clock = Clock(kernel, BOOT)
    kernel.set_wall(DAWN + timedelta(days=400))
    kernel.pass_time(10)
    stamp = clock.stamp()
    assert (stamp.at, stamp.uptime_s) == (DAWN + timedelta(days=1, seconds=10), 40)
    assert stamp.clock is ClockQuality.UNSYNCHRONISED
    assert clock.base() == TimeBase(BOOT, to_ms(DAWN + timedelta(days=1)) - 30_000)


def test_a_held_time_lies_above_all_that_is_known_from_before_the_boot():
    """So that a time of an earlier boot can be told from one of this boot."""
    clock = Clock(SteppedKernel(DAWN), BOOT, floor_ms=to_ms(TRUTH))
    assert clock.base() == TimeBase(BOOT, to_ms(TRUTH) + ROOM_MS + 1)
    clock.not_before(TRUTH - timedelta(hours=1))
    assert clock.base() == TimeBase(BOOT, to_ms(TRUTH) + ROOM_MS + 1)
    clock.not_before(TRUTH + timedelta(hours=1))
    assert clock.base() == TimeBase(BOOT, to_ms(TRUTH) + 3_600_000 + ROOM_MS + 1)


@pytest.mark.parametrize("witness", ["kernel", "hub"])
def test_the_first_witness_sets_the_clock_for_the_whole_boot(witness):
    kernel = SteppedKernel(DAWN)
    clock = Clock(kernel, BOOT)
    kernel.pass_time(100)
    before = clock.stamp()
    assert look(clock) is None
    if witness == "kernel":
        kernel.set_wall(kernel.true_time())
        kernel.synchronised = True
    else:
        clock.hub_time(kernel.true_time())
    assert look(clock) is StepKind.LEARN
    kernel.synchronised = False
    kernel.set_wall(DAWN)
    kernel.pass_time(1000)
    assert look(clock) is None
    assert (clock.now(), clock.stamp().clock) == (kernel.true_time(), ClockQuality.SYNCHRONISED)
    assert (clock.base(), clock.learnt_ms) == (None, to_ms(TRUTH))
    again = clock.restamped(before)
    assert (again.at, again.uptime_s, again.clock) == (TRUTH + timedelta(seconds=100), 100, ClockQuality.CORRECTED)


def test_a_witness_that_does_not_know_the_time_itself_is_not_believed():
    """A hub on a machine without a clock battery says 1970 as well."""
    kernel = SteppedKernel(DAWN)
    kernel.synchronised = True
    clock = Clock(kernel, BOOT)
    clock.hub_time(DAWN + timedelta(days=3))
    assert look(clock) is None
    assert clock.base() is not None


def test_a_run_takes_up_what_the_run_before_it_learnt_in_the_same_boot():
    kernel = SteppedKernel(DAWN, 500)
    clock = Clock(kernel, BOOT, held_ms=to_ms(TRUTH) + 7, learnt_ms=to_ms(TRUTH))
    assert clock.stamp().clock is ClockQuality.SYNCHRONISED
    assert clock.now() == kernel.true_time() + timedelta(milliseconds=7)
    assert clock.learnt_ms == to_ms(TRUTH)


@pytest.mark.parametrize("error_s", [-30, -0.4, 0.4, 30])
def test_a_small_error_is_taken_back_without_a_jump(error_s):
    """The hub's time came late by a round trip: the kernel knows better."""
    kernel = SteppedKernel(DAWN)
    clock = Clock(kernel, BOOT)
    clock.hub_time(TRUTH + timedelta(seconds=error_s))
    look(clock)
    kernel.set_wall(TRUTH)
    kernel.synchronised = True
    last, most = clock.now(), timedelta(seconds=1.2)
    for _ in range(400):
        kernel.pass_time(1)
        look(clock)
        assert timedelta(0) < clock.now() - last < most
        last = clock.now()
    assert last == kernel.true_time()
    assert clock.learnt_ms == to_ms(TRUTH + timedelta(seconds=error_s))


def test_the_kernel_alone_does_not_turn_over_what_was_learnt():
    kernel = SteppedKernel(TRUTH)
    kernel.synchronised = True
    clock = Clock(kernel, BOOT)
    look(clock)
    kernel.step_wall(timedelta(days=1))
    for _ in range(5 * JUMP_LOOKS):
        kernel.pass_time(1)
        assert look(clock) is None
    assert clock.now() == kernel.true_time()
    assert clock.doubt_ms == 86_400_000


def test_the_hub_alone_does_not_turn_over_what_was_learnt():
    kernel = SteppedKernel(DAWN)
    clock = Clock(kernel, BOOT)
    clock.hub_time(TRUTH)
    look(clock)
    for _ in range(5 * JUMP_LOOKS):
        kernel.pass_time(1)
        clock.hub_time(kernel.true_time() - timedelta(days=1))
        assert look(clock) is None
    assert clock.now() == kernel.true_time()


def test_a_hub_time_that_was_long_on_its_way_is_made_good_by_the_next():
    """Seen on a busy machine: the first answer took 2.2 s, and every stamp of the boot was early by that."""
    kernel = SteppedKernel(DAWN)
    clock = Clock(kernel, BOOT)
    clock.hub_time(TRUTH - timedelta(seconds=2.2))
    look(clock)
    for late_s in (0.3, 5, 0, 1, -90):
        last = clock.now()
        clock.hub_time(kernel.true_time() - timedelta(seconds=late_s))
        look(clock)
        assert clock.now() >= last
        kernel.pass_time(30)
        look(clock)
    assert clock.now() == kernel.true_time()
    assert clock.learnt_ms == to_ms(TRUTH) - 2200


def test_the_hub_does_not_lead_away_from_what_the_kernel_knew():
    kernel = SteppedKernel(TRUTH)
    kernel.synchronised = True
    clock = Clock(kernel, BOOT)
    look(clock)
    kernel.synchronised = False
    clock.hub_time(TRUTH + timedelta(seconds=30))
    assert look(clock) is None


def test_kernel_and_hub_together_turn_over_what_was_learnt_wrongly():
    """A hub whose own clock was a day ahead when the gateway learnt the time."""
    kernel = SteppedKernel(DAWN)
    clock = Clock(kernel, BOOT)
    clock.hub_time(TRUTH + timedelta(days=1))
    look(clock)
    kernel.set_wall(TRUTH)
    kernel.synchronised = True
    clock.hub_time(TRUTH + timedelta(seconds=20))
    seen = []
    for _ in range(JUMP_LOOKS):
        kernel.pass_time(1)
        seen.append(look(clock))
    assert seen == [None] * (JUMP_LOOKS - 1) + [StepKind.JUMP]
    assert clock.now() == kernel.true_time()


_events = st.lists(
    st.tuples(st.just("wall"), st.integers(-86_400 * 20_000, 86_400 * 20_000))
    | st.tuples(st.just("synchronised"), st.integers(0, 1))
    | st.tuples(st.just("hub"), st.integers(-50, 50))
    | st.tuples(st.just("pass"), st.integers(1, 10_000)),
    max_size=60,
)


@settings(max_examples=300)
@given(_events)
def test_whatever_the_wall_clock_does_stamps_grow_and_jump_at_most_once(events):
    """Nothing is reordered by a step of the clock: the one jump is where the truth is learnt, and is corrected."""
    kernel = SteppedKernel(TRUTH - timedelta(days=3))
    clock = Clock(kernel, BOOT)
    last, steps = clock.stamp(), []
    for kind, number in events:
        match kind:
            case "wall":
                kernel.set_wall(TRUTH)
                kernel.step_wall(timedelta(seconds=number))
            case "synchronised":
                if number:  # a kernel that is synchronised is right, to what time servers promise
                    kernel.set_wall(kernel.true_time())
                kernel.synchronised = bool(number)
            case "hub":
                clock.hub_time(kernel.true_time() + timedelta(milliseconds=number))
            case "pass":
                kernel.pass_time(number / 1000)
        if kind == "wall":
            kernel.synchronised = False
        step = look(clock)
        steps += [step] if step in (StepKind.LEARN, StepKind.JUMP) else []
        stamp = clock.stamp()
        assert clock.restamped(last).at <= stamp.at
        last = stamp
    assert steps in ([], [StepKind.LEARN])
    if steps:
        assert abs(clock.now() - kernel.true_time()) <= timedelta(milliseconds=60)


def test_the_running_kernel_answers():
    kernel = Kernel()
    first = kernel.uptime_us()
    assert 0 < first <= kernel.uptime_us()
    assert kernel.is_synchronised() in (True, False)
    assert abs(kernel.wall_ms() - to_ms(datetime.now(UTC))) < 60_000
