"""The rules of this gateway, which of their alerts are active, and what of both survives a restart."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from agent.group import Group, base_of
from agent.rules.base import Rule
from cloud_sync.blob import decode, encode
from cloud_sync.correction import Mover, Settle, unsettled
from contract.alert import Alert, Transition
from contract.errors import ProtocolError, Tampered
from contract.ids import DeviceId
from contract.record import AlertRecord
from contract.sample import Sample

log = logging.getLogger(__name__)


class Alarms:
    """`rules`: per device, by a name that stays the same over restarts."""

    def __init__(self, rules: Mapping[DeviceId, Mapping[str, Rule]]) -> None:
        self._rules = rules
        self._active: dict[str, AlertRecord] = {}
        self._changed: set[str] = set()

    def resume(self, states: Mapping[str, Mapping[str, object]], settle: Settle = unsettled) -> None:
        """Take up alerts that were active; one that cannot be taken up starts anew, and that is said."""
        for name, rule in self._named():
            state = states.get(name)
            if state is None:
                continue
            try:
                rule.restore(_mapping(state.get("rule")))
                if record := _record(state.get("active")):
                    self._active[name] = _redated(record, settle(base_of(state.get("base"))))
            except (Tampered, ProtocolError):
                log.warning("rule %s: its alarm state does not read; the rule starts anew", name)

    def evaluate(self, sample: Sample) -> list[Alert]:
        """The events that a judged sample causes."""
        events: list[Alert] = []
        for name, rule in self._rules.get(sample.device, {}).items():
            for alert in rule.evaluate(sample):
                self._changed.add(name)
                self._active.pop(name, None)
                if alert.transition is not Transition.CLEARED:
                    self._active[name] = AlertRecord(sample.device, alert)
                events.append(alert)
        return events

    def forget(self, devices: Iterable[DeviceId]) -> list[Alert]:
        """End what is active on `devices`, whose values may no longer be judged; the events that say so."""
        ended = []
        for name, rule in [pair for device in devices for pair in self._rules.get(device, {}).items()]:
            rule.restore({})
            self._changed.add(name)
            if record := self._active.pop(name, None):
                ended.append(replace(record.alert, transition=Transition.CLEARED, level=0))
        return ended

    def redate(self, moved: Mover) -> None:
        """The clock was set: put the times of what is active right."""
        self._active = {name: _redated(record, moved) for name, record in self._active.items()}
        self._changed.update(self._active)

    def active(self) -> Sequence[AlertRecord]:
        """The latest event of every alert that has not cleared, under the device it is about."""
        return tuple(self._active.values())

    def snapshot(self, group: Group) -> None:
        """Add what has changed to a group that is about to be written."""
        for name, rule in self._named():
            if name in self._changed:
                record = self._active.get(name)
                active = encode([record]).hex() if record else ""
                group.alarms[name] = {"rule": rule.state(), "active": active, "base": group.base}
        self._changed.clear()

    def _named(self) -> list[tuple[str, Rule]]:
        return [pair for rules in self._rules.values() for pair in rules.items()]


def _redated(record: AlertRecord, moved: Mover) -> AlertRecord:
    return replace(record, alert=replace(record.alert, at=moved(record.alert.at)))


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise Tampered("alarm state holds no rule")
    return value


def _record(value: object) -> AlertRecord | None:
    """The alert event that `snapshot` wrote as a blob of one record."""
    if not isinstance(value, str):
        raise Tampered("alarm state holds no alert")
    if not value:
        return None
    try:
        (record,) = decode(bytes.fromhex(value))
    except ValueError as error:
        raise Tampered("alarm state holds no alert") from error
    if not isinstance(record, AlertRecord):
        raise Tampered("alarm state holds another record")
    return record
