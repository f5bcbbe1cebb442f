"""A day in the town, compressed into ten minutes: river, tide, rain and weather as pure functions of seed and time.

One second of the scenario is 144 seconds of the town. The day repeats; only the rain counter goes on. Amplitudes are
plausible for the Kanmon strait, not measured there. Pulse and bus have modules of their own.
"""

from functools import lru_cache
from math import cos, pi, sin
from random import Random

DAY_S = 600.0
"""Length of the compressed day."""
STAGES_M: tuple[tuple[int, float], ...] = ((1, 1.0), (2, 1.5), (3, 2.0), (4, 2.5), (5, 3.0))
"""(stage, threshold in metres) of the scenario's river; a made-up river, low enough to be passed at every start."""

_HOUR_S = DAY_S / 24
_M2_PERIOD_S, _M2_M = 12.4206 * _HOUR_S, 0.07
_S2_PERIOD_S, _S2_M = 12.0 * _HOUR_S, 0.03
"""What is left at the gauge, some way up the river, of the strait's principal lunar and solar tides."""

_LOW_WATER_M = 0.6
_FLOOD_M = 2.75
_RISE_S = (3.0, 22.0)
_FALL_S = (200.0, 320.0)
_RIPPLES = ((7.3, 0.003), (2.9, 0.002))
"""Period in seconds and height in metres of what the wind does to the water."""
_RAIN_S = (0.0, 180.0)
_RAIN_MM = 64.0


def weather(seed: int, elapsed_s: float) -> dict[str, float]:
    """Every quantity the river station measures, in the quantity's unit, `elapsed_s` after the scenario's start."""
    storm = rain_share(elapsed_s)
    day = 2 * pi * elapsed_s / DAY_S
    warmth, gust, turn = (_phase(seed, name) for name in ("warmth", "gust", "turn"))
    return {
        "water_level": river_level_m(seed, elapsed_s),
        "rainfall": rain_mm(elapsed_s),
        "air_temperature": 17.0 + 4.0 * sin(day - 0.6) - 5.0 * storm + 0.2 * sin(0.11 * elapsed_s + warmth),
        "humidity": 68.0 - 8.0 * sin(day - 0.6) + 24.0 * storm - 1.0 * sin(0.07 * elapsed_s + warmth) ** 2,
        "pressure": 1012.0 + 2.0 * sin(day + 1.0) - 14.0 * storm,
        "wind_speed": 3.0 + 9.0 * storm + (1.0 + 2.0 * storm) * sin(0.9 * elapsed_s + gust) ** 2,
        # The wind backs from east to south and on to the west as the front passes.
        "wind_direction": 180.0 - 90.0 * cos(day / 2 % pi) + 15.0 * sin(0.17 * elapsed_s + turn),
    }


def river_level_m(seed: int, elapsed_s: float) -> float:
    """Level above the gauge's zero: passes every stage within 25 s, is below all of them again after 320 s."""
    at = elapsed_s % DAY_S
    flood = _FLOOD_M * (_smooth_step(at, *_RISE_S) - _smooth_step(at, *_FALL_S))
    ripples = sum(
        height * sin(2 * pi * elapsed_s / period + _phase(seed, f"ripple {period}")) for period, height in _RIPPLES
    )
    return _LOW_WATER_M + flood + tide_m(seed, elapsed_s) + ripples


def tide_m(seed: int, elapsed_s: float) -> float:
    """The tide's part of the level: two constituents that drift through spring and neap."""
    lunar = _M2_M * cos(2 * pi * elapsed_s / _M2_PERIOD_S + _phase(seed, "M2"))
    return lunar + _S2_M * cos(2 * pi * elapsed_s / _S2_PERIOD_S + _phase(seed, "S2"))


def rain_mm(elapsed_s: float) -> float:
    """Rain since the scenario's start: it never goes back."""
    days, at = divmod(elapsed_s, DAY_S)
    return _RAIN_MM * (days + _smooth_step(at, *_RAIN_S))


def rain_share(elapsed_s: float) -> float:
    """How hard it rains now, as a share of the hardest moment of the burst."""
    start, end = _RAIN_S
    share = (elapsed_s % DAY_S - start) / (end - start)
    return max(0.0, 4 * share * (1 - share))


def _smooth_step(at: float, start: float, end: float) -> float:
    """0 before `start`, 1 after `end`, between them without a corner."""
    share = min(1.0, max(0.0, (at - start) / (end - start)))
    return share * share * (3 - 2 * share)


@lru_cache(maxsize=256)
def _phase(seed: int, name: str) -> float:
    return Random(f"{seed}/{name}").random() * 2 * pi  # noqa: S311  a scenario, not a secret
