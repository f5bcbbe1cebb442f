"""The gateway's time: where now() is made. It is `zero`, the moment of boot, plus what the kernel counted since then.

The kernel's wall clock is only a witness, and so is the hub. It is read once when the gateway starts, to have some
`zero` to hold, and from then on believed only while the kernel says that it is synchronised: a step of it in either
direction changes no stamp. A Raspberry Pi has no clock battery, so `zero` rests on nothing until a witness has spoken.
"""

import ctypes
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Protocol

from contract.boot import BootId, TimeBase
from contract.sample import ClockQuality, Stamp

EARLIEST_MS = 1_767_225_600_000
"""2026-01-01: a witness that tells an earlier time than this software was written at has not learnt it itself."""
ROOM_MS = 60_000
"""A held zero lies this far above all that is known from before the boot: the length of the longest window, so that
of each time it can be told which side of the boot it is on."""
SLEW_SHARE = 10
"""One second of error is taken back within ten: now() never stops, let alone runs backwards."""
SLEW_REACH_MS = 60_000
"""What is further off is no drift: it takes a second witness to be believed."""
STEADY_MS = 20
"""Two clocks of the kernel are not read at the same moment."""
JUMP_LOOKS = 5
"""Looks in a row in which both witnesses must contradict a learnt time before it is given up."""

_TIME_ERROR = 5
"""adjtimex(2) answers this while the kernel's clock is not synchronised; 0 to 4 mean that it is."""
_TIMEX_BYTES = 512
"""More than any platform's struct timex; all zero asks for nothing to be changed."""
_DAWN = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class System(Protocol):
    """What a kernel says of time."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970 by the wall clock, which may be wrong and may be set."""
        ...

    def uptime_us(self) -> int:
        """Microseconds since the boot, sleep included: never set, never backwards."""
        ...

    def is_synchronised(self) -> bool:
        """True while something keeps the wall clock right."""
        ...


class Kernel:
    """The running kernel."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)

    def wall_ms(self) -> int:
        """CLOCK_REALTIME."""
        return time.time_ns() // 1_000_000

    def uptime_us(self) -> int:
        """CLOCK_BOOTTIME."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000

    def is_synchronised(self) -> bool:
        """adjtimex(2)."""
        state: int = self._libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
        return 0 <= state < _TIME_ERROR


class StepKind(Enum):
    """Why `zero` is to change."""

    LEARN = "learn"
    """The first truth of this boot."""
    SLEW = "slew"
    """A small error, taken back without a jump."""
    JUMP = "jump"
    """What was learnt is wrong: kernel and hub say so alike."""


@dataclass(frozen=True, slots=True)
class Step:
    """A change of `zero` that `Clock.look` found due."""

    kind: StepKind
    zero_ms: int
    witness: str


@dataclass(frozen=True, slots=True)
class _Slew:
    start_us: int
    by_us: int

    def done_us(self, uptime_us: int) -> int:
        """How much of the error is taken back."""
        most = max(0, uptime_us - self.start_us) // SLEW_SHARE
        return max(-most, self.by_us) if self.by_us < 0 else min(most, self.by_us)


class Clock:
    """One boot's time. `held_ms`: the zero it went by so far; `learnt_ms`: the first truth of this boot.

    `floor_ms`: the latest time known from before the boot. All are milliseconds since 1970.
    """

    def __init__(
        self,
        system: System,
        boot: BootId,
        *,
        held_ms: int | None = None,
        learnt_ms: int | None = None,
        floor_ms: int = 0,
    ) -> None:
        self._system = system
        self._boot = boot
        if held_ms is None:
            held_ms = max(system.wall_ms() - system.uptime_us() // 1000, floor_ms + ROOM_MS + 1)
        self._zero_us = held_ms * 1000
        self._learnt_ms = learnt_ms
        self._base = TimeBase(boot, held_ms) if learnt_ms is None else None
        self._slew: _Slew | None = None
        self._hub_ms: int | None = None
        self._contradictions = 0
        self._has_kernel_spoken = False
        self.doubt_ms = 0
        """How far the kernel's clock is off from a learnt time, while it claims to be right; 0 when that is little."""

    def now(self) -> datetime:
        """Aware UTC time."""
        return self._at(self._system.uptime_us())

    def stamp(self) -> Stamp:
        """The present moment with its quality."""
        uptime_us = self._system.uptime_us()
        quality = ClockQuality.SYNCHRONISED if self._base is None else ClockQuality.UNSYNCHRONISED
        return Stamp(self._at(uptime_us), uptime_us / 1e6, quality)

    def restamped(self, stamp: Stamp) -> Stamp:
        """`stamp` of this boot by what is known now: one that was made before the time was learnt is put right."""
        if self._base is not None or stamp.clock is not ClockQuality.UNSYNCHRONISED:
            return stamp
        return Stamp(self._at(round(stamp.uptime_s * 1e6)), stamp.uptime_s, ClockQuality.CORRECTED)

    def base(self) -> TimeBase | None:
        """What present times rest on; None once the time was learnt."""
        return self._base

    @property
    def zero_ms(self) -> int:
        """The zero in use; during a slew the later end of it, from which now() cannot run back."""
        by_us = self._slew.by_us if self._slew else 0
        return (self._zero_us + max(0, by_us)) // 1000

    @property
    def learnt_ms(self) -> int | None:
        """The first truth of this boot, by which all that was stamped before it is corrected."""
        return self._learnt_ms

    @property
    def uptime_ms(self) -> int:
        """Milliseconds since the boot."""
        return self._system.uptime_us() // 1000

    def not_before(self, at: datetime) -> None:
        """`at` is known from before the boot: a held zero is to lie above it, so that the two can be told apart."""
        lowest_ms = (at - _DAWN) // _MICROSECOND // 1000 + ROOM_MS + 1
        if self._base is not None and self._base.zero_ms < lowest_ms:
            self._zero_us, self._base = lowest_ms * 1000, TimeBase(self._boot, lowest_ms)

    def hub_time(self, at: datetime) -> None:
        """The hub said just now that it is `at`."""
        self._hub_ms = (at - _DAWN) // _MICROSECOND // 1000 - self.uptime_ms

    def look(self) -> Step | None:
        """Compare with the witnesses; what is due is done by `take`."""
        self._end_slew()
        kernel_ms = self._believed(self._kernel_ms())
        if self._learnt_ms is None:
            hub_ms = self._believed(self._hub_ms)
            if kernel_ms is not None:
                self._has_kernel_spoken = True
                return Step(StepKind.LEARN, kernel_ms, "kernel")
            return None if hub_ms is None else Step(StepKind.LEARN, hub_ms, "hub")
        if kernel_ms is None:
            self.doubt_ms = self._contradictions = 0
            return self._later_hub(self._learnt_ms)
        self._has_kernel_spoken = True
        error_ms = kernel_ms - self._target_us() // 1000
        self.doubt_ms = error_ms if abs(error_ms) > SLEW_REACH_MS else 0
        if not self.doubt_ms:
            self._contradictions = 0
            return Step(StepKind.SLEW, kernel_ms, "kernel") if abs(error_ms) > STEADY_MS else None
        is_confirmed = self._hub_ms is not None and abs(kernel_ms - self._hub_ms) <= SLEW_REACH_MS
        self._contradictions = self._contradictions + 1 if is_confirmed else 0
        if self._contradictions < JUMP_LOOKS:
            return None
        return Step(StepKind.JUMP, kernel_ms, "kernel and hub")

    def _later_hub(self, learnt_ms: int) -> Step | None:
        """The hub's time is never early: one that lies ahead of ours shows that the one we learnt was long on its way.

        By no more than SLEW_REACH_MS in a boot, and not against a kernel that was synchronised.
        """
        if self._hub_ms is None or self._has_kernel_spoken or self._hub_ms > learnt_ms + SLEW_REACH_MS:
            return None
        late_ms = self._hub_ms - self._target_us() // 1000
        return Step(StepKind.SLEW, self._hub_ms, "hub") if late_ms > STEADY_MS else None

    def take(self, step: Step) -> None:
        """Let a step act. What is learnt is SYNCHRONISED for the rest of the boot, whatever the kernel says later."""
        if step.kind is StepKind.SLEW:
            uptime_us = self._system.uptime_us()
            self._zero_us += self._slewed_us(uptime_us)
            self._slew = _Slew(uptime_us, step.zero_ms * 1000 - self._zero_us)
            return
        self._zero_us, self._slew, self._contradictions = step.zero_ms * 1000, None, 0
        if self._learnt_ms is None:
            self._learnt_ms, self._base = step.zero_ms, None

    def _at(self, uptime_us: int) -> datetime:
        since_us = self._zero_us + uptime_us
        if self._slew is not None:
            since_us += self._slewed_us(uptime_us)
        return _DAWN + timedelta(0, 0, since_us)

    def _slewed_us(self, uptime_us: int) -> int:
        return self._slew.done_us(uptime_us) if self._slew else 0

    def _target_us(self) -> int:
        return self._zero_us + (self._slew.by_us if self._slew else 0)

    def _end_slew(self) -> None:
        slew = self._slew
        if slew is not None and slew.done_us(self._system.uptime_us()) == slew.by_us:
            self._zero_us, self._slew = self._zero_us + slew.by_us, None

    def _kernel_ms(self) -> int | None:
        if not self._system.is_synchronised():
            return None
        return self._system.wall_ms() - self._system.uptime_us() // 1000

    def _believed(self, zero_ms: int | None) -> int | None:
        return None if zero_ms is None or zero_ms + self.uptime_ms < EARLIEST_MS else zero_ms
