"""Simulated hearts and the conversion of recorded ones: beats are neither lost nor moved."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.beats import MAX_RR_IN_FRAME, TICKS_PER_S, average_bpm, frames, to_ticks
from firmware_sim.pulse import CANARY_BPM, CANARY_RR_1024, RESIDENTS, canary_frame, frame


@given(st.integers(0, 2**32), st.sampled_from(RESIDENTS), st.lists(st.floats(0.05, 3), min_size=2, max_size=40))
def test_beats_do_not_depend_on_when_the_strap_tells_them(seed: int, resident: int, steps: list[float]) -> None:
    """Cut anywhere, the frames hold the same intervals as one long frame."""
    times = [0.0]
    for step in steps:
        times.append(times[-1] + step)
    told = [rr for earlier, later in pairwise(times) for rr in frame(seed, resident, earlier, later).rr_1024]
    assert tuple(told) == frame(seed, resident, 0.0, times[-1]).rr_1024


@pytest.mark.parametrize("resident", RESIDENTS)
def test_rate_and_intervals_agree(resident: int) -> None:
    """The rate is that of the last beats: within what the swing of the breath moves it."""
    for second in range(120):
        told = frame(5, resident, second, second + 1)
        assert told.rr_1024
        mean = sum(told.rr_1024) / len(told.rr_1024)
        assert told.bpm == pytest.approx(60 * TICKS_PER_S / mean, rel=0.12)


def test_resident_1_stays_high_at_rest_and_the_others_do_not() -> None:
    rates = {resident: [frame(9, resident, t, t + 1).bpm for t in range(300)] for resident in RESIDENTS}
    assert min(rates[1]) > 125
    assert max(rates[1]) < 136
    for resident in (2, 3, 4):
        assert min(rates[resident]) > 55
        assert max(rates[resident]) < 95


def test_breath_moves_the_intervals_of_a_healthy_heart() -> None:
    """Respiratory arrhythmia: successive intervals of a resting adult differ by tens of milliseconds (RMSSD)."""
    rr = frame(2, 2, 0.0, 300.0).rr_1024
    rmssd = (sum((b - a) ** 2 for a, b in pairwise(rr)) / len(rr)) ** 0.5 / TICKS_PER_S
    assert 0.015 < rmssd < 0.100


def test_the_canary_says_nothing_but_its_two_values() -> None:
    told = [canary_frame(t, t + 1) for t in range(20)]
    assert {frame.bpm for frame in told} == {CANARY_BPM} == {211}
    assert {rr for frame in told for rr in frame.rr_1024} == {CANARY_RR_1024}
    assert abs(CANARY_RR_1024 / TICKS_PER_S - 0.2841) < 1e-4
    assert sum(len(frame.rr_1024) for frame in told) == 20 * TICKS_PER_S // CANARY_RR_1024


@given(st.lists(st.integers(1, 20_000), max_size=300), st.sampled_from([128, 250, 360, 1000, 1024]))
def test_no_error_adds_up_in_the_conversion(intervals: list[int], per_second: int) -> None:
    """Each beat lies within half a tick of where it was recorded, the last one too."""
    elapsed = ticks = 0
    for interval, tick in zip(intervals, to_ticks(intervals, per_second), strict=True):
        elapsed += interval
        ticks += tick
        assert abs(ticks / TICKS_PER_S - elapsed / per_second) <= 0.5 / TICKS_PER_S + 1e-9


@given(st.lists(st.integers(1, 9000), max_size=200))
def test_frames_hold_every_beat_once_in_order_and_at_its_time(rr_1024: list[int]) -> None:
    told = list(frames(rr_1024))
    assert [rr for frame in told for rr in frame.rr_1024] == rr_1024
    elapsed = 0
    for told_frame in told:
        assert len(told_frame.rr_1024) <= MAX_RR_IN_FRAME
        for rr in told_frame.rr_1024:
            elapsed += rr
            assert told_frame.at_s - 1 < elapsed / TICKS_PER_S <= told_frame.at_s
    assert [frame.at_s for frame in told] == sorted(frame.at_s for frame in told)


def test_a_pause_of_the_heart_is_told_as_frames_without_beats() -> None:
    told = list(frames([1024, 1024, 4096, 1024]))
    assert [(frame.at_s, frame.rr_1024) for frame in told] == [
        (1.0, (1024,)),
        (2.0, (1024,)),
        (3.0, ()),
        (4.0, ()),
        (5.0, ()),
        (6.0, (4096,)),
        (7.0, (1024,)),
    ]
    assert [frame.bpm for frame in told[:5]] == [60] * 5


def test_the_rate_is_that_of_the_last_eight_beats() -> None:
    assert average_bpm([512] * 8) == 120
    assert average_bpm([9999] + [512] * 8) == 120
    assert average_bpm([]) == 0
    assert average_bpm([1]) == 61440
