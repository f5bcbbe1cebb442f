"""The settings of one gateway, read from gateway.toml and checked whole, with what the file names.

`load` gives one object that can be trusted, or Misconfigured with every fault. What each table may hold is in
`agent.gateway_tables`; what tables say of each other is checked in `agent.settings_check`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from agent.anonymise import ServiceHours
from agent.gateway_tables import (
    ActuatorTable,
    DeviceTable,
    GatewayTable,
    HubTable,
    OutboxTable,
    PersonTable,
    RuleTable,
    Sections,
    service_hours,
)
from agent.settings_check import (
    Part,
    check_actuators,
    check_devices,
    check_ids,
    check_password_file,
    check_rules,
    driver_config,
    rule_config,
    section,
    sections,
)
from cloud_sync.link_settings import LinkSettings
from contract.configuration import Document
from contract.errors import Fault, Misconfigured
from contract.ids import DeviceId, GatewayId, PersonId


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Who this gateway is. `folder` is where gateway.toml lies; relative file names start there."""

    id: GatewayId
    name: str
    folder: Path


@dataclass(frozen=True, slots=True)
class HubSettings:
    """Where the hub is, in the order in which its addresses are tried, and how the link to it behaves."""

    urls: tuple[str, ...]
    password_file: Path
    link: LinkSettings


@dataclass(frozen=True, slots=True)
class OutboxSettings:
    """How long readings are gathered before a commit, how many records one message holds, and how large the file is."""

    linger_s: float
    batch_records: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fixed device stands, WGS84."""

    lat_deg: float
    lon_deg: float


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """One device; `config` is its driver's own model. `person` wears it; `service_hours` are those of a vehicle."""

    id: DeviceId
    kind: str
    name: str
    person: PersonId | None
    place: Place | None
    service_hours: ServiceHours | None
    config: BaseModel


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """One rule; `config` is the rule's own model."""

    kind: str
    config: BaseModel


@dataclass(frozen=True, slots=True)
class ActuatorSettings:
    """Something to switch while an alert of one of `rules` (kinds) lasts."""

    id: str
    kind: str
    path: Path
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that gateway.toml says."""

    gateway: GatewaySettings
    hub: HubSettings
    outbox: OutboxSettings
    devices: tuple[DeviceSettings, ...]
    persons: tuple[PersonId, ...]
    rules: tuple[RuleSettings, ...]
    actuators: tuple[ActuatorSettings, ...]


def load(path: Path) -> Settings:
    """The settings in the file at `path`. Raises Misconfigured with everything that is wrong in it."""
    document = Document(_text(path), str(path))
    folder = path.absolute().parent
    document.check(Sections, document.table)
    gateway = section(document, "gateway", GatewayTable)
    hub = section(document, "hub", HubTable)
    outbox = section(document, "outbox", OutboxTable)
    persons = sections(document, "person", PersonTable)
    devices = sections(document, "device", DeviceTable)
    rules = sections(document, "rule", RuleTable)
    actuators = sections(document, "actuator", ActuatorTable)

    check_ids(document, [*persons, *devices, *actuators])
    check_password_file(document, folder)
    device_configs = [driver_config(document, part, folder) for part in devices]
    rule_configs = [rule_config(document, part, folder) for part in rules]
    check_devices(document, devices, device_configs, persons)
    check_rules(document, rules, devices, persons)
    check_actuators(document, actuators, rules)
    if gateway is None or hub is None or outbox is None:
        raise document.misconfigured()
    document.close()
    return Settings(
        gateway=GatewaySettings(GatewayId(gateway.id), gateway.name, folder),
        hub=HubSettings(hub.urls, folder / hub.password_file, _link(hub, outbox)),
        outbox=OutboxSettings(outbox.linger_ms / 1000, outbox.batch_records, outbox.max_mib * 2**20),
        devices=_devices(devices, device_configs),
        persons=tuple(PersonId(part.checked.id) for part in persons if part.checked),
        rules=_rules(rules, rule_configs),
        actuators=_actuators(actuators, folder),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        fix = "Name it with --config; deploy/examples/gateway.toml is one to start from"
        fault = Fault(str(path), 1, "the file is not there", fix)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        fault = Fault(str(path), line, "the text is not UTF-8", "Save the file as UTF-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        fault = Fault(str(path), 1, f"the file cannot be read: {reason}", "Give this user the right to read it")
    raise Misconfigured(fault)


def _link(hub: HubTable, outbox: OutboxTable) -> LinkSettings:
    return LinkSettings(
        batch_records=outbox.batch_records,
        keepalive_s=hub.keepalive_s,
        publish_timeout_s=hub.publish_timeout_s,
        resend_first_s=hub.resend_first_s,
        max_bytes_per_s=hub.max_kib_per_s * 1024 if hub.max_kib_per_s is not None else None,
    )


def _devices(parts: Sequence[Part[DeviceTable]], configs: Sequence[BaseModel | None]) -> tuple[DeviceSettings, ...]:
    return tuple(
        DeviceSettings(
            DeviceId(table.id),
            table.kind,
            table.name,
            PersonId(table.person) if table.person is not None else None,
            _place(table),
            service_hours(table.service_hours) if table.service_hours is not None else None,
            config,
        )
        for part, config in zip(parts, configs, strict=True)
        if (table := part.checked) is not None and config is not None
    )


def _place(table: DeviceTable) -> Place | None:
    if table.latitude is None or table.longitude is None:
        return None
    return Place(table.latitude, table.longitude)


def _rules(parts: Sequence[Part[RuleTable]], configs: Sequence[BaseModel | None]) -> tuple[RuleSettings, ...]:
    return tuple(
        RuleSettings(part.checked.kind, config)
        for part, config in zip(parts, configs, strict=True)
        if part.checked is not None and config is not None
    )


def _actuators(parts: Sequence[Part[ActuatorTable]], folder: Path) -> tuple[ActuatorSettings, ...]:
    return tuple(
        ActuatorSettings(table.id, table.kind, folder / table.path, table.rules)
        for part in parts
        if (table := part.checked) is not None
    )
