"""What may be shown of persons' statistics: only what rests on at least K_PERSONS of them. Pure.

Until then a person's aggregate is personal data, and nothing that is shown depends on it: a window of nobody and a
window of nine look alike. Neither may two looks at one window differ by fewer than K_PERSONS, or their difference would
tell of the one who came late; so persons are taken in whole groups of K_PERSONS, in the order in which the hub stored
them. Lowest and highest values are never shown: each is one person's, however many there are.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import fsum

from contract.consent import Purpose
from hub.store.rows import AggregateRow

K_PERSONS = 10
WINDOW = timedelta(seconds=60)
"""The one grid: windows of another length or start would overlap these, and tell of the difference."""
_DAWN = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Combined:
    """One quantity over [start, start + WINDOW). None: fewer than K_PERSONS shared it, perhaps nobody.

    `persons` are told apart by pseudonym and counted in whole groups; `count` is how many values they gave; `mean` is
    the mean of their means, so that nobody weighs more for wearing a faster device.
    """

    quantity: str
    start: datetime
    persons: int | None = None
    count: int | None = None
    mean: float | None = None

    @property
    def is_suppressed(self) -> bool:
        """True when there is nothing to show."""
        return self.persons is None


def windows(start: datetime, end: datetime, most: int) -> list[datetime]:
    """Starts of the first `most` windows that lie wholly in [start, end), none before 1970."""
    first = max(0, -((_DAWN - start) // WINDOW))
    behind = (end - _DAWN) // WINDOW
    return [_DAWN + number * WINDOW for number in range(first, min(behind, first + most))]


def combined(rows: Iterable[AggregateRow], quantity: str, starts: Sequence[datetime]) -> list[Combined]:
    """One for each of `starts`, from `rows` of many persons in the order in which they were stored."""
    shares: dict[datetime, dict[str, AggregateRow]] = defaultdict(dict)
    for row in rows:
        if row.purpose is Purpose.STATISTICS and row.quantity == quantity and row.window_s == WINDOW.total_seconds():
            # One row a person: a second one would change what is shown by that person alone.
            shares[row.start].setdefault(row.subject, row)
    return [_released(quantity, start, list(shares[start].values())) for start in starts]


def _released(quantity: str, start: datetime, shares: Sequence[AggregateRow]) -> Combined:
    persons = len(shares) // K_PERSONS * K_PERSONS
    if not persons:
        return Combined(quantity, start)
    taken = shares[:persons]
    mean = fsum(row.mean / persons for row in taken)
    return Combined(quantity, start, persons, sum(row.count for row in taken), mean)
