"""THE table of quantities: name, units, possible range, personal-data class and names in each language and format.

A quantity is one row. `low` and `high` are what is physically possible (a value outside is FAIL), not what is
dangerous.
Units: UCUM (ucum.org) and the UN/CEFACT common code (Recommendation 20).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Shape(StrEnum):
    """How a value of the quantity is written: one number, a list of numbers, or a fix."""

    SCALAR = "scalar"
    SERIES = "series"
    POSITION = "position"


class PersonalClass(StrEnum):
    """What the quantity says about a person when the device belongs to one."""

    NONE = "none"
    VITAL = "vital"
    LOCATION = "location"
    TECHNICAL = "technical"
    """Battery and the like: harmless of a thing, still personal data when the device is worn."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """One row: `unit` is UCUM, `unit_code` UN/CEFACT, `symbol` what a page prints, `ngsi` the NGSI-LD attribute."""

    name: str
    shape: Shape
    unit: str
    unit_code: str
    symbol: str
    low: float
    high: float
    personal: PersonalClass
    ja: str
    en: str
    ngsi: str
    decimals: int
    """Decimals a page shows; storage keeps every digit the device sent."""


# fmt: off
def _rows() -> tuple[Quantity, ...]:
    scalar, none, vital, technical = Shape.SCALAR, PersonalClass.NONE, PersonalClass.VITAL, PersonalClass.TECHNICAL
    location = PersonalClass.LOCATION
    return (
        Quantity("water_level", scalar, "m", "MTR", "m", -10, 50, none, "水位", "Water level", "waterLevel", 2),
        Quantity("rainfall", scalar, "mm", "MMT", "mm", 0, 10000, none, "雨量（積算）", "Rainfall (counter)", "precipitation", 1),
        Quantity("air_temperature", scalar, "Cel", "CEL", "°C", -60, 70, none, "気温", "Air temperature", "temperature", 1),
        Quantity("humidity", scalar, "%", "P1", "%", 0, 100, none, "湿度", "Relative humidity", "relativeHumidity", 1),
        Quantity("pressure", scalar, "hPa", "A97", "hPa", 500, 1100, none, "気圧", "Air pressure", "atmosphericPressure", 1),
        Quantity("wind_speed", scalar, "m/s", "MTS", "m/s", 0, 100, none, "風速", "Wind speed", "windSpeed", 1),
        Quantity("wind_direction", scalar, "deg", "DD", "°", 0, 360, none, "風向", "Wind direction", "windDirection", 0),
        Quantity("irradiance", scalar, "W/m2", "D54", "W/m²", 0, 2000, none, "日射量", "Irradiance", "solarRadiation", 0),
        Quantity("device_counter", scalar, "1", "C62", "", 0, 4294967295, none, "通し番号", "Device counter", "deviceCounter", 0),
        Quantity("raw_value", scalar, "1", "C62", "", -1e12, 1e12, none, "生の値", "Raw value", "rawValue", 3),
        Quantity("heart_rate", scalar, "/min", "BPM", "bpm", 20, 300, vital, "心拍数", "Heart rate", "heartRate", 0),
        Quantity("rr_interval", Shape.SERIES, "s", "SEC", "s", 0.2, 5, vital, "心拍間隔", "RR interval", "rrInterval", 3),
        Quantity("energy_expended", scalar, "kJ", "KJO", "kJ", 0, 65535, vital, "消費エネルギー", "Energy expended", "energyExpended", 0),
        Quantity("battery_level", scalar, "%", "P1", "%", 0, 100, technical, "電池残量", "Battery level", "batteryLevel", 0),
        Quantity("position", Shape.POSITION, "deg", "DD", "°", -180, 180, location, "位置", "Position", "location", 5),
        Quantity("mesh_cell", scalar, "1", "C62", "", 0, 1e12, location, "地域メッシュ", "Mesh cell", "meshCode", 0),
        Quantity("altitude", scalar, "m", "MTR", "m", -500, 20000, none, "標高", "Altitude", "altitude", 1),
        Quantity("satellites", scalar, "1", "C62", "", 0, 99, none, "衛星数", "Satellites used", "satelliteCount", 0),
    )
# fmt: on


QUANTITIES: Mapping[str, Quantity] = MappingProxyType({row.name: row for row in _rows()})
