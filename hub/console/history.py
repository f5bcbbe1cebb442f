"""A stretch of one quantity's history, as a device page lists it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from hub.console.sections import Subject
from hub.console.sight import Sight
from hub.store.rows import ReadingRow

SPANS: Mapping[str, timedelta] = MappingProxyType(
    {"2m": timedelta(minutes=2), "15m": timedelta(minutes=15), "1h": timedelta(hours=1)}
)
"""What a reader can choose, by the name in the address."""
DEFAULT_SPAN = "2m"
MOST_ROWS = 1000


@dataclass(frozen=True, slots=True)
class History:
    """The readings in [start, end), newest first; `is_cut` when there are more than are listed."""

    start: datetime
    end: datetime
    rows: tuple[ReadingRow, ...]
    is_cut: bool


async def history(sight: Sight, subject: Subject, end: datetime, span: timedelta) -> History:
    """The readings of the subject in the `span` before `end`."""
    start = end - span
    rows = await sight.readings(subject.gateway, subject.device, subject.quantity, start, end, MOST_ROWS + 1)
    return History(start, end, rows[:MOST_ROWS][::-1], is_cut=len(rows) > MOST_ROWS)
