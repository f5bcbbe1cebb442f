"""Retry delays as a pure function of the attempt and a given Random: exponential with full jitter."""

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
