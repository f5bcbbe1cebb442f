"""The sections of the pages: what each collects from the store, and which changes touch it.

A section is one template in pages/templates/sections and one line in SECTIONS; a page names the sections it shows.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from types import MappingProxyType

from markupsafe import Markup

from contract.ids import DeviceId, GatewayId
from contract.quantity import QUANTITIES, Shape
from hub.console.charts import SPAN, Chart, Curve, chart
from hub.console.liveness import HEARD, SILENT, Liveness, liveness
from hub.console.sight import Sight
from hub.motion import PLACES, travels
from hub.store.rows import AlertRow, GapRow, GatewayRow, LatestRow, PositionValue, ReleasedRow
from hub.suppression import K_PERSONS, Combined
from pages.environment import template
from pages.wording import Wording

MOST_STATIONS = 40
"""Stations shown on the overview; a larger fleet is read through the API."""
MOST_GAPS = 8
OLD_AFTER = timedelta(seconds=60)
"""When a station's value is no longer current."""
STATISTICS_SPAN = timedelta(minutes=10)
MOST_STATISTICS = 6
_TECHNICAL = frozenset({"device_counter", "raw_value", "satellites", "altitude", "energy_expended", "battery_level"})
RIVER = "water_level"
_PULSE = "heart_rate"
_RESOLUTION = timedelta(milliseconds=1)
"""Of stored times."""

CurveKey = tuple[GatewayId, DeviceId, str]
NOTHING_YET: Mapping[CurveKey, datetime] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Subject:
    """The device that a device page is about, and the quantity it draws."""

    gateway: GatewayId
    device: DeviceId
    quantity: str


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the store: by whom, when, in which words, and at which device if at one."""

    sight: Sight
    now: datetime
    wording: Wording
    subject: Subject | None = None


@dataclass(frozen=True, slots=True)
class Station:
    """A thing with its newest values."""

    gateway: GatewayId
    device: DeviceId
    rows: tuple[LatestRow, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a station stands, and what it is read for: its first value in the table of quantities."""

    gateway: GatewayId
    device: DeviceId
    at: PositionValue
    told: LatestRow | None


@dataclass(frozen=True, slots=True)
class People:
    """What residents share: live values by pseudonym, and statistics of at least `k` of them together."""

    live: tuple[ReleasedRow, ...]
    statistics: tuple[Combined, ...]
    k: int = K_PERSONS


@dataclass(frozen=True, slots=True)
class HeardGateway:
    """A gateway and what its last word says about it."""

    row: GatewayRow
    state: Liveness


@dataclass(frozen=True, slots=True)
class Section:
    """`kinds` are the changes after which it may read otherwise."""

    collect: Callable[[Look], Awaitable[object]]
    kinds: frozenset[str]


async def alerts(look: Look) -> Sequence[AlertRow]:
    """Open alerts, highest level first, one line an alert however many purposes it is told under."""
    by_id: dict[str, AlertRow] = {}
    for row in await look.sight.open_alerts():
        by_id.setdefault(row.alert.id, row)
    return sorted(by_id.values(), key=lambda row: (-row.alert.level, row.alert.at))


async def vehicles(look: Look) -> Sequence[LatestRow]:
    """One row a vehicle: its newest place."""
    things = [tuple(own) for _, own in groupby(await look.sight.latest(), key=_device)]
    places = ([row for row in own if row.quantity in PLACES] for own in things if travels(own))
    return tuple(max(own, key=lambda row: row.at) for own in places if own)


async def standing(look: Look) -> Sequence[Standing]:
    """Every station whose place is known."""
    found = []
    for (gateway, device), rows in groupby(await look.sight.latest(), key=_device):
        own = tuple(rows)
        place = next((row.value for row in own if isinstance(row.value, PositionValue)), None)
        if place is not None and not travels(own):
            shown = sorted((row for row in own if _is_shown(row)), key=_table_order)
            found.append(Standing(gateway, device, place, shown[0] if shown else None))
    return found


async def stations(look: Look) -> Sequence[Station]:
    """Devices that stay in their place, with the values a city reads."""
    found = []
    for (gateway, device), rows in groupby(await look.sight.latest(), key=_device):
        own = tuple(rows)
        shown = tuple(sorted((row for row in own if _is_shown(row)), key=_table_order))
        if shown and not travels(own):
            found.append(Station(gateway, device, shown))
    return found[:MOST_STATIONS]


async def people(look: Look) -> People:
    """Newest shared heart rates, and the newest windows of statistics."""
    live = [row for row in await look.sight.released_latest() if row.quantity == _PULSE]
    windows = await look.sight.statistics(_PULSE, look.now - STATISTICS_SPAN, look.now)
    statistics = [row for row in reversed(windows) if not row.is_suppressed]
    return People(tuple(live), tuple(statistics[:MOST_STATISTICS]))


async def gateways(look: Look) -> Sequence[HeardGateway]:
    """Every gateway with its state."""
    return [HeardGateway(row, liveness(row.last_seen, look.now)) for row in await look.sight.gateways()]


async def gaps(look: Look) -> Sequence[GapRow]:
    """The newest declared gaps."""
    return await look.sight.gaps(MOST_GAPS)


async def river(look: Look) -> Sequence[Chart]:
    """A chart for every river gauge."""
    return [chart(curve, look.wording) for curve in await curves(look)]


async def latest(look: Look) -> Sequence[LatestRow]:
    """Every newest value of the device the page is about."""
    rows = [row for row in await look.sight.latest() if _is_about(look, row)]
    return sorted(rows, key=_table_order)


async def curves(look: Look, newest: Mapping[CurveKey, datetime] = NOTHING_YET) -> Sequence[Curve]:
    """What the page draws: its device's quantity, or every river gauge; only what is newer than `newest`."""
    subject, told = look.subject, (await look.sight.alerts()).items
    if subject is not None:
        wanted = [(subject.gateway, subject.device, subject.quantity)]
    else:
        gauges = [row for row in await look.sight.latest() if row.quantity == RIVER]
        wanted = [(row.gateway, row.device, row.quantity) for row in gauges[:MOST_STATIONS]]
    begin = look.now - SPAN
    return [
        Curve(*key, await look.sight.readings(*key, newest[key] + _RESOLUTION if key in newest else begin), told)
        for key in wanted
        if key[2] not in QUANTITIES or QUANTITIES[key[2]].shape is Shape.SCALAR
    ]


SECTIONS: Mapping[str, Section] = MappingProxyType(
    {
        "alerts": Section(alerts, frozenset({"alert"})),
        "stations": Section(stations, frozenset({"reading"})),
        "vehicles": Section(vehicles, frozenset({"reading"})),
        "people": Section(people, frozenset({"released"})),
        "gateways": Section(gateways, frozenset({"gateway", "reading"})),
        "gaps": Section(gaps, frozenset({"gap"})),
        "latest": Section(latest, frozenset({"reading"})),
        # Their points travel apart; the table by the minute can wait for the regular refresh.
        "river": Section(river, frozenset({"alert"})),
        "chart": Section(river, frozenset({"alert"})),
    }
)


async def rendered(look: Look, name: str) -> Markup:
    """The HTML of the named section as it is now."""
    items = await SECTIONS[name].collect(look)
    own = template(look.wording.language, f"sections/{name}.html")
    limits = {"heard_s": HEARD.seconds, "silent_s": SILENT.seconds, "old_s": OLD_AFTER.seconds}
    text = own.render(items=items, now=look.now, **limits)
    return Markup(text)  # noqa: S704  # what a template with autoescape has made


def _device(row: LatestRow) -> tuple[GatewayId, DeviceId]:
    return row.gateway, row.device


def _is_about(look: Look, row: LatestRow) -> bool:
    return look.subject is not None and _device(row) == (look.subject.gateway, look.subject.device)


def _is_shown(row: LatestRow) -> bool:
    known = QUANTITIES.get(row.quantity)
    return row.quantity not in _TECHNICAL and (known is None or known.shape is Shape.SCALAR)


def _table_order(row: LatestRow) -> tuple[int, str]:
    names = list(QUANTITIES)
    return (names.index(row.quantity) if row.quantity in QUANTITIES else len(names), row.quantity)
