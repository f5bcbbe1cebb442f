"""Which changes count as regressions: ratios of one run against ratios of another, never bare rates."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.comparison import Change, Verdict, changes
from benchmarks.figures import Figure, Goal, Limit, Result, not_measured


def result(*figures: Figure) -> Result:
    return Result("part", {}, figures)


def rate(value: float, limit: float) -> Figure:
    return Figure("rate", value, "readings/s", True, Goal(at_least=0.8, of_ratio=True), Limit("raw", limit))


def cost(value: float, limit: float) -> Figure:
    return Figure("cost", value, "us", False, None, Limit("bare", limit))


def compared(before: Sequence[Figure], now: Sequence[Figure]) -> Change:
    (change,) = changes(result(*before), result(*now))
    return change


@pytest.mark.parametrize(
    ("before", "now", "verdict"),
    [
        (rate(80, 100), rate(80, 100), Verdict.STEADY),
        (rate(80, 100), rate(70, 100), Verdict.STEADY),
        (rate(80, 100), rate(60, 100), Verdict.REGRESSED),
        (rate(80, 100), rate(120, 100), Verdict.IMPROVED),
        (cost(10, 5), cost(11, 5), Verdict.STEADY),
        (cost(10, 5), cost(13, 5), Verdict.REGRESSED),
        (cost(10, 5), cost(5, 5), Verdict.IMPROVED),
    ],
)
def test_a_ratio_that_is_a_fifth_worse_is_a_regression(before: Figure, now: Figure, verdict: Verdict) -> None:
    assert compared([before], [now]).verdict is verdict


@given(st.floats(0.1, 10), st.booleans())
def test_a_slower_machine_is_no_regression(speed: float, is_rate: bool) -> None:
    """Both the figure and its limit move with the machine: the ratio stays."""
    one = rate if is_rate else cost
    assert compared([one(80, 100)], [one(80 * speed, 100 * speed)]).verdict is Verdict.STEADY


def test_a_rate_without_a_limit_is_shown_and_not_judged() -> None:
    change = compared([Figure("f", 100.0, "readings/s", True)], [Figure("f", 1.0, "readings/s", True)])
    assert (change.verdict, change.worse_by) == (Verdict.SHOWN, None)


def test_a_value_that_is_itself_a_ratio_is_judged() -> None:
    """A share of what was asked for needs no second limit."""
    change = compared([Figure("f", 1.0, "ratio", True)], [Figure("f", 0.7, "ratio", True)])
    assert change.verdict is Verdict.REGRESSED
    assert change.worse_by == pytest.approx(1 / 0.7 - 1)


def test_what_was_not_measured_is_skipped_whether_then_or_now() -> None:
    there, absent = rate(80, 100), not_measured("rate", "readings/s", "no compiler")
    assert compared([there], [absent]).verdict is Verdict.SKIPPED
    assert compared([absent], [there]).verdict is Verdict.SKIPPED
    assert compared([there], []).verdict is Verdict.SKIPPED
    assert compared([], [there]).verdict is Verdict.SKIPPED


def test_a_rate_that_fell_to_nothing_is_a_regression() -> None:
    assert compared([rate(80, 100)], [rate(0, 100)]).verdict is Verdict.REGRESSED
