"""What no single table of gateway.toml can see: ids used twice, references to what is not declared, drivers' and
rules' own keys, files. Every fault is noted in the document, none stops the check.

No person's id is ever part of a fault.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from agent.gateway_tables import ActuatorTable, DeviceTable, PersonTable, RuleTable
from agent.rules.registry import RULES
from contract.configuration import Document
from contract.errors import Misconfigured
from contract.plain_words import choices_fix
from contract.toml_lines import Path as Place
from drivers import registry as driver_registry

Checked = TypeVar("Checked", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Part(Generic[Checked]):
    """One table of the file: where it stands, as written, and checked (None when it has faults)."""

    at: Place
    written: Mapping[str, object]
    checked: Checked | None


def section(document: Document, name: str, model: type[Checked]) -> Checked | None:
    """The table `[name]` as a `model`; without the table its defaults count. None when it has faults."""
    table = document.table.get(name, {})
    if name not in document.table and any(field.is_required() for field in model.model_fields.values()):
        return None  # that the table is missing is noted already
    return document.check(model, table, (name,)) if isinstance(table, dict) else None


def sections(document: Document, name: str, model: type[Checked]) -> tuple[Part[Checked], ...]:
    """Every `[[name]]`, with those keys checked that the model knows; the others are somebody else's."""
    tables = document.table.get(name, [])
    is_whole = model not in (DeviceTable, RuleTable)
    return tuple(
        Part((name, index), table, document.check(model, _own(table, model, is_whole), (name, index)))
        for index, table in enumerate(tables if isinstance(tables, list) else [])
        if isinstance(table, dict)
    )


def _own(table: Mapping[str, object], model: type[BaseModel], is_whole: bool) -> Mapping[str, object]:
    return {key: value for key, value in table.items() if is_whole or key in model.model_fields}


def check_ids(document: Document, parts: Iterable[Part[DeviceTable] | Part[PersonTable] | Part[ActuatorTable]]) -> None:
    """Note every id that an earlier table of the same sort has."""
    seen: dict[tuple[str | int, str], Place] = {}
    for part in parts:
        written = part.written.get("id")
        if not isinstance(written, str):
            continue
        first = seen.setdefault((part.at[0], written), part.at)
        if first != part.at:
            cause = f"the id of this [[{part.at[0]}]] is taken by the one on line {document.line(first)}"
            document.fault((*part.at, "id"), cause, "Give each an id of its own")


def check_password_file(document: Document, folder: Path) -> None:
    """Note a password file that is absent, empty or readable by others, whatever else is wrong in `[hub]`."""
    at: Place = ("hub", "password_file")
    hub = document.table.get("hub")
    name = hub.get("password_file") if isinstance(hub, dict) else None
    if not isinstance(name, str) or not name or not name.isprintable():
        return  # noted by the table's own check
    path = folder / name
    try:
        facts = path.stat()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        fix = "Copy the file there that `kanmon-hub gateway add` made at the hub"
        document.fault(at, f"the password file cannot be read: {reason}", fix)
        return
    if not path.is_file() or not facts.st_size:
        document.fault(at, "the password file is empty or no file", "Copy the file of the hub there once more")
    elif facts.st_mode & 0o077:
        document.fault(at, "others than its owner can read the password file", f"chmod 600 {path.name}")


def driver_config(document: Document, part: Part[DeviceTable], folder: Path) -> BaseModel | None:
    """The driver's own settings of a device, read by the driver's model."""
    kind = _known_kind(document, part, driver_registry.kinds())
    if kind is None:
        return None
    try:
        module = driver_registry.load(kind)
    except Misconfigured as error:
        for fault in error.faults:
            document.fault((*part.at, "kind"), fault.cause, fault.fix)
        return None
    if getattr(module, "IS_WORN", False) and "person" not in part.written:
        document.fault(part.at, f"'person' is missing: a {kind} is worn by somebody", 'Add person = "..."')
    return _config(document, part, DeviceTable, module.Config, folder)


def rule_config(document: Document, part: Part[RuleTable], folder: Path) -> BaseModel | None:
    """The rule's own settings, read by the rule's model."""
    kind = _known_kind(document, part, tuple(RULES))
    return _config(document, part, RuleTable, RULES[kind].Config, folder) if kind is not None else None


def _known_kind(document: Document, part: Part[Any], kinds: Sequence[str]) -> str | None:  # Any: of either sort
    kind = part.written.get("kind")
    if not isinstance(kind, str):
        return None  # noted by the table's own check
    if kind not in kinds:
        document.fault((*part.at, "kind"), f"no [[{part.at[0]}]] has this kind", choices_fix(kind, kinds))
        return None
    return kind


def _config(
    document: Document, part: Part[Any], table: type[BaseModel], model: type[BaseModel], folder: Path
) -> BaseModel | None:
    own = {key: value for key, value in part.written.items() if key not in table.model_fields}
    return document.check(model, own, part.at, {"folder": folder}, tuple(table.model_fields))


def check_devices(
    document: Document,
    devices: Sequence[Part[DeviceTable]],
    configs: Sequence[BaseModel | None],
    persons: Sequence[Part[PersonTable]],
) -> None:
    """Note a device of an undeclared person, a wearable of nobody, and two tables that read the same device."""
    declared = {part.written.get("id") for part in persons}
    read: dict[tuple[str, str], Place] = {}
    for part, config in zip(devices, configs, strict=True):
        table = part.checked
        if table is None:
            continue
        if table.person is not None and table.person not in declared:
            document.fault((*part.at, "person"), "no [[person]] has this id", "Add the [[person]], or correct the id")
        if config is None:
            continue
        key = (table.kind, _what_it_reads(part, config))
        first = read.setdefault(key, part.at)
        if first != part.at:
            cause = f"this [[device]] reads the same device as the one on line {document.line(first)}"
            document.fault(part.at, cause, "Remove one of them, or correct the address")


def _what_it_reads(part: Part[DeviceTable], config: BaseModel) -> str:
    """The keys that the driver's model names in ONE_READER, else everything that is said to the driver."""
    keys: tuple[str, ...] = getattr(config, "ONE_READER", ())
    own = {key: getattr(config, key) for key in keys} or {
        key: value for key, value in part.written.items() if key not in DeviceTable.model_fields
    }
    return json.dumps(own, sort_keys=True, default=str)


def check_rules(
    document: Document,
    rules: Sequence[Part[RuleTable]],
    devices: Sequence[Part[DeviceTable]],
    persons: Sequence[Part[PersonTable]],
) -> None:
    """Note a rule about a device or a person that is not declared."""
    known = {
        "device": {part.written.get("id") for part in devices},
        "person": {part.written.get("id") for part in persons},
    }
    for part in rules:
        for key, ids in known.items():
            named = part.written.get(key)
            if isinstance(named, str) and named not in ids:
                document.fault((*part.at, key), f"no [[{key}]] has this id", f"Add the [[{key}]], or correct the id")


def check_actuators(
    document: Document, actuators: Sequence[Part[ActuatorTable]], rules: Sequence[Part[RuleTable]]
) -> None:
    """Note an actuator that waits for a rule nobody declared, and would never act."""
    kinds = [str(part.written.get("kind")) for part in rules]
    for part in actuators:
        for index, kind in enumerate(part.checked.rules if part.checked else ()):
            if kind not in kinds:
                fix = choices_fix(kind, sorted(set(kinds))) if kinds else f'Add a [[rule]] with kind = "{kind}"'
                document.fault((*part.at, "rules", index), "no [[rule]] has this kind, so it never acts", fix)
