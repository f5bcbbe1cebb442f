"""Things as NGSI-LD entities after the Smart Data Models (Device, WaterObserved, WeatherObserved, Vehicle).

Only latest values of things: no record of a person ever comes in here. Units follow the models where they differ from
ours: humidity and battery 0..1, speed km/h; a negative heading of a vehicle says that it stands.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from contract.quantity import QUANTITIES
from hub.instant import instant
from hub.motion import travels
from hub.store.rows import LatestRow, PositionValue, SeriesValue

Json = dict[str, Any]  # one JSON object on its way out

WATER = frozenset({"water_level"})
WEATHER = frozenset(
    {"rainfall", "air_temperature", "humidity", "pressure", "wind_speed", "wind_direction", "irradiance"}
)
VEHICLE = frozenset({"position", "altitude", "satellites", "mesh_cell"})
TYPES = ("Device", "Vehicle", "WaterObserved", "WeatherObserved")

# Smart Data Models, Device 0.0.9: what a device may say that it measures is a closed list.
_CONTROLLED = {
    "water_level": "waterLevel",
    "rainfall": "precipitation",
    "air_temperature": "temperature",
    "humidity": "humidity",
    "pressure": "atmosphericPressure",
    "wind_speed": "windSpeed",
    "wind_direction": "windDirection",
    "irradiance": "solarRadiation",
    "position": "location",
    "mesh_cell": "location",
    "battery_level": "batteryLife",
}
_PARTS_OF_ONE = frozenset({"humidity", "battery_level"})
_KMH_PER_MPS = 3.6


@dataclass(frozen=True, slots=True)
class Entity:
    """One entity; `attributes` in normalized form, by name."""

    id: str
    type: str
    attributes: Mapping[str, Json]


def entities(latest: Iterable[LatestRow]) -> list[Entity]:
    """The entities that `latest` (ordered by gateway and device) amounts to, by id."""
    found: list[Entity] = []
    for (gateway, device), rows in groupby(latest, lambda row: (row.gateway, row.device)):
        found.extend(_of_device(f"{gateway}:{device}", list(rows)))
    return sorted(found, key=lambda entity: entity.id)


def normalized(entity: Entity, attributes: Sequence[str] | None = None) -> Json:
    """The entity with all that is known of each attribute; only `attributes` when they are given."""
    return {"id": entity.id, "type": entity.type, **_chosen(entity, attributes)}


def simplified(entity: Entity, attributes: Sequence[str] | None = None) -> Json:
    """The entity with the value of each attribute only."""
    chosen = _chosen(entity, attributes)
    values = {name: body.get("value", body.get("object")) for name, body in chosen.items()}
    return {"id": entity.id, "type": entity.type, **values}


def _chosen(entity: Entity, attributes: Sequence[str] | None) -> Mapping[str, Json]:
    if attributes is None:
        return entity.attributes
    return {name: body for name, body in entity.attributes.items() if name in attributes}


def _of_device(name: str, rows: list[LatestRow]) -> list[Entity]:
    observed: list[Entity] = []
    water = [row for row in rows if row.quantity in WATER]
    weather = [row for row in rows if row.quantity in WEATHER]
    is_fixed = bool(water or weather) or not travels(rows)
    moving = [] if is_fixed else [row for row in rows if row.quantity in VEHICLE]
    fix = [row for row in rows if row.quantity == "position"]
    if water:
        observed.append(_observation("WaterObserved", name, water, fix))
    if weather:
        observed.append(_observation("WeatherObserved", name, weather, fix))
    if any(row.quantity in ("position", "mesh_cell") for row in moving):
        observed.append(_vehicle(name, moving))
    told = WATER | WEATHER | (frozenset() if is_fixed else VEHICLE)
    return [_device(name, rows, [row for row in rows if row.quantity not in told or row in fix]), *observed]


def _device(name: str, rows: Sequence[LatestRow], own: Sequence[LatestRow]) -> Entity:
    measured = sorted({_CONTROLLED[row.quantity] for row in rows if row.quantity in _CONTROLLED})
    last = max(row.at for row in rows)
    attributes: dict[str, Json] = {
        "controlledProperty": {"type": "Property", "value": measured},
        "dateLastValueReported": {"type": "Property", "value": instant(last)},
        **_attributes(own),
    }
    return Entity(f"urn:ngsi-ld:Device:{name}", "Device", attributes)


def _observation(type_: str, name: str, rows: Sequence[LatestRow], fix: Sequence[LatestRow]) -> Entity:
    attributes: dict[str, Json] = {
        "dateObserved": {"type": "Property", "value": instant(max(row.at for row in rows))},
        "refDevice": _device_of(name),
        **_attributes([*rows, *fix]),
    }
    return Entity(f"urn:ngsi-ld:{type_}:{name}", type_, attributes)


def _vehicle(name: str, rows: Sequence[LatestRow]) -> Entity:
    attributes: dict[str, Json] = {
        "vehicleType": {"type": "Property", "value": "anyVehicle"},
        "category": {"type": "Property", "value": ["tracked"]},
        "refDevice": _device_of(name),
        **_attributes(rows),
    }
    for row in rows:
        if isinstance(row.value, PositionValue):
            attributes |= _motion(row, row.value)
    return Entity(f"urn:ngsi-ld:Vehicle:{name}", "Vehicle", attributes)


def _motion(row: LatestRow, fix: PositionValue) -> dict[str, Json]:
    motion = {}
    if fix.speed_mps is not None:
        motion["speed"] = _property(row, fix.speed_mps * _KMH_PER_MPS, "KMH")
    if fix.speed_mps == 0:
        # Smart Data Models, Vehicle 0.2.4, heading: -1 of a vehicle that stands.
        motion["heading"] = _property(row, -1.0, "DD")
    elif fix.course_deg is not None:
        motion["heading"] = _property(row, fix.course_deg % 360.0, "DD")
    return motion


def _attributes(rows: Iterable[LatestRow]) -> dict[str, Json]:
    return {name: body for row in rows for name, body in _attribute(row)}


def _attribute(row: LatestRow) -> Iterable[tuple[str, Json]]:
    quantity = QUANTITIES.get(row.quantity)
    name, unit = (quantity.ngsi, quantity.unit_code) if quantity else (row.quantity, None)
    match row.value:
        case None:
            # NGSI-LD knows no attribute without a value.
            return
        case PositionValue():
            point = {"type": "Point", "coordinates": [row.value.lon_deg, row.value.lat_deg]}
            yield "location", {"type": "GeoProperty", "value": point, "observedAt": instant(row.at)}
        case SeriesValue():
            yield name, _property(row, list(row.value.values), unit)
        case float() if row.quantity in _PARTS_OF_ONE:
            yield name, _property(row, row.value / 100.0, "C62")
        case float():
            yield name, _property(row, row.value, unit)


def _property(row: LatestRow, value: float | list[float], unit: str | None) -> Json:
    body: Json = {"type": "Property", "value": value, "observedAt": instant(row.at)}
    if unit is not None:
        body["unitCode"] = unit
    return {**body, "qualityFlag": {"type": "Property", "value": int(row.flag)}}


def _device_of(name: str) -> Json:
    return {"type": "Relationship", "object": f"urn:ngsi-ld:Device:{name}"}
