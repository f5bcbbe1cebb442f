"""What a chart shows and what the table beside it says: the same readings, the table by the minute. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypedDict

from contract.alert import Transition
from contract.ids import DeviceId, GatewayId
from contract.quantity import QUANTITIES
from hub.store.rows import AlertRow, ReadingRow
from pages.wording import Wording

SPAN = timedelta(minutes=15)
"""How far back a live chart reaches; chart.js drops what is older by the same span."""
STAGE_RULE = "river_stage"

Points = tuple[list[float], list[float]]
"""Seconds since 1970 and values, oldest first: what uPlot takes."""


class StageLine(TypedDict):
    """A line across the chart: a stage's threshold, as the alert that told of it says."""

    value: float
    level: int
    label: str


class Shown(TypedDict):
    """A chart as chart.js reads it."""

    id: str
    label: str
    quantity: str
    time_label: str
    unit: str
    decimals: int
    points: Points
    stages: list[StageLine]


@dataclass(frozen=True, slots=True)
class Minute:
    """One row of the table beside a chart."""

    at: datetime
    last: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class Curve:
    """The scalar readings of one quantity of one device, oldest first, with the alerts that name its stages."""

    gateway: GatewayId
    device: DeviceId
    quantity: str
    rows: tuple[ReadingRow, ...]
    alerts: tuple[AlertRow, ...]

    @property
    def key(self) -> tuple[GatewayId, DeviceId, str]:
        """What tells this curve from every other."""
        return self.gateway, self.device, self.quantity

    @property
    def id(self) -> str:
        """Of the chart's element on a page."""
        return f"chart-{self.gateway}--{self.device}--{self.quantity}"


@dataclass(frozen=True, slots=True)
class Chart:
    """A curve in a reader's language."""

    gateway: GatewayId
    device: DeviceId
    shown: Shown
    twin: tuple[Minute, ...]


def chart(curve: Curve, wording: Wording) -> Chart:
    """`curve` as a page shows it."""
    row = QUANTITIES.get(curve.quantity)
    name = wording.quantity(row) if row else curve.quantity
    shown = Shown(
        id=curve.id,
        label=f"{name}, {curve.device}",
        quantity=name,
        time_label=wording.say("Time"),
        unit=row.symbol if row else "",
        decimals=row.decimals if row else 3,
        points=points(curve.rows),
        stages=stages(curve, wording),
    )
    return Chart(curve.gateway, curve.device, shown, minutes(curve.rows))


def points(rows: Iterable[ReadingRow]) -> Points:
    """The scalar values among `rows` with their times."""
    numbers = [(row.at.timestamp(), row.value) for row in rows if isinstance(row.value, float)]
    return [at for at, _ in numbers], [value for _, value in numbers]


def stages(curve: Curve, wording: Wording) -> list[StageLine]:
    """The stages that alerts of this device have told of, lowest first; of one level the newest counts."""
    lines: dict[int, StageLine] = {}
    for row in sorted(curve.alerts, key=lambda row: row.sequence_id):
        told = row.alert
        is_ours = (row.gateway, row.subject, told.quantity) == (curve.gateway, curve.device, curve.quantity)
        if is_ours and told.rule == STAGE_RULE and told.transition is not Transition.CLEARED:
            label = wording.either(told.name_ja, told.name_en)
            lines[told.level] = StageLine(value=told.threshold, level=told.level, label=label)
    return [lines[level] for level in sorted(lines)]


def minutes(rows: Sequence[ReadingRow]) -> tuple[Minute, ...]:
    """The rows by the minute, newest minute first."""
    table: dict[datetime, Minute] = {}
    for row in rows:
        if isinstance(row.value, float):
            begun = row.at.replace(second=0, microsecond=0)
            so_far = table.get(begun, Minute(begun, row.value, row.value, row.value))
            lowest, highest = min(so_far.lowest, row.value), max(so_far.highest, row.value)
            table[begun] = Minute(begun, row.value, lowest, highest)
    return tuple(table[begun] for begun in sorted(table, reverse=True))
