"""Sentences to fixes, one a cycle of the receiver. Pure: the moment a sentence was read is handed in.

A cycle is what a receiver says of one moment; its sentences carry the same time of day, and the last position among
them counts. Which sentence closes a cycle is learnt from the cycle before, RMC at first, so that a fix is given at once
and never waits for the next cycle: `settle` gives what is held when the line falls silent.
"""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum

from contract.sample import Stamp
from drivers.codecs.nmea0183 import Dated, Kind, Located, Moving, Place, Recommended, Sentence

CYCLES_TO_UNLEARN = 3
"""So many cycles in a row without the sentence that closed them mean that the receiver sends it no more."""
HALF_DAY_US = 12 * 3600 * 1_000_000
ROLLOVER = timedelta(weeks=1024)
"""The GPS week is broadcast in 10 bits: an old receiver is off by a multiple of this."""
NEAR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Fix:
    """One position. `at` is when its first sentence was read, `device_time` what the receiver says, None if unknown."""

    at: Stamp
    place: Place
    speed_mps: float | None = None
    course_deg: float | None = None
    altitude_m: float | None = None
    satellites: int | None = None
    device_time: datetime | None = None


class FixAssembler:
    """Takes sentences in the order they were read; gives each fix once."""

    def __init__(self) -> None:
        self._fix: Fix | None = None
        self._is_given = False
        self._is_void = False
        self._time_us: int | None = None
        self._kinds: list[Kind] = []
        """What said something of the present cycle's fix, in order; each kind at most once."""
        self._closer = Kind.RMC
        self._cycles_without_closer = CYCLES_TO_UNLEARN - 1
        self._date: date | None = None
        self._date_us: int | None = None

    def feed(self, sentence: Sentence, at: Stamp) -> tuple[Fix, ...]:
        """The fixes that `sentence`, read `at`, completes: mostly none or one."""
        match sentence:
            case Recommended():
                self._note_date(sentence.date, sentence.time_us)
                return self._enter(sentence.time_us) + self._recommended(sentence, at)
            case Located():
                return self._enter(sentence.time_us) + self._located(sentence, at)
            case Moving():
                return self._moving(sentence)
            case Dated():
                self._note_date(sentence.date, sentence.time_us)
                return ()

    @property
    def is_holding(self) -> bool:
        """True while a position waits for the sentence that closes its cycle."""
        return self._fix is not None and not self._is_given

    def settle(self) -> tuple[Fix, ...]:
        """The fix still held; to be called when the line has fallen silent or has ended."""
        if self._fix is None or self._is_given:
            return ()
        self._is_given = True
        return (replace(self._fix, device_time=self._device_time()),)

    def _enter(self, time_us: int | None) -> tuple[Fix, ...]:
        """Begin a cycle when the time is another; what the last one still holds lost its closing sentence."""
        if time_us is not None and time_us == self._time_us:
            return ()
        late = self.settle()
        self._learn()
        self._fix, self._is_given, self._is_void = None, False, False
        self._time_us = time_us
        self._kinds = []
        return late

    def _learn(self) -> None:
        if not self._kinds:
            return
        self._cycles_without_closer = 0 if self._closer in self._kinds else self._cycles_without_closer + 1
        if self._cycles_without_closer in {0, CYCLES_TO_UNLEARN}:
            self._closer, self._cycles_without_closer = self._kinds[-1], 0

    def _recommended(self, rmc: Recommended, at: Stamp) -> tuple[Fix, ...]:
        if rmc.place is None:
            # The receiver's warning also voids what its GGA said or will say of this moment.
            self._fix, self._is_void = None, True
            return ()
        fix = replace(
            self._fix or Fix(at, rmc.place), place=rmc.place, speed_mps=rmc.speed_mps, course_deg=rmc.course_deg
        )
        return self._said(Kind.RMC, fix)

    def _located(self, located: Located, at: Stamp) -> tuple[Fix, ...]:
        if located.place is None:
            return ()
        fix = replace(self._fix or Fix(at, located.place), place=located.place)
        if located.altitude_m is not None:
            fix = replace(fix, altitude_m=located.altitude_m)
        if located.satellites is not None:
            fix = replace(fix, satellites=located.satellites)
        return self._said(located.kind, fix)

    def _moving(self, vtg: Moving) -> tuple[Fix, ...]:
        if self._fix is None or Kind.RMC in self._kinds:
            return ()
        return self._said(Kind.VTG, replace(self._fix, speed_mps=vtg.speed_mps, course_deg=vtg.course_deg))

    def _said(self, kind: Kind, fix: Fix) -> tuple[Fix, ...]:
        if self._is_void:
            return ()
        if kind not in self._kinds:
            self._kinds.append(kind)
        self._fix = fix
        return self.settle() if kind is self._closer else ()

    def _note_date(self, day: date | None, time_us: int | None) -> None:
        if day is not None and time_us is not None:
            self._date, self._date_us = day, time_us

    def _device_time(self) -> datetime | None:
        if self._time_us is None or self._date is None or self._date_us is None:
            return None
        midnight = datetime.combine(self._date, time.min, UTC)
        if self._time_us + HALF_DAY_US < self._date_us:  # past midnight since the date was said
            midnight += timedelta(days=1)
        return midnight + timedelta(microseconds=self._time_us)


class Doubt(Enum):
    """How a receiver's date compares with the gateway's."""

    NONE = "none"
    ROLLED_OVER = "rolled over"
    FAR = "far"


def judged_time(device_time: datetime, now: datetime) -> tuple[datetime, Doubt]:
    """`device_time`, moved by whole 1024-week periods where that brings it within a day of `now`, and the doubt.

    It never sets a clock: `now` is the gateway's own.
    """
    if abs(device_time - now) <= NEAR:
        return device_time, Doubt.NONE
    periods = round((now - device_time) / ROLLOVER)
    if periods > 0 and abs(device_time + periods * ROLLOVER - now) <= NEAR:
        return device_time + periods * ROLLOVER, Doubt.ROLLED_OVER
    return device_time, Doubt.FAR
