"""A kernel's clocks that a test sets: the wall clock may be stepped, the time since boot only grows."""

from datetime import UTC, datetime, timedelta

from cloud_sync.blob import to_ms

TRUTH = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
"""The true moment of the boot in these tests."""


class SteppedKernel:
    """Fulfils `agent.clock.System`."""

    def __init__(self, wall: datetime = datetime(1970, 1, 1, tzinfo=UTC), uptime_s: float = 0.0) -> None:
        self._uptime_us = round(uptime_s * 1e6)
        self.synchronised = False
        self.set_wall(wall)

    def wall_ms(self) -> int:
        return self._wall_at_boot_ms + self._uptime_us // 1000

    def uptime_us(self) -> int:
        return self._uptime_us

    def is_synchronised(self) -> bool:
        return self.synchronised

    def set_wall(self, at: datetime) -> None:
        """What `date -s` or a time server does."""
        self._wall_at_boot_ms = to_ms(at) - self._uptime_us // 1000

    def step_wall(self, by: timedelta) -> None:
        """The wall clock jumps."""
        self._wall_at_boot_ms += by // timedelta(milliseconds=1)

    def pass_time(self, seconds: float) -> None:
        """The true time goes on."""
        self._uptime_us += round(seconds * 1e6)

    def true_time(self) -> datetime:
        """What a clock that is right says, where the boot was at TRUTH."""
        return TRUTH + timedelta(microseconds=self._uptime_us)
