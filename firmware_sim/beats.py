"""Beats of a heart as a strap tells them: intervals in 1/1024 s, grouped into notifications of one second. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

TICKS_PER_S = 1024
"""GATT Specification Supplement, heart rate measurement: RR-Interval has a resolution of 1/1024 second."""
MAX_RR = 0xFFFF
MAX_BPM = 0xFFFF
MAX_RR_IN_FRAME = 9
"""What fits into one notification at the smallest ATT MTU of 23 bytes (rate in one byte, no energy)."""
_AVERAGED_BEATS = 8
"""A strap's rate is an average over the last beats, so it lags behind the intervals."""


@dataclass(frozen=True, slots=True)
class HeartFrame:
    """One notification, sent `at_s` after the start: rate, and the intervals since the frame before, oldest first."""

    at_s: float
    bpm: int
    rr_1024: tuple[int, ...]


def to_ticks(intervals: Iterable[int], per_second: int) -> Iterator[int]:
    """Intervals in 1/`per_second` s to 1/1024 s.

    The beats' times are rounded, not the intervals, so that the sum is never off by more than half a tick.
    """
    elapsed = last = 0
    for interval in intervals:
        elapsed += interval
        tick = (2 * elapsed * TICKS_PER_S + per_second) // (2 * per_second)
        yield tick - last
        last = tick


def average_bpm(rr_1024: Sequence[int]) -> int:
    """Beats a minute over the last intervals; 0 when there are none."""
    last = rr_1024[-_AVERAGED_BEATS:]
    total = sum(last)
    return min(MAX_BPM, round(60 * TICKS_PER_S * len(last) / total)) if total else 0


def frames(rr_1024: Iterable[int], period_s: float = 1.0) -> Iterator[HeartFrame]:
    """One frame at the end of each period from the first beat on, with the beats that ended in it.

    A period without a beat gets a frame without intervals and with the rate last told. More than nine beats in a
    period go into several frames of the same moment; no beat is ever left out.
    """
    period = period_s * TICKS_PER_S
    waiting: list[int] = []
    heard: list[int] = []
    elapsed, number = 0, 1
    for rr in rr_1024:
        elapsed += rr
        while elapsed > number * period:
            if heard:
                yield from _period(number * period_s, heard, waiting)
            waiting = []
            number += 1
        waiting.append(rr)
        heard = [*heard[1 - _AVERAGED_BEATS :], rr]
    if waiting:
        yield from _period(number * period_s, heard, waiting)


def _period(at_s: float, heard: Sequence[int], waiting: Sequence[int]) -> Iterator[HeartFrame]:
    bpm = average_bpm(heard)
    for start in range(0, max(1, len(waiting)), MAX_RR_IN_FRAME):
        yield HeartFrame(at_s, bpm, tuple(waiting[start : start + MAX_RR_IN_FRAME]))
