"""Four residents' hearts, beat by beat, as pure functions of seed and time.

The rate swings with the breath and, more slowly, with the blood pressure (respiratory arrhythmia and Mayer waves);
each beat is a few milliseconds early or late besides. Resident 1 has a fast pulse at rest and hardly any swing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import ceil, cos, floor, pi, sin
from random import Random
from types import MappingProxyType

from firmware_sim.beats import TICKS_PER_S, HeartFrame, average_bpm

CANARY_BPM = 211
CANARY_RR_1024 = 291
"""0.2842 s, which is 211 a minute: values that nothing else in a run says, for tests that look for them."""

_MAYER_PERIOD_S = 10.0
_BEATS_AVERAGED = 8
_NEWTON_STEPS = 8


@dataclass(frozen=True, slots=True)
class _Heart:
    bpm: float
    breath_period_s: float
    breath_swing: float
    mayer_swing: float
    jitter_s: float


_HEARTS: Mapping[int, _Heart] = MappingProxyType(
    {
        1: _Heart(130.0, 3.1, 0.010, 0.006, 0.002),
        2: _Heart(68.0, 4.3, 0.055, 0.030, 0.006),
        3: _Heart(74.0, 3.8, 0.045, 0.025, 0.006),
        4: _Heart(81.0, 3.5, 0.040, 0.020, 0.005),
    }
)
RESIDENTS = tuple(_HEARTS)


def frame(seed: int, resident: int, from_s: float, to_s: float) -> HeartFrame:
    """What the resident's strap tells at `to_s` when it told last at `from_s`: the beats after that, up to now."""
    heart = _HEARTS[resident]
    first, last = floor(_beats(seed, heart, from_s)) - 1, ceil(_beats(seed, heart, to_s)) + 1
    numbers = range(first - _BEATS_AVERAGED, last + 1)
    ticks = [tick for tick in (_tick(seed, resident, number) for number in numbers) if tick <= to_s * TICKS_PER_S]
    rr = [later - earlier for earlier, later in pairwise(ticks)]
    told = sum(tick > from_s * TICKS_PER_S for tick in ticks)
    return HeartFrame(to_s, average_bpm(rr), tuple(rr[len(rr) - told :]))


def canary_frame(from_s: float, to_s: float) -> HeartFrame:
    """The same of a heart that never beats otherwise than with the canary's rate and interval."""
    told = floor(to_s * TICKS_PER_S / CANARY_RR_1024) - floor(from_s * TICKS_PER_S / CANARY_RR_1024)
    return HeartFrame(to_s, CANARY_BPM, (CANARY_RR_1024,) * told)


def _beats(seed: int, heart: _Heart, at_s: float) -> float:
    """How many beats there were by `at_s`, as a number that grows steadily: the integral of the rate."""
    swings = sum(
        swing * period / (2 * pi) * (cos(phase) - cos(2 * pi * at_s / period + phase))
        for swing, period, phase in _waves(seed, heart)
    )
    return heart.bpm / 60 * (at_s + swings)


@lru_cache(maxsize=4096)
def _tick(seed: int, resident: int, number: int) -> int:
    """The moment of beat `number` in 1/1024 s."""
    heart = _HEARTS[resident]
    waves = _waves(seed, heart)
    at_s = number * 60 / heart.bpm
    for _ in range(_NEWTON_STEPS):
        rate = 1 + sum(swing * sin(2 * pi * at_s / period + phase) for swing, period, phase in waves)
        at_s -= (_beats(seed, heart, at_s) - number) / (heart.bpm / 60 * rate)
    jitter_s = heart.jitter_s * Random(f"{seed}/{resident}/{number}").uniform(-1, 1)  # noqa: S311  a scenario
    return round((at_s + jitter_s) * TICKS_PER_S)


@lru_cache(maxsize=16)
def _waves(seed: int, heart: _Heart) -> tuple[tuple[float, float, float], ...]:
    """(share of the rate, period, phase) of each swing."""
    random = Random(f"{seed}/{heart.bpm}")  # noqa: S311  a scenario
    return (
        (heart.breath_swing, heart.breath_period_s, random.uniform(0, 2 * pi)),
        (heart.mayer_swing, _MAYER_PERIOD_S, random.uniform(0, 2 * pi)),
    )
