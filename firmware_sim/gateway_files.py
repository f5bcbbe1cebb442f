"""Writes what an installer of the demo's gateway would write: gateway.toml and the river station's register map."""

import json
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from firmware_sim.plan import BUS, GATEWAY, PULSE_LIMIT_BPM, PULSE_WINDOW_S, RIVER, WEARERS, Layout
from firmware_sim.ports import HOST, Ports

STATION_PERIOD_S = 0.5
_Value = str | int | float | tuple[int, ...]

_REGISTERS: tuple[dict[str, _Value], ...] = (
    {"quantity": "device_counter", "address": 1, "type": "uint32"},
    {"quantity": "water_level", "address": 3, "type": "int32", "scale": 0.001, "invalid": (0x7FFFFFFF,)},
    {"quantity": "air_temperature", "address": 5, "type": "int16", "scale": 0.1, "invalid": (0x7FFF,)},
    {"quantity": "humidity", "address": 6, "type": "uint16", "scale": 0.1, "invalid": (0xFFFF,)},
    {"quantity": "pressure", "address": 7, "type": "float32", "word_order": "little"},
    {"quantity": "wind_speed", "address": 9, "type": "uint16", "scale": 0.1, "invalid": (0xFFFF,)},
    {"quantity": "wind_direction", "address": 10, "type": "uint16", "invalid": (0xFFFF,)},
    {"quantity": "rainfall", "address": 11, "type": "uint16", "scale": 0.5},
)
"""From the manual of the simulated station (river_station.py), which counts registers from 1."""


def write(
    layout: Layout,
    ports: Ports,
    stages_m: Iterable[tuple[int, float]],
    mqtt_ports: Sequence[int] = (),
    hub_keys: Mapping[str, float] = MappingProxyType({}),
) -> None:
    """Write both files. Raises OSError.

    `stages_m`: (stage, threshold in metres), rising. `mqtt_ports`: of several brokers, or of one that is reached in
    another way than `ports` says. `hub_keys`: what else the table [hub] holds.
    """
    layout.register_map.write_text(_register_map(), encoding="utf-8")
    urls = [f"mqtt://{HOST}:{port}" for port in mqtt_ports or (ports.mqtt,)]
    hub = _table("[hub]", urls=urls, password_file=str(layout.password), **hub_keys)
    layout.settings.write_text(_gateway(layout, ports, stages_m, hub), encoding="utf-8")


def _gateway(layout: Layout, ports: Ports, stages_m: Iterable[tuple[int, float]], hub: str) -> str:
    parts = [
        _table("[gateway]", id=GATEWAY, name="唐戸ゲートウェイ"),
        hub,
        _river(layout, ports),
        # The demo runs at any hour of the day, and its bus is to be seen.
        _table(
            "[[device]]",
            id=BUS,
            kind="nmea_receiver",
            name="市内循環 1号車",
            service_hours="00:00-24:00",
            port=str(layout.town.gnss_port),
            baud=9600,
        ),
    ]
    for wearer in WEARERS:
        parts.append(_table("[[person]]", id=wearer.person))
        strap = {"id": wearer.strap, "kind": "ble_heart_rate", "person": wearer.person, "address": wearer.address}
        parts.append(_table("[[device]]", **strap, stale_after_s=30))
    parts.append(_table("[[rule]]", kind="river_stage", device=RIVER))
    parts.extend(_table("[[rule.stage]]", level=level, threshold_m=threshold_m) for level, threshold_m in stages_m)
    pulse = {"limit_bpm": PULSE_LIMIT_BPM, "window_s": PULSE_WINDOW_S}
    parts.append(_table("[[rule]]", kind="pulse_high_at_rest", **pulse))
    return "\n".join(parts)


def _river(layout: Layout, ports: Ports) -> str:
    return _table(
        "[[device]]",
        id=RIVER,
        kind="modbus",
        name="木屋川 水位計",
        latitude=34.0842,
        longitude=131.0326,
        host=HOST,
        port=ports.modbus,
        unit_id=1,
        timeout_s=1.0,
        map=layout.register_map.name,
    )


def _register_map() -> str:
    head = _table("", name="River level and weather station", period_s=STATION_PERIOD_S, address_base=1)
    return "\n".join([head, *(_table("[[register]]", table="input", **register) for register in _REGISTERS)])


def _table(head: str, **keys: object) -> str:
    # JSON's strings, numbers and arrays of them are TOML as well.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in keys.items()]
    return "\n".join([*([head] if head else []), *lines, ""])
