"""A river level and weather station as its manual describes it: what is in which input register.

The manual counts registers from 1. All values of one answer were measured at one instant.

| register | type                   | quantity          | step   | "no value" |
|----------|------------------------|-------------------|--------|------------|
| 1-2      | uint32                 | number of answer  | 1      |            |
| 3-4      | int32                  | water level       | 1 mm   | 0x7FFFFFFF |
| 5        | int16                  | air temperature   | 0.1 °C | 0x7FFF     |
| 6        | uint16                 | humidity          | 0.1 %  | 0xFFFF     |
| 7-8      | float32 LOW word first | air pressure, hPa |        | NaN        |
| 9        | uint16                 | wind speed        | 0.1 m/s| 0xFFFF     |
| 10       | uint16                 | wind direction    | 1°     | 0xFFFF     |
| 11       | uint16                 | rain since power-up, tips of the bucket; 65535 is followed by 0 | 0.5 mm | |
"""

import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType

from firmware_sim.modbus_pdu import Span, Table, Tables
from firmware_sim.modbus_station import Equipment, Said

REGISTERS = 11
TIP_MM = 0.5
_NO_INT32, _NO_INT16, _NO_UINT16 = 0x7FFFFFFF, 0x7FFF, 0xFFFF
_TIPS = 2**16

SPANS: Mapping[str, Span] = MappingProxyType(
    {
        "device_counter": Span(Table.INPUT, 0, 2),
        "water_level": Span(Table.INPUT, 2, 2),
        "air_temperature": Span(Table.INPUT, 4, 1),
        "humidity": Span(Table.INPUT, 5, 1),
        "pressure": Span(Table.INPUT, 6, 2),
        "wind_speed": Span(Table.INPUT, 8, 1),
        "wind_direction": Span(Table.INPUT, 9, 1),
        "rainfall": Span(Table.INPUT, 10, 1),
    }
)

Weather = Mapping[str, float]
"""Quantity name to value in the quantity's unit; a quantity that is absent has no value (its sensor is broken)."""


def river_station(weather: Callable[[], Weather]) -> Equipment:
    """The station; `weather` is asked once for each answer."""

    def measure(tables: Tables, number: int) -> Said:
        tables.input, said = registers(weather(), number)
        return said

    return Equipment(Tables(input=bytes(2 * REGISTERS)), measure, SPANS)


def registers(weather: Weather, number: int) -> tuple[bytes, Said]:
    """The registers of answer `number`, and the quantities a master reads out of them, rounded to the steps.

    ValueError when a value does not fit its register.
    """
    number %= 2**32
    try:
        level, level_m = _steps(weather, "water_level", 1000, _NO_INT32)
        temperature, temperature_c = _steps(weather, "air_temperature", 10, _NO_INT16)
        humidity, humidity_pct = _steps(weather, "humidity", 10, _NO_UINT16)
        speed, speed_mps = _steps(weather, "wind_speed", 10, _NO_UINT16)
        direction, direction_deg = _steps(weather, "wind_direction", 1, _NO_UINT16)
        pressure = struct.pack(">f", weather.get("pressure", float("nan")))
        tips = int(weather.get("rainfall", 0.0) / TIP_MM) % _TIPS
        words = struct.pack(">IihH", number, level, temperature, humidity) + pressure[2:] + pressure[:2]
        words += struct.pack(">HHH", speed, direction, tips)
    except (struct.error, OverflowError) as error:
        raise ValueError("a value does not fit its register") from error
    said = {
        "device_counter": float(number),
        **level_m,
        **temperature_c,
        **humidity_pct,
        **({"pressure": struct.unpack(">f", pressure)[0]} if "pressure" in weather else {}),
        **speed_mps,
        **direction_deg,
        "rainfall": tips * TIP_MM,
    }
    return words, said


def _steps(weather: Weather, name: str, per_unit: int, absent: int) -> tuple[int, dict[str, float]]:
    """The register's value and, when the sensor has one, the quantity that it says."""
    if name not in weather:
        return absent, {}
    steps = round(weather[name] * per_unit)
    return steps, {name: steps / per_unit}
