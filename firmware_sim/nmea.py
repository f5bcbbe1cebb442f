"""Fixes to NMEA 0183 sentences (4.10: GGA, RMC, VTG, ZDA of talker GP), an encoder of our own. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MINUTE_DECIMALS = 5
"""1e-5 of a minute of arc is 1.9 cm."""
_STEPS_PER_MINUTE = 100_000
_STEPS_PER_DEGREE = 60 * _STEPS_PER_MINUTE
_KNOTS_PER_MPS = 3600 / 1852
_KMH_PER_MPS = 3.6
_WEEKS_OF_ROLLOVER = timedelta(weeks=1024)


@dataclass(frozen=True, slots=True)
class Fix:
    """What a receiver knows at `at` (UTC). `course_deg` is None while standing; without a fix `is_valid` is false."""

    at: datetime
    lat_deg: float
    lon_deg: float
    speed_mps: float = 0.0
    course_deg: float | None = None
    altitude_m: float = 5.0
    satellites: int = 9
    hdop: float = 0.9
    is_valid: bool = True


def burst(fix: Fix) -> tuple[bytes, ...]:
    """The sentences of one fix, in the order a receiver sends them."""
    return gga(fix), rmc(fix), vtg(fix), zda(fix)


def gga(fix: Fix) -> bytes:
    """Time, position, quality, satellites, dilution, altitude above the sea and of the geoid (32 m at Shimonoseki)."""
    if not fix.is_valid:
        return sentence(f"GPGGA,{_time(fix.at)},,,,,0,00,99.9,,M,,M,,")
    height = f"{fix.altitude_m:.1f},M,32.0,M"
    return sentence(f"GPGGA,{_time(fix.at)},{_place(fix)},1,{fix.satellites:02d},{fix.hdop:.1f},{height},,")


def rmc(fix: Fix) -> bytes:
    """Time, date, position, speed in knots and course; status V and mode N without a fix."""
    date = fix.at.astimezone(UTC).strftime("%d%m%y")
    if not fix.is_valid:
        return sentence(f"GPRMC,{_time(fix.at)},V,,,,,,,{date},,,N,V")
    motion = f"{fix.speed_mps * _KNOTS_PER_MPS:.2f},{_course(fix)}"
    return sentence(f"GPRMC,{_time(fix.at)},A,{_place(fix)},{motion},{date},,,A,V")


def vtg(fix: Fix) -> bytes:
    """Course over ground and speed in knots and km/h."""
    if not fix.is_valid:
        return sentence("GPVTG,,T,,M,,N,,K,N")
    knots, kmh = fix.speed_mps * _KNOTS_PER_MPS, fix.speed_mps * _KMH_PER_MPS
    return sentence(f"GPVTG,{_course(fix)},T,,M,{knots:.2f},N,{kmh:.2f},K,A")


def zda(fix: Fix) -> bytes:
    """Time and date with the whole year; the local zone is left at 00, as receivers do."""
    return sentence(f"GPZDA,{_time(fix.at)},{fix.at.astimezone(UTC).strftime('%d,%m,%Y')},00,00")


def said(fix: Fix) -> dict[str, float]:
    """The position as the sentences say it, rounded to their last digit."""
    return {"lat": _steps(fix.lat_deg) / _STEPS_PER_DEGREE, "lon": _steps(fix.lon_deg) / _STEPS_PER_DEGREE}


def rolled_over(at: datetime) -> datetime:
    """`at` as a receiver says it that has lost count of the 1024-week epochs of GPS."""
    return at - _WEEKS_OF_ROLLOVER


def sentence(body: str) -> bytes:
    """`body` between $ and *, with checksum and line end."""
    return b"$%s*%02X\r\n" % (body.encode("ascii"), checksum(body.encode("ascii")))


def checksum(body: bytes) -> int:
    """Exclusive or of all characters between $ and *."""
    value = 0
    for byte in body:
        value ^= byte
    return value


def _time(at: datetime) -> str:
    """Hours to hundredths of a second, cut and not rounded: no time of the future, no second 60."""
    utc = at.astimezone(UTC)
    return f"{utc:%H%M%S}.{utc.microsecond // 10_000:02d}"


def _course(fix: Fix) -> str:
    return "" if fix.course_deg is None else f"{fix.course_deg:.2f}"


def _place(fix: Fix) -> str:
    lat, lon = _steps(fix.lat_deg), _steps(fix.lon_deg)
    return f"{_angle(lat, 2)},{'S' if lat < 0 else 'N'},{_angle(lon, 3)},{'W' if lon < 0 else 'E'}"


def _steps(angle_deg: float) -> int:
    """Whole steps of the last digit, so that rounding can never give 60 minutes."""
    return round(angle_deg * _STEPS_PER_DEGREE)


def _angle(steps: int, degree_digits: int) -> str:
    degrees, rest = divmod(abs(steps), _STEPS_PER_DEGREE)
    minutes, fraction = divmod(rest, _STEPS_PER_MINUTE)
    return f"{degrees:0{degree_digits}d}{minutes:02d}.{fraction:0{MINUTE_DECIMALS}d}"
