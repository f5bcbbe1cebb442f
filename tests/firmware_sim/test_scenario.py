"""The scenario: promises about river, rain and weather that the demo rests on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.quantity import QUANTITIES
from firmware_sim.river_station import SPANS, registers
from firmware_sim.scenario import DAY_S, STAGES_M, rain_mm, rain_share, river_level_m, tide_m, weather

SEEDS = st.integers(0, 2**32)
TIMES = st.floats(0, 3 * DAY_S)


@given(SEEDS)
def test_the_river_passes_every_stage_within_25_seconds_stays_and_falls_below_all(seed: int) -> None:
    """Whatever the seed: the alerts of the demo do not depend on luck."""
    levels = [river_level_m(seed, t / 10) for t in range(int(DAY_S * 10))]
    lowest, highest = STAGES_M[0][1], STAGES_M[-1][1]
    assert max(levels[:30]) < lowest - 0.1
    assert min(levels[240:2000]) > highest + 0.1
    assert max(levels[3200:]) < lowest - 0.1
    for _, threshold_m in STAGES_M:
        first = next(t for t, level in enumerate(levels) if level >= threshold_m)
        assert all(level >= threshold_m for level in levels[first:2000])


@given(SEEDS, TIMES)
def test_the_weather_is_possible_and_fits_the_registers(seed: int, elapsed_s: float) -> None:
    values = weather(seed, elapsed_s)
    assert values.keys() == SPANS.keys() - {"device_counter"}
    for name, value in values.items():
        assert QUANTITIES[name].low <= value <= QUANTITIES[name].high
    assert registers(values, 1)[1].keys() == SPANS.keys()


@given(SEEDS, TIMES)
def test_the_same_seed_and_time_give_the_same_weather(seed: int, elapsed_s: float) -> None:
    assert weather(seed, elapsed_s) == weather(seed, elapsed_s)


@given(TIMES, st.floats(0, 60))
def test_the_rain_counter_never_goes_back(elapsed_s: float, later_s: float) -> None:
    assert rain_mm(elapsed_s + later_s) >= rain_mm(elapsed_s) - 1e-9


def test_it_rains_when_the_counter_grows_and_not_when_it_stands() -> None:
    assert rain_share(90) == pytest.approx(1.0)
    assert rain_share(400) == 0
    assert rain_mm(400) == rain_mm(500) == 64.0
    assert rain_mm(DAY_S + 90) == pytest.approx(64.0 + 32.0)


def test_the_tide_turns_about_twice_a_day() -> None:
    """M2 has 12.42 h, S2 12 h: between two and four turns of the tide either way in a day."""
    tide = [tide_m(3, t) for t in range(int(DAY_S))]
    turns = sum((b - a) * (c - b) < 0 for a, b, c in zip(tide, tide[1:], tide[2:], strict=False))
    assert 3 <= turns <= 5
    assert -0.1 <= min(tide) < 0 < max(tide) <= 0.1


def test_another_seed_is_another_day() -> None:
    assert weather(1, 33.0) != weather(2, 33.0)
