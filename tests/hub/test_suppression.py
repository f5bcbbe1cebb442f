"""Nothing that is shown of persons' statistics rests on fewer than ten of them, nor tells of one by a difference."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.consent import Purpose
from hub.store.rows import AggregateRow
from hub.suppression import K_PERSONS, WINDOW, Combined, combined, windows

START = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
NOBODY = combined([], "heart_rate", [START])


def share(subject: object, mean: float = 70.0, count: int = 58) -> AggregateRow:
    return AggregateRow(
        Purpose.STATISTICS, f"p{subject}", "heart_rate", START, 60.0, count, mean, mean - 20, mean + 20, count
    )


def shares_of(persons: int) -> st.SearchStrategy[list[AggregateRow]]:
    """Rows of at most `persons` persons, some of them several times."""
    numbers = st.integers(0, persons - 1)
    return st.lists(st.builds(share, numbers, st.floats(20, 300), st.integers(0, 10_000)), max_size=4 * persons)


def people(rows: Sequence[AggregateRow]) -> int:
    return len({row.subject for row in rows})


@given(shares_of(K_PERSONS - 1))
def test_of_fewer_than_ten_nothing_is_shown(rows: list[AggregateRow]) -> None:
    """Whoever the nine are and whatever they share: as if nobody did."""
    assert combined(rows, "heart_rate", [START]) == NOBODY
    (nobody,) = NOBODY
    assert nobody.is_suppressed
    assert nobody == Combined("heart_rate", START)


@given(shares_of(35), shares_of(35))
def test_two_looks_differ_by_nothing_or_by_ten_persons(before: list[AggregateRow], later: list[AggregateRow]) -> None:
    """What comes late is not told by the difference: neither a tenth-and-first person, nor a second row of one."""
    (first,), (second,) = (combined(rows, "heart_rate", [START]) for rows in (before, before + later))
    if first != second:
        assert (second.persons or 0) - (first.persons or 0) >= K_PERSONS
        assert people(before + later) - people(before) > 0
    assert (second.persons or 0) == people(before + later) // K_PERSONS * K_PERSONS


@given(shares_of(35))
def test_the_mean_is_that_of_the_persons(rows: list[AggregateRow]) -> None:
    (shown,) = combined(rows, "heart_rate", [START])
    if shown.persons is not None:
        firsts = {row.subject: row for row in reversed(rows)}
        order = list(dict.fromkeys(row.subject for row in rows))[: shown.persons]
        assert shown.mean == pytest.approx(sum(firsts[one].mean for one in order) / shown.persons)
        assert shown.count == sum(firsts[one].count for one in order)


def test_nobody_weighs_more_for_a_faster_device() -> None:
    rows = [share(0, 150.0, 60_000), *(share(n, 60.0) for n in range(1, 10))]
    assert combined(rows, "heart_rate", [START])[0].mean == pytest.approx(69.0)


@pytest.mark.parametrize(
    "other",
    [
        {"purpose": Purpose.RESEARCH},
        {"purpose": None},
        {"quantity": "energy_expended"},
        {"window_s": 120.0},
        {"start": START + timedelta(seconds=30)},
    ],
)
def test_what_is_not_of_the_one_grid_is_not_put_together(other: dict[str, object]) -> None:
    """Windows that overlap those shown would tell of the difference."""
    rows = [replace(share(n), **other) for n in range(20)]  # type: ignore[arg-type]  # by parameter
    assert combined(rows, "heart_rate", [START]) == NOBODY
    assert combined([*rows, share(21)], "heart_rate", [START]) == NOBODY


def test_numbers_no_person_has_do_no_harm() -> None:
    (shown,) = combined([share(n, 1.7e308) for n in range(10)], "heart_rate", [START])
    assert shown.mean == pytest.approx(1.7e308)


def test_windows_lie_on_the_minute_and_wholly_within_the_span() -> None:
    assert windows(START, START + WINDOW, 9) == [START]
    assert windows(START - timedelta(seconds=1), START + timedelta(seconds=119), 9) == [START]
    assert windows(START + timedelta(seconds=1), START + WINDOW, 9) == []
    assert len(windows(START, START + timedelta(hours=1), 7)) == 7
    west = timezone(-timedelta(hours=5))
    assert windows(START.astimezone(west), START + WINDOW, 9) == [START]
    east = timezone(timedelta(hours=14))
    assert windows(datetime.min.replace(tzinfo=east), START, 1) == [datetime(1970, 1, 1, tzinfo=UTC)]
    assert windows(datetime.max.replace(tzinfo=west), START, 1) == []
