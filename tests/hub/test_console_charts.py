"""Charts and their tables say the same; stages come from the alerts that told of them; states follow from ages."""

from datetime import UTC, datetime, timedelta

import pytest

from contract.alert import Alert, Transition
from contract.ids import AlertId, DeviceId, Epoch, GatewayId
from contract.record import Stream
from contract.sample import ClockQuality, Flag
from hub.console.charts import Curve, chart, minutes, points, stages
from hub.console.liveness import Liveness, liveness
from hub.store.rows import AlertRow, PositionValue, ReadingRow, Value
from pages.language import Language
from pages.wording import Wording

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
GATEWAY, RIVER = GatewayId("gw-1"), DeviceId("river-1")
EN = Wording(Language.EN)


def reading(seconds: float, value: Value) -> ReadingRow:
    at = NOW + timedelta(seconds=seconds)
    identity = (Epoch("0" * 16), Stream.DATA, int(seconds))
    return ReadingRow(GATEWAY, RIVER, "water_level", at, value, Flag.GOOD, ClockQuality.SYNCHRONISED, *identity)


def event(number: int, level: int, threshold: float, step: Transition, gateway: GatewayId = GATEWAY) -> AlertRow:
    told = Alert(
        AlertId("a" * 32),
        "river_stage",
        "v",
        step,
        NOW,
        "water_level",
        1.0,
        threshold,
        level,
        "段",
        f"Stage {threshold}",
    )
    return AlertRow(told, gateway, None, RIVER, number)


def test_points_are_the_scalar_values_in_order() -> None:
    rows = [reading(0, 1.0), reading(1, None), reading(2, PositionValue(33, 130, None, None)), reading(3, 2.0)]
    assert points(rows) == ([NOW.timestamp(), NOW.timestamp() + 3], [1.0, 2.0])


def test_the_table_tells_last_lowest_and_highest_of_each_minute_newest_first() -> None:
    rows = [reading(0, 2.0), reading(10, 5.0), reading(59, 3.0), reading(60, None), reading(61, 7.0)]
    table = [(row.at, row.last, row.lowest, row.highest) for row in minutes(rows)]
    assert table == [(NOW + timedelta(minutes=1), 7.0, 7.0, 7.0), (NOW, 3.0, 2.0, 5.0)]


def test_a_stage_line_is_the_newest_told_of_its_level_and_of_this_device() -> None:
    alerts = (
        event(5, 0, 1.5, Transition.CLEARED),
        event(4, 2, 2.5, Transition.UPDATED),
        event(3, 1, 1.5, Transition.RAISED),
        event(2, 2, 2.0, Transition.RAISED),
        event(6, 3, 9.0, Transition.RAISED, GatewayId("gw-2")),
    )
    lines = stages(Curve(GATEWAY, RIVER, "water_level", (), alerts), EN)
    assert [(line["level"], line["value"], line["label"]) for line in lines] == [
        (1, 1.5, "Stage 1.5"),
        (2, 2.5, "Stage 2.5"),
    ]


def test_a_quantity_that_this_hub_does_not_know_is_drawn_under_its_name() -> None:
    shown = chart(Curve(GATEWAY, RIVER, "salinity", (), ()), EN).shown
    assert (shown["quantity"], shown["unit"], shown["decimals"]) == ("salinity", "", 3)


@pytest.mark.parametrize(
    ("age_s", "state"),
    [
        (-3, Liveness.HEARD),
        (0, Liveness.HEARD),
        (15, Liveness.HEARD),
        (15.1, Liveness.LATE),
        (45, Liveness.LATE),
        (45.1, Liveness.SILENT),
        (1e6, Liveness.SILENT),
    ],
)
def test_a_gateway_is_what_the_age_of_its_last_word_says(age_s: float, state: Liveness) -> None:
    """Shown as silent within 45 s, whatever it said before."""
    assert liveness(NOW - timedelta(seconds=age_s), NOW) is state
