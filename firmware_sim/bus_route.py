"""A bus on the coast road of Shimonoseki, from the station to Hinoyama and back, as a pure function of seed and time.

The points follow National Route 9 as far as the outline of the coast allows that the map draws (drawn to 100 m): where
the outline cuts a corner, the road lies a little further inland.
"""

from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from math import atan2, cos, degrees, hypot, radians, sqrt
from random import Random

_M_PER_DEG = 111_200.0
_CRUISE_MPS = 11.0
_ACCELERATION_MPS2 = 0.9


@dataclass(frozen=True, slots=True)
class _Point:
    lat_deg: float
    lon_deg: float
    stop: str = ""


_ROUTE = (
    _Point(33.95030, 130.92220, "下関駅"),
    _Point(33.95110, 130.92480),
    _Point(33.95220, 130.92880, "豊前田"),
    _Point(33.95290, 130.93300),
    _Point(33.95400, 130.93640, "細江"),
    _Point(33.95580, 130.93950),
    _Point(33.95700, 130.94150, "市役所前"),
    _Point(33.95770, 130.94360, "唐戸"),
    _Point(33.95920, 130.94650),
    _Point(33.96060, 130.94880, "赤間神宮前"),
    _Point(33.96260, 130.95190),
    _Point(33.96420, 130.95450, "壇ノ浦"),
    _Point(33.96700, 130.95900, "御裳川"),
    _Point(33.96980, 130.96250, "火の山"),
)


@dataclass(frozen=True, slots=True)
class BusState:
    """Where the bus is. `course_deg` is None while it stands; `stop` names the stop it stands at, else is empty."""

    lat_deg: float
    lon_deg: float
    speed_mps: float
    course_deg: float | None
    stop: str


@dataclass(frozen=True, slots=True)
class _Leg:
    """From stop to stop. It leaves at `start_s`; distances are measured along the way there and back."""

    start_s: float
    end_s: float
    from_m: float
    to_m: float


def state(seed: int, elapsed_s: float) -> BusState:
    """The bus `elapsed_s` after it first opened its doors at the station."""
    legs = _timetable(seed)
    at_s = elapsed_s % legs[-1].end_s
    leg = legs[bisect_right(legs, at_s, key=lambda leg: leg.start_s) - 1] if at_s >= legs[0].start_s else None
    if leg is None:
        return _at(0.0, 0.0)
    if at_s >= leg.end_s:
        return _at(leg.to_m, 0.0)
    gone_m, speed_mps = _motion(at_s - leg.start_s, leg.to_m - leg.from_m)
    return _at(leg.from_m + gone_m, speed_mps)


def stops() -> tuple[tuple[str, float, float], ...]:
    """(name, latitude, longitude) of each stop in the order of the way out."""
    return tuple((point.stop, point.lat_deg, point.lon_deg) for point in _ROUTE if point.stop)


@lru_cache(maxsize=1)
def _way() -> tuple[_Point, ...]:
    """There and back."""
    return (*_ROUTE, *_ROUTE[-2::-1])


@lru_cache(maxsize=1)
def _distances_m() -> tuple[float, ...]:
    """How far along the way each of its points lies."""
    return tuple(accumulate((hypot(*_metres(a, b)) for a, b in pairwise(_way())), initial=0.0))


@lru_cache(maxsize=4)
def _timetable(seed: int) -> tuple[_Leg, ...]:
    """One round; the times at the stops are drawn from the seed."""
    random = Random(f"{seed}/bus")  # noqa: S311  a scenario
    marks = [mark for mark, point in zip(_distances_m(), _way(), strict=True) if point.stop]
    legs: list[_Leg] = []
    at_s = 0.0
    for from_m, to_m in pairwise(marks):
        at_s += random.uniform(4.0, 9.0)
        legs.append(_Leg(at_s, at_s + _duration_s(to_m - from_m), from_m, to_m))
        at_s = legs[-1].end_s
    return tuple(legs)


def _top_speed_mps(length_m: float) -> float:
    """Cruising speed, or what a short leg leaves time to reach."""
    return min(_CRUISE_MPS, sqrt(length_m * _ACCELERATION_MPS2))


def _duration_s(length_m: float) -> float:
    top = _top_speed_mps(length_m)
    return length_m / top + top / _ACCELERATION_MPS2


def _motion(since_s: float, length_m: float) -> tuple[float, float]:
    """(metres gone, speed) `since_s` after leaving a stop: pulls away, cruises, brakes."""
    top = _top_speed_mps(length_m)
    left_s = _duration_s(length_m) - since_s
    ramp_s = top / _ACCELERATION_MPS2
    if since_s < ramp_s:
        return _ACCELERATION_MPS2 * since_s**2 / 2, _ACCELERATION_MPS2 * since_s
    if left_s < ramp_s:
        return length_m - _ACCELERATION_MPS2 * left_s**2 / 2, _ACCELERATION_MPS2 * left_s
    return top * (since_s - ramp_s / 2), top


def _at(along_m: float, speed_mps: float) -> BusState:
    way, distances = _way(), _distances_m()
    index = min(bisect_right(distances, along_m), len(way) - 1)
    a, b = way[index - 1], way[index]
    share = (along_m - distances[index - 1]) / (distances[index] - distances[index - 1])
    lat = a.lat_deg + share * (b.lat_deg - a.lat_deg)
    lon = a.lon_deg + share * (b.lon_deg - a.lon_deg)
    if speed_mps:
        north, east = _metres(a, b)
        return BusState(lat, lon, speed_mps, degrees(atan2(east, north)) % 360, "")
    return BusState(lat, lon, 0.0, None, b.stop if share >= 0.5 else a.stop)


def _metres(a: _Point, b: _Point) -> tuple[float, float]:
    """(north, east) from a to b on the plane that touches the town."""
    north = (b.lat_deg - a.lat_deg) * _M_PER_DEG
    return north, (b.lon_deg - a.lon_deg) * _M_PER_DEG * cos(radians(a.lat_deg))
