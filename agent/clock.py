"""The gateway's time: where now() is made. A Raspberry Pi has no clock battery, so every stamp says how good it is."""

import ctypes
import time
from datetime import UTC, datetime

from contract.sample import ClockQuality, Stamp

TIME_ERROR = 5
"""adjtimex(2) answers this while the kernel's clock is not synchronised; 0 to 4 mean that it is."""
_TIMEX_BYTES = 512
"""More than any platform's struct timex; all zero asks for nothing to be changed."""


class Clock:
    """Stamps. Synchronised once the kernel says so or the hub's time has come in this run."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        self._hub_time_known = False
        self._checked_at = float("-inf")
        self._kernel_says_so = False

    def now(self) -> datetime:
        """Aware UTC time."""
        return datetime.now(UTC)

    def stamp(self) -> Stamp:
        """The present moment with its quality; the kernel is asked once a second."""
        uptime_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        if uptime_s - self._checked_at >= 1:
            self._checked_at = uptime_s
            self._kernel_says_so = self._adjtimex_state() < TIME_ERROR
        is_known = self._hub_time_known or self._kernel_says_so
        quality = ClockQuality.SYNCHRONISED if is_known else ClockQuality.UNSYNCHRONISED
        return Stamp(datetime.now(UTC), uptime_s, quality)

    def hub_time(self, at: datetime) -> None:
        """The hub said it is `at`. A clock that agrees within a minute counts as synchronised from here on."""
        self._hub_time_known = abs((self.now() - at).total_seconds()) < 60

    def _adjtimex_state(self) -> int:
        state = self._libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
        return state if state >= 0 else TIME_ERROR
