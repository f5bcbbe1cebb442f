"""Which kind of device is served by which module. A module is imported when a device of its kind is configured."""

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import cast

from contract.errors import Fault, Misconfigured
from drivers.base import DriverModule

ENTRY_POINT_GROUP = "kanmon.drivers"

DRIVERS: Mapping[str, str] = MappingProxyType(
    {
        "ble_heart_rate": "drivers.ble_heart_rate",
        "modbus": "drivers.modbus",
        "nmea_receiver": "drivers.nmea_receiver",
    }
)
"""Kind -> module. One line a driver; plug-ins of other packages come by entry point instead."""


def kinds() -> tuple[str, ...]:
    """Every kind that can be configured here, in order: the table's, then installed plug-ins'."""
    plugged_in = {point.name for point in entry_points(group=ENTRY_POINT_GROUP)}
    return (*sorted(DRIVERS), *sorted(plugged_in - DRIVERS.keys()))


def load(kind: str) -> DriverModule:
    """The module that serves `kind`, imported now.

    Raises Misconfigured when nobody serves the kind, or when the library its link needs is not installed.
    """
    try:
        return _module(kind)
    except ModuleNotFoundError as error:
        fault = Fault(
            "gateway.toml",
            0,
            f'devices of kind "{kind}" need {error.name}, not installed',
            "pip install kanmon[gateway]",
        )
        raise Misconfigured(fault) from error


def _module(kind: str) -> DriverModule:
    if kind in DRIVERS:
        return cast(DriverModule, import_module(DRIVERS[kind]))  # a module has no static type to check
    for point in entry_points(group=ENTRY_POINT_GROUP, name=kind):
        return cast(DriverModule, point.load())
    known = ", ".join(kinds())
    raise Misconfigured(Fault("gateway.toml", 0, f'nothing serves devices of kind "{kind}"', f"Use one of: {known}"))
