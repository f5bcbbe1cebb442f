"""The bus: on land, on its way, at a speed a bus can have."""

import json
from math import atan2, cos, degrees, hypot, radians

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.bus_route import BusState, state, stops
from support.corpus import corpus

ROUND_S = 1200
Ring = list[list[float]]


def outline() -> list[Ring]:
    document = json.loads(corpus("../assets/shimonoseki.geojson").read_text())
    return [feature["geometry"]["coordinates"][0] for feature in document["features"]]


def is_on_land(bus: BusState, rings: list[Ring]) -> bool:
    """Ray casting, even and odd."""
    crossings = 0
    for ring in rings:
        for (x1, y1), (x2, y2) in zip(ring, ring[1:], strict=False):
            if (y1 > bus.lat_deg) != (y2 > bus.lat_deg):
                crossings += bus.lon_deg < x1 + (x2 - x1) * (bus.lat_deg - y1) / (y2 - y1)
    return crossings % 2 == 1


def metres(a: BusState, b: BusState) -> tuple[float, float]:
    north = (b.lat_deg - a.lat_deg) * 111_200
    return north, (b.lon_deg - a.lon_deg) * 111_200 * cos(radians(a.lat_deg))


def test_the_bus_never_leaves_the_land() -> None:
    rings = outline()
    assert all(is_on_land(state(1, t), rings) for t in range(0, ROUND_S, 4))


@given(st.integers(0, 2**32), st.floats(0, 5000))
def test_speed_and_course_are_those_of_the_way_it_takes(seed: int, elapsed_s: float) -> None:
    """Speed from positions half a second apart; course wherever no corner lies between them."""
    before, after = state(seed, elapsed_s), state(seed, elapsed_s + 0.5)
    north, east = metres(before, after)
    assert hypot(north, east) / 0.5 == pytest.approx((before.speed_mps + after.speed_mps) / 2, abs=0.6)
    assert 0 <= before.speed_mps <= 50 / 3.6
    assert (before.course_deg is None) == (before.speed_mps == 0)
    if before.course_deg is not None and before.course_deg == after.course_deg and before.speed_mps > 1:
        turn = (degrees(atan2(east, north)) - before.course_deg + 180) % 360 - 180
        assert abs(turn) < 0.5


def test_it_stops_at_every_stop_there_and_back() -> None:
    called: list[str] = []
    for t in range(ROUND_S * 2):
        stop = state(4, t / 2).stop
        if stop and (not called or called[-1] != stop):
            called.append(stop)
    names = [name for name, _, _ in stops()]
    way_out = called[: len(names)]
    assert way_out == names
    assert called[len(names) : 2 * len(names) - 1] == names[-2::-1]


def test_the_next_round_is_the_same() -> None:
    """The round's length is found from outside: the bus is back at the station's stop."""
    start = state(4, 0.0)
    assert start.stop == stops()[0][0]
    assert (start.lat_deg, start.lon_deg) == stops()[0][1:]
    back = next(t for t in range(200, 5000) if state(4, t).stop == start.stop)
    assert back > 600
