"""The last seconds of a pulse as counts: how many good values, how many beyond a limit, how much of the time covered.

A value is good when it was flagged GOOD and agrees with the RR intervals beside it, where there are any.
"""

from collections import deque
from dataclasses import dataclass
from statistics import median

from contract.sample import Flag, Reading, Sample, Series

HOLD_S = 5.0
"""A value speaks for the time until the next one, at most this long: straps tell one a second, wrist bands fewer."""
RR_AGREEMENT = 0.15
"""A bpm that differs from 60 / median(RR) by more than this share is an artefact."""
RR_RANGE_S = (0.3, 2.0)
"""Intervals outside are artefacts themselves."""
RR_COUNT = 8
"""Intervals that the median is taken of: a strap's bpm is a mean over several beats."""
VALUES_PER_SECOND = 4
"""More values than this are not kept; bounds the memory against a device that floods."""


@dataclass(slots=True)
class _Value:
    uptime_s: float
    bpm: float
    covers_ms: int = 0


class PulseWindow:
    """Good values of the last `window_s` seconds. Sums are whole milliseconds, so that they do not drift."""

    def __init__(self, window_s: float, limit_bpm: float, clear_bpm: float) -> None:
        self._window_s = window_s
        self._limit_bpm = limit_bpm
        self._clear_bpm = clear_bpm
        self._values: deque[_Value] = deque()
        self._capacity = int(window_s * VALUES_PER_SECOND) + 1
        self._rejected_at_s: deque[float] = deque(maxlen=self._capacity)
        self._rr_s: deque[float] = deque(maxlen=RR_COUNT)
        self._rr_at_s = 0.0
        self._watched_since_s: float | None = None
        self._covered_ms = 0
        self.beyond_limit = 0
        """Good values above the limit."""
        self.beyond_clear = 0
        """Good values above the line below which the alert clears."""

    def add(self, sample: Sample) -> bool:
        """Take what `sample` says of the pulse; False when it says nothing."""
        reading = next((m for m in sample.members if isinstance(m, Reading) and m.quantity == "heart_rate"), None)
        if reading is None:
            return False
        at_s = sample.stamp.uptime_s
        if self._watched_since_s is None or (self._values and at_s < self._values[-1].uptime_s):
            self._start_anew(at_s)
        self._end_last_value(at_s)
        self._forget_before(at_s - self._window_s)
        good = self._good(reading, sample)
        if good is not None:
            self._append(_Value(at_s, good))
        return True

    @property
    def count(self) -> int:
        """Good values in the window."""
        return len(self._values)

    @property
    def rejected(self) -> int:
        """Values in the window that were refused as artefacts."""
        return len(self._rejected_at_s)

    @property
    def coverage(self) -> float:
        """Share of the window's time for which a good value speaks."""
        return self._covered_ms / (self._window_s * 1000)

    @property
    def mean_bpm(self) -> float:
        """Mean of the good values; the window must hold one."""
        return sum(value.bpm for value in self._values) / len(self._values)

    def is_whole(self, at_s: float) -> bool:
        """The pulse has been watched for a whole window, gaps included."""
        return self._watched_since_s is not None and at_s - self._watched_since_s >= self._window_s

    def _start_anew(self, at_s: float) -> None:
        self._values.clear()
        self._rejected_at_s.clear()
        self._rr_s.clear()
        self._covered_ms = self.beyond_limit = self.beyond_clear = 0
        self._watched_since_s = at_s

    def _end_last_value(self, at_s: float) -> None:
        if self._values and not self._values[-1].covers_ms:
            last = self._values[-1]
            last.covers_ms = round(min(at_s - last.uptime_s, HOLD_S) * 1000)
            self._covered_ms += last.covers_ms

    def _forget_before(self, start_s: float) -> None:
        while self._values and self._values[0].uptime_s < start_s:
            self._drop_oldest()
        while self._rejected_at_s and self._rejected_at_s[0] < start_s:
            self._rejected_at_s.popleft()

    def _good(self, reading: Reading, sample: Sample) -> float | None:
        if reading.value is None or reading.flag is not Flag.GOOD:
            return None
        self._take_intervals(sample)
        if self._rr_s:
            expected = 60 / median(self._rr_s)
            if abs(reading.value - expected) > RR_AGREEMENT * expected:
                self._rejected_at_s.append(sample.stamp.uptime_s)
                return None
        return reading.value

    def _take_intervals(self, sample: Sample) -> None:
        at_s = sample.stamp.uptime_s
        if at_s - self._rr_at_s > HOLD_S:
            self._rr_s.clear()
        self._rr_at_s = at_s
        for member in sample.members:
            if isinstance(member, Series) and member.quantity == "rr_interval" and member.flag is Flag.GOOD:
                self._rr_s.extend(rr for rr in member.values if RR_RANGE_S[0] <= rr <= RR_RANGE_S[1])

    def _append(self, value: _Value) -> None:
        self._values.append(value)
        self.beyond_limit += value.bpm > self._limit_bpm
        self.beyond_clear += value.bpm > self._clear_bpm
        if len(self._values) > self._capacity:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        oldest = self._values.popleft()
        self._covered_ms -= oldest.covers_ms
        self.beyond_limit -= oldest.bpm > self._limit_bpm
        self.beyond_clear -= oldest.bpm > self._clear_bpm
