"""Retry delays as a pure function of the attempt and a given Random: exponential with full jitter.

And the order in which several addresses are tried: the one that works is kept, the next one is tried at once.
"""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Backoff:
    """`first_s` doubles with each attempt up to `limit_s`; the delay is drawn evenly below, at least `floor_s`."""

    first_s: float = 0.5
    limit_s: float = 60.0
    floor_s: float = 0.05

    def ceiling_s(self, attempt: int) -> float:
        """The longest delay before attempt number `attempt` (from 1)."""
        # 2 ** 32 s is beyond any limit, so the power is capped before it grows into a huge integer.
        return min(self.limit_s, self.first_s * 2.0 ** min(attempt - 1, 32))

    def delay_s(self, attempt: int, random: Random) -> float:
        """Seconds to wait before attempt number `attempt` (from 1)."""
        return max(self.floor_s, random.uniform(0, self.ceiling_s(attempt)))


class Rounds:
    """Which of `addresses` (their number) is tried next, and after how long. Begins with the first, at once.

    When one that worked is lost, the next is tried after the first delay of the back-off, drawn anew by each gateway:
    a thousand of them lose their hub in the same moment. Only after all have failed does the delay grow.
    """

    def __init__(self, addresses: int, backoff: Backoff) -> None:
        self._addresses = addresses
        self._backoff = backoff
        self._failures = 0
        self.address = 0

    def after_loss(self, random: Random) -> float:
        """The present address had worked: go on to the next, after the seconds returned."""
        self._failures = 1
        self._turn()
        return self._backoff.delay_s(1, random)

    def after_failure(self, random: Random) -> float:
        """The present address did not work: go on to the next, after the seconds returned."""
        self._failures += 1
        self._turn()
        rounds, rest = divmod(self._failures, self._addresses)
        return self._backoff.floor_s if rest else self._backoff.delay_s(rounds, random)

    def _turn(self) -> None:
        self.address = (self.address + 1) % self._addresses
