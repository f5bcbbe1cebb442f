"""What a driver yields: a Sample, everything one poll, frame or notification said."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import NamedTuple

from contract.ids import DeviceId


class Flag(IntEnum):
    """Quality of one value after QARTOD (IOOS manuals, flag scheme)."""

    GOOD = 1
    UNKNOWN = 2
    SUSPECT = 3
    FAIL = 4
    MISSING = 9


class ClockQuality(StrEnum):
    """How far the clock that stamped a sample can be believed."""

    SYNCHRONISED = "synchronised"
    UNSYNCHRONISED = "unsynchronised"
    BOUNDED = "bounded"
    """The boot never learnt the time: `at` lies after the last known time and before the next boot."""
    CORRECTED = "corrected"
    """Stamped unsynchronised, put right when the boot's time was learnt."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """A moment as a gateway knows it: aware UTC time, seconds since boot, quality of the time."""

    at: datetime
    uptime_s: float
    clock: ClockQuality


class Reading(NamedTuple):
    """One scalar in the unit of its quantity; `value` None (flag MISSING) where the device said "no value".

    A NamedTuple because a gateway makes tens of thousands of these a second and a frozen dataclass costs three
    times as much to build.
    """

    quantity: str
    value: float | None
    flag: Flag = Flag.UNKNOWN


class Series(NamedTuple):
    """Several values of one quantity from one frame, oldest first.

    `offsets_s` holds seconds relative to the sample's stamp, one a value, or exactly two numbers (start, step)
    when `is_even` is true. RR intervals have one offset each: the moment of the beat that ends the interval.
    """

    quantity: str
    values: tuple[float, ...]
    offsets_s: tuple[float, ...]
    is_even: bool = False
    flag: Flag = Flag.UNKNOWN


class Position(NamedTuple):
    """A fix in WGS84. Speed in m/s, course in degrees from true north; None where the device did not say."""

    lat_deg: float
    lon_deg: float
    speed_mps: float | None = None
    course_deg: float | None = None
    flag: Flag = Flag.UNKNOWN

    @property
    def quantity(self) -> str:
        """The row of the quantity table that every position belongs to."""
        return "position"


Member = Reading | Series | Position


@dataclass(frozen=True, slots=True)
class Sample:
    """Everything one poll, frame or notification of one device said, stamped when it was read."""

    device: DeviceId
    stamp: Stamp
    members: tuple[Member, ...]
