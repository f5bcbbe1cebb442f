"""NMEA 0183 sentences to typed records: RMC, GGA, GNS, GLL, VTG and ZDA of any talker. One sentence knows no other.

Sources: NMEA 0183 as described by receiver makers (u-blox M8 protocol specification, SiRF NMEA reference manual).
Times are whole microseconds, so that 0.70 and 0.7 s are the same moment.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import reduce
from operator import xor

from contract.errors import ProtocolError

MPS_PER_KNOT = 1852 / 3600
MPS_PER_KMH = 1 / 3.6
FIRST_YEAR = 1980
"""GPS time begins in 1980, so a two-digit year below 80 belongs to this century."""
LAST_YEAR = 9999
"""The end of Python's calendar: a date needs a day after it."""

_CHECKSUM = re.compile(rb"[0-9A-Fa-f]{2}")
_ADDRESS = re.compile(r"[A-Z]{2}([A-Z]{3})")
"""Two letters of talker (GP GN GL GA GB BD PQ QZ IN ...), three of type. Proprietary ones do not fit or are unknown."""
_NUMBER = re.compile(r"[+-]?(\d{1,9}(\.\d{0,12})?|\.\d{1,12})", re.ASCII)
_ANGLE = re.compile(r"(\d{1,3})(\d\d(?:\.\d{0,12})?)", re.ASCII)
_TIME = re.compile(r"(\d\d)(\d\d)(\d\d)(?:\.(\d{0,12}))?", re.ASCII)
_DATE = re.compile(r"(\d\d)(\d\d)(\d\d)", re.ASCII)


class Kind(StrEnum):
    """The sentences that say something of a fix."""

    RMC = "RMC"
    GGA = "GGA"
    GNS = "GNS"
    GLL = "GLL"
    VTG = "VTG"


@dataclass(frozen=True, slots=True)
class Place:
    """WGS84 degrees, north and east positive."""

    lat_deg: float
    lon_deg: float


@dataclass(frozen=True, slots=True)
class Recommended:
    """RMC. `place` is None when the receiver marks the data invalid; `time_us` counts from midnight UTC."""

    time_us: int | None
    date: date | None
    place: Place | None
    speed_mps: float | None
    course_deg: float | None


@dataclass(frozen=True, slots=True)
class Located:
    """GGA, GNS or GLL, as `kind` says. `place` is None without a fix. Altitude above mean sea level."""

    kind: Kind
    time_us: int | None
    place: Place | None
    altitude_m: float | None
    satellites: int | None


@dataclass(frozen=True, slots=True)
class Moving:
    """VTG. It has no time of its own: it belongs to the sentences around it."""

    speed_mps: float | None
    course_deg: float | None


@dataclass(frozen=True, slots=True)
class Dated:
    """ZDA."""

    time_us: int | None
    date: date | None


Sentence = Recommended | Located | Moving | Dated


def decode(sentence: bytes) -> Sentence | None:
    """The record in `sentence`, which starts with `$` and has no line end; None for a type that is not wanted.

    Raises ProtocolError for a sum that is missing or wrong (RMC and its kin must have one) and for a position that
    is none. An unreadable lesser field is None: receivers fill them with whatever they like.
    """
    if not sentence.startswith(b"$"):
        raise ProtocolError("sentence does not start with $")
    body, star, checksum = sentence[1:].partition(b"*")
    if star and (not _CHECKSUM.fullmatch(checksum) or reduce(xor, body, 0) != int(checksum, 16)):
        raise ProtocolError("sentence with a wrong checksum")
    address, *fields = body.decode("latin-1").split(",")
    kind = _ADDRESS.fullmatch(address)
    reader = _READERS.get(kind[1]) if kind else None
    if not reader:
        return None
    if not star:
        raise ProtocolError(f"{address} without checksum")
    return reader(_Fields(fields))


class _Fields:
    """The fields after the address, numbered from 1 as the manuals do; one beyond the end reads as empty."""

    def __init__(self, fields: Sequence[str]) -> None:
        self._fields = fields

    def text(self, number: int) -> str:
        return self._fields[number - 1].strip() if number <= len(self._fields) else ""

    def number(self, number: int) -> float | None:
        text = self.text(number)
        return float(text) if _NUMBER.fullmatch(text) else None

    def count(self, number: int) -> int | None:
        text = self.text(number)
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else None

    def time_us(self, number: int) -> int | None:
        parts = _TIME.fullmatch(self.text(number))
        if not parts:
            return None
        hours, minutes, seconds = int(parts[1]), int(parts[2]), int(parts[3])
        if hours > 23 or minutes > 59 or seconds > 60:  # 60: a leap second
            return None
        fraction_us = int((parts[4] or "")[:6].ljust(6, "0"))
        return ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + fraction_us

    def date(self, number: int) -> date | None:
        parts = _DATE.fullmatch(self.text(number))
        if not parts:
            return None
        year = 1900 + int(parts[3])
        return _date(year if year >= FIRST_YEAR else year + 100, int(parts[2]), int(parts[1]))

    def speed_mps(self, number: int, factor: float) -> float | None:
        speed = self.number(number)
        return speed * factor if speed is not None and speed >= 0 else None

    def course_deg(self, number: int) -> float | None:
        course = self.number(number)
        return course if course is not None and 0 <= course <= 360 else None

    def place(self, number: int) -> Place | None:
        """Latitude, N or S, longitude, E or W from field `number` on; None where the receiver left them empty."""
        if not all(self.text(each) for each in range(number, number + 4)):
            return None
        return Place(self._angle(number, "NS", 90), self._angle(number + 2, "EW", 180))

    def _angle(self, number: int, halves: str, limit_deg: int) -> float:
        parts, half = _ANGLE.fullmatch(self.text(number)), self.text(number + 1)
        if not parts or half not in tuple(halves):
            raise ProtocolError(f"no latitude or longitude in field {number}")
        minutes = float(parts[2])
        angle = int(parts[1]) + minutes / 60
        if minutes >= 60 or angle > limit_deg:
            raise ProtocolError(f"latitude or longitude out of range in field {number}")
        return angle if half == halves[0] else -angle


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _rmc(fields: _Fields) -> Recommended:
    is_valid = fields.text(2) == "A" and fields.text(12) != "N"
    place = fields.place(3) if is_valid else None
    speed_mps, course_deg = fields.speed_mps(7, MPS_PER_KNOT), fields.course_deg(8)
    return Recommended(fields.time_us(1), fields.date(9), place, speed_mps, course_deg)


def _gga(fields: _Fields) -> Located:
    has_fix = (fields.count(6) or 0) > 0
    place = fields.place(2) if has_fix else None
    return Located(Kind.GGA, fields.time_us(1), place, fields.number(9) if place else None, fields.count(7))


def _gns(fields: _Fields) -> Located:
    # One letter a constellation: a fix of GLONASS alone reads "NA". The navigation status (field 13) is not looked
    # at: most receivers cannot know it and always say V.
    has_fix = bool(fields.text(6).strip("NV"))
    place = fields.place(2) if has_fix else None
    return Located(Kind.GNS, fields.time_us(1), place, fields.number(9) if place else None, fields.count(7))


def _gll(fields: _Fields) -> Located:
    has_fix = fields.text(6) == "A" and fields.text(7) != "N"
    return Located(Kind.GLL, fields.time_us(5), fields.place(1) if has_fix else None, None, None)


def _vtg(fields: _Fields) -> Moving:
    if fields.text(2) == "T":
        if fields.text(9) == "N":
            return Moving(None, None)
        speed_mps = fields.speed_mps(5, MPS_PER_KNOT)
        return Moving(fields.speed_mps(7, MPS_PER_KMH) if speed_mps is None else speed_mps, fields.course_deg(1))
    # Before NMEA 2.0 there were no letters between the numbers: true course, magnetic course, knots, km/h.
    return Moving(fields.speed_mps(3, MPS_PER_KNOT), fields.course_deg(1))


def _zda(fields: _Fields) -> Dated:
    day, month, year = fields.count(2), fields.count(3), fields.number(4)
    is_whole = day is not None and month is not None and year is not None and FIRST_YEAR <= year < LAST_YEAR
    return Dated(fields.time_us(1), _date(int(year or 0), month or 0, day or 0) if is_whole else None)


_READERS: Mapping[str, Callable[[_Fields], Sentence]] = {
    "GGA": _gga,
    "GLL": _gll,
    "GNS": _gns,
    "RMC": _rmc,
    "VTG": _vtg,
    "ZDA": _zda,
}
