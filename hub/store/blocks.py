"""Telemetry of one part as columns: a city's readings all pass here, and whole columns go three times as fast. Pure."""

from collections.abc import Sequence
from operator import itemgetter
from typing import NamedTuple, Self

from hub.arrival import MeasuredRow
from hub.store.selection import TelemetryRow

_TIME = itemgetter(3)
_FIRST = itemgetter(0)


class Block(NamedTuple):
    """Rows of one origin, numbers ascending, never empty; of each row its series and its time."""

    origin: int
    series: Sequence[int]
    times_ms: Sequence[int]
    rows: Sequence[MeasuredRow]

    @classmethod
    def of(cls, origin: int, series: Sequence[int], rows: Sequence[MeasuredRow]) -> Self:
        """The block of `rows`, whose series are known."""
        return cls(origin, series, list(map(_TIME, rows)), rows)

    def as_rows(self) -> list[TelemetryRow]:
        """The same, row by row."""
        origin = self.origin
        return [
            (series, at_ms, origin, sequence, value, flag, clock)
            for series, (sequence, _, _, at_ms, value, flag, clock) in zip(self.series, self.rows, strict=True)
        ]

    def newest(self) -> dict[int, MeasuredRow]:
        """Of each series the row with the latest time, of equal times that with the highest number."""
        if self.times_ms == sorted(self.times_ms):
            return dict(zip(self.series, self.rows, strict=True))
        in_order = sorted(zip(self.times_ms, self.series, self.rows, strict=True), key=_FIRST)
        return {series: row for _, series, row in in_order}
