"""Gaps are declared: after a loss, after a restart, and while a device stays silent. Windows never show one value."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from agent.continuity import Continuity, Interruption
from agent.windows import MIN_VALUES, WINDOW_S, Window
from cloud_sync.blob import to_ms
from contract.ids import DeviceId
from contract.record import GapReason
from contract.sample import ClockQuality, Flag, Reading, Sample, Stamp

AT = datetime(2026, 11, 22, 0, 0, tzinfo=UTC)
RIVER = DeviceId("river-1")


def after(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def test_a_device_that_was_never_heard_has_no_gap():
    continuity = Continuity({}, AT)
    continuity.interrupt(RIVER, GapReason.UNREACHABLE, after(1))
    assert continuity.heard(RIVER, after(2)) is None


def test_a_loss_is_a_gap_from_the_last_sample_to_the_first():
    continuity = Continuity({}, AT)
    continuity.heard(RIVER, after(1))
    continuity.interrupt(RIVER, GapReason.UNREACHABLE, after(5))
    continuity.interrupt(RIVER, GapReason.UNREACHABLE, after(6))
    assert continuity.heard(RIVER, after(9)) == Interruption(RIVER, after(1), after(9), GapReason.UNREACHABLE)
    assert continuity.heard(RIVER, after(10)) is None


def test_a_loss_during_which_the_clock_was_set_back_is_declared_all_the_same():
    """A gateway without a clock battery starts before the last sample it knows of."""
    continuity = Continuity({RIVER: after(300)}, AT)
    assert continuity.heard(RIVER, after(4)) == Interruption(RIVER, after(4), after(4), GapReason.RESTART)
    assert continuity.heard(RIVER, after(5)) is None


def test_a_restart_is_a_gap_from_the_last_durable_sample():
    continuity = Continuity({RIVER: AT}, after(3))
    assert continuity.heard(RIVER, after(4)) == Interruption(RIVER, AT, after(4), GapReason.RESTART)


def test_a_device_that_never_comes_back_is_declared_all_the_same_and_ever_less_often():
    continuity = Continuity({RIVER: AT}, AT)
    declared = [gap for seconds in range(0, 3600, 10) for gap in continuity.overdue(after(seconds))]
    assert declared[0].start == AT
    assert all(one.end == other.start for one, other in zip(declared, declared[1:], strict=False))
    assert len(declared) < 10
    last = continuity.heard(RIVER, after(3600))
    assert (last.start, last.end) == (declared[-1].end, after(3600))


def sample(seconds: float, bpm: float, flag: Flag = Flag.GOOD) -> Sample:
    return Sample(
        DeviceId("strap-1"),
        Stamp(after(seconds), seconds, ClockQuality.SYNCHRONISED),
        (Reading("heart_rate", bpm, flag),),
    )


def test_a_window_tells_count_mean_minimum_and_maximum():
    window = Window()
    for second in range(10):
        assert window.add(sample(second, 60 + second), "p") is None
    closed = window.add(sample(WINDOW_S, 99), "p")
    (aggregate,) = closed.aggregates
    assert (aggregate.count, aggregate.mean, aggregate.minimum, aggregate.maximum) == (10, 64.5, 60, 69)
    assert (aggregate.start, aggregate.samples, window.samples) == (AT, 10, 1)


def test_a_window_of_few_samples_is_never_released():
    """Promise 2: the mean of one value is the value."""
    window = Window()
    for second in range(MIN_VALUES - 1):
        window.add(sample(second, 60), "p")
    closed = window.close("p")
    assert closed.aggregates == ()
    assert closed.withheld == MIN_VALUES - 1


def test_only_good_values_enter_a_window():
    window = Window()
    for second in range(2 * MIN_VALUES):
        window.add(sample(second, 60, Flag.FAIL if second % 2 else Flag.GOOD), "p")
    (aggregate,) = window.close("p").aggregates
    assert (aggregate.count, aggregate.samples) == (MIN_VALUES, 2 * MIN_VALUES)


def test_a_single_good_value_among_bad_ones_is_never_released():
    window = Window()
    for second in range(2 * MIN_VALUES):
        window.add(sample(second, 60, Flag.FAIL if second else Flag.GOOD), "p")
    closed = window.close("p")
    assert (closed.aggregates, closed.withheld) == ((), 2 * MIN_VALUES)


@given(st.lists(st.floats(0, 600), max_size=40))
def test_no_sample_is_counted_twice_or_forgotten_by_windows_in_any_order(seconds):
    window, told = Window(), 0
    for second in seconds:
        closed = window.add(sample(second, 70), "p")
        if closed:
            told += closed.withheld + sum(aggregate.samples for aggregate in closed.aggregates)
        window = Window.from_json(**window.to_json())
    assert told + window.samples == len(seconds)


def test_a_window_does_not_last_until_a_clock_that_was_set_back_has_caught_up():
    window = Window()
    for second in range(10):
        window.add(sample(second, 70), "p")
    (aggregate,) = window.add(sample(-600, 80), "p").aggregates
    assert (aggregate.start, aggregate.samples) == (AT, 10)
    assert (window.start_ms, window.samples) == (to_ms(after(-600)), 1)


def test_a_window_is_over_only_after_its_grace():
    window = Window()
    assert not window.is_over(after(1000))
    window.add(sample(0, 70), "p")
    assert not window.is_over(after(WINDOW_S + 1))
    assert window.is_over(after(WINDOW_S + 2))
