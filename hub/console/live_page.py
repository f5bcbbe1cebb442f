"""What one open page is told: the HTML of its sections, new points of its charts, places on its map."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal, NotRequired, TypedDict

from contract.ids import DeviceId, GatewayId
from hub.console.charts import Points, StageLine, points, stages
from hub.console.event_stream import REFRESH_S, event
from hub.console.sections import OLD_AFTER, RIVER, SECTIONS, CurveKey, Look, curves, rendered, standing, vehicles
from hub.store.rows import LatestRow, PositionValue
from pages.environment import template

WHOLE_EVERY = timedelta(seconds=60)
"""Charts are sent whole again, because readings of a backlog arrive behind newer ones."""
TRAIL_SPAN = timedelta(minutes=5)
MOST_TRAIL = 600
ALL_KINDS = frozenset({"reading", "released", "alert", "gap", "gateway"})
_REFRESH = timedelta(seconds=REFRESH_S)


@dataclass(frozen=True, slots=True)
class PageKind:
    """What a page shows."""

    sections: tuple[str, ...]
    has_charts: bool = False
    has_map: bool = False


PAGES: Mapping[str, PageKind] = MappingProxyType(
    {
        "overview": PageKind(
            ("alerts", "river", "vehicles", "stations", "people", "gateways", "gaps"), has_charts=True, has_map=True
        ),
        "device": PageKind(("latest", "chart"), has_charts=True),
        "alerts": PageKind(("alerts",)),
    }
)


class NewPoints(TypedDict):
    """New points of one chart; `whole`: they replace what the chart has."""

    id: str
    whole: bool
    points: Points
    stages: list[StageLine]


class Place(TypedDict):
    """A vehicle or a station as map.js reads it; a vehicle's trail only when the page is told everything."""

    id: str
    kind: Literal["vehicle", "station"]
    label: str
    at: tuple[float, float]
    trail: NotRequired[list[tuple[float, float]]]
    icon: NotRequired[Literal["wave", "gauge"]]
    value: NotRequired[str]


@dataclass(slots=True)
class LivePage:
    """One open page: remembers when it was last told everything, and the newest point of each chart."""

    kind: PageKind
    look: Look
    now: Callable[[], datetime]
    _refreshed_at: datetime | None = None
    _whole_at: datetime | None = None
    _newest: dict[CurveKey, datetime] = field(default_factory=dict)

    async def message(self, kinds: frozenset[str] | None) -> bytes:
        """The events to send after changes of `kinds`; None: look at everything."""
        look = replace(self.look, now=self.now())
        is_refresh = kinds is None or _is_due(self._refreshed_at, look.now, _REFRESH)
        touched = ALL_KINDS if is_refresh or kinds is None else kinds
        parts = [event("clock", look.now.isoformat())]
        sections = [name for name in self.kind.sections if is_refresh or SECTIONS[name].kinds & touched]
        if sections:
            parts.append(await _swaps(look, sections))
        # After the sections: they may bring the element of a chart that was not there before.
        is_whole = _is_due(self._whole_at, look.now, WHOLE_EVERY)
        if self.kind.has_charts and touched & {"reading", "alert"}:
            parts.append(event("points", json.dumps(await self._points(look, is_whole))))
        if self.kind.has_map and touched & {"reading"}:
            parts.append(event("places", json.dumps(await places(look, is_whole))))
        self._refreshed_at = look.now if is_refresh else self._refreshed_at
        self._whole_at = look.now if is_whole else self._whole_at
        return b"".join(parts)

    async def _points(self, look: Look, is_whole: bool) -> list[NewPoints]:
        if is_whole:
            self._newest.clear()
        told = []
        for curve in await curves(look, self._newest):
            is_first = curve.key not in self._newest
            if curve.rows:
                self._newest[curve.key] = curve.rows[-1].at
            lines = stages(curve, look.wording)
            told.append(NewPoints(id=curve.id, whole=is_first, points=points(curve.rows), stages=lines))
        return told


async def _swaps(look: Look, names: Sequence[str]) -> bytes:
    """The event that swaps the named sections in."""
    sections = [(name, await rendered(look, name)) for name in names]
    return event(None, template(look.wording.language, "fragments.html").render(sections=sections, now=look.now))


async def places(look: Look, is_whole: bool) -> list[Place]:
    """Where stations stand and vehicles are; these with their trails when `is_whole`."""
    found = []
    for station in await standing(look):
        place = _place("station", (station.gateway, station.device), station.at)
        place["icon"] = "wave" if station.told is not None and station.told.quantity == RIVER else "gauge"
        place["value"] = _told(look, station.told)
        found.append(place)
    for row in await vehicles(look):
        if isinstance(row.value, PositionValue):
            place = _place("vehicle", (row.gateway, row.device), row.value)
            if is_whole:
                place["trail"] = await _trail(look, row)
            found.append(place)
    return found


def _place(kind: Literal["vehicle", "station"], who: tuple[GatewayId, DeviceId], value: PositionValue) -> Place:
    return Place(id="--".join(who), kind=kind, label=who[1], at=_at(value))


def _told(look: Look, row: LatestRow | None) -> str:
    """A station's value as its marker says it: never an old one as if it were current."""
    if row is None or not isinstance(row.value, float):
        return ""
    if look.now - row.at > OLD_AFTER:
        return look.wording.say("Not current")
    return look.wording.value(row.value, row.quantity)


async def _trail(look: Look, row: LatestRow) -> list[tuple[float, float]]:
    rows = await look.sight.readings(row.gateway, row.device, row.quantity, row.at - TRAIL_SPAN)
    return [_at(passed.value) for passed in rows if isinstance(passed.value, PositionValue)][-MOST_TRAIL:]


def _at(value: PositionValue) -> tuple[float, float]:
    return value.lat_deg, value.lon_deg


def _is_due(last: datetime | None, now: datetime, interval: timedelta) -> bool:
    return last is None or now - last >= interval
