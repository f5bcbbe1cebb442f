"""What travels is told from what stands by its own words."""

from datetime import UTC, datetime

import pytest

from contract.ids import DeviceId, GatewayId
from contract.sample import ClockQuality, Flag
from hub.motion import travels
from hub.store.rows import LatestRow, PositionValue, Value


def row(quantity: str, value: Value) -> LatestRow:
    at = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
    return LatestRow(GatewayId("gw-1"), DeviceId("it"), quantity, at, value, Flag.GOOD, ClockQuality.SYNCHRONISED)


def place(speed_mps: float | None = None, course_deg: float | None = None) -> LatestRow:
    return row("position", PositionValue(33.95, 130.94, speed_mps, course_deg))


@pytest.mark.parametrize(
    ("rows", "is_travelling"),
    [
        ([place()], False),
        ([place(), row("water_level", 1.0), row("battery_level", 80.0)], False),
        ([row("water_level", 1.0)], False),
        ([place(speed_mps=0.0)], True),
        ([place(course_deg=12.0)], True),
        ([place(), row("satellites", 7.0)], True),
        ([place(), row("altitude", None)], True),
        ([row("mesh_cell", 503077453.0)], True),
        ([], False),
    ],
)
def test_a_tracker_travels_and_a_place_from_the_settings_stands(rows: list[LatestRow], is_travelling: bool) -> None:
    assert travels(rows) is is_travelling
