"""What comes seldom, aggregates, gaps and alert events, as rows to be inserted. Pure."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from cloud_sync.blob import to_ms
from contract.alert import Transition
from contract.consent import Purpose
from contract.ids import GatewayId
from contract.record import Aggregate, AlertRecord, Gap
from hub.feed import Change
from hub.store.selection import Row

AGGREGATE = "purpose, subject, quantity, start_ms, window_s, count, mean, minimum, maximum, samples"
GAP = "gateway, purpose, subject, quantity, start_ms, end_ms, reason, count"
ALERT = (
    "gateway, purpose, subject, alert, rule, rule_version, transition, at_ms, quantity, "
    "value, threshold, level, name_ja, name_en, evidence"
)
ALARM = "alert, gateway, purpose, at_ms, event, is_cleared"
FOLLOW_ALARM = (
    "ON CONFLICT (alert, gateway, purpose) DO UPDATE SET "
    "is_cleared = CASE WHEN excluded.is_cleared THEN excluded.is_cleared ELSE alarm.is_cleared END, "
    "event = CASE WHEN excluded.at_ms >= alarm.at_ms THEN excluded.event ELSE alarm.event END, "
    "at_ms = CASE WHEN excluded.at_ms >= alarm.at_ms THEN excluded.at_ms ELSE alarm.at_ms END"
)


@dataclass(frozen=True, slots=True)
class Source:
    """Who a record is from as far as the store may know: of a person's records `gateway` is None."""

    gateway: GatewayId | None
    purpose: Purpose | None


@dataclass(frozen=True, slots=True)
class AlertRows:
    """One alert event: the row of ALERT, and of ALARM all but the number its event was given."""

    event: Row
    key: tuple[str, str, str]
    at_ms: int
    is_cleared: bool

    def alarm(self, event: int) -> Row:
        """The row of ALARM once the event has its number."""
        return (*self.key, self.at_ms, event, self.is_cleared)


@dataclass(slots=True)
class Others:
    """Rows of what is not measured, in the order of the records."""

    aggregates: list[Row] = field(default_factory=list)
    gaps: list[Row] = field(default_factory=list)
    alerts: list[AlertRows] = field(default_factory=list)

    def add(self, source: Source, records: Iterable[Aggregate | Gap | AlertRecord]) -> set[Change]:
        """Take `records`; returns what to tell the feed once they are committed."""
        changes = set()
        for record in records:
            match record:
                case Aggregate():
                    self.aggregates.append(_aggregate(source, record))
                    changes.add(Change("released", source.gateway, record.subject, record.quantity))
                case Gap():
                    self.gaps.append(_gap(source, record))
                    changes.add(Change("gap", source.gateway, record.subject, record.quantity))
                case AlertRecord():
                    self.alerts.append(_alert(source, record))
                    changes.add(Change("alert", source.gateway, record.subject, record.alert.quantity))
        return changes


def _aggregate(source: Source, record: Aggregate) -> Row:
    span = (to_ms(record.start), record.window_s)
    statistics = (record.count, record.mean, record.minimum, record.maximum, record.samples)
    return (_text(source.purpose), record.subject, record.quantity, *span, *statistics)


def _gap(source: Source, record: Gap) -> Row:
    span = (to_ms(record.start), to_ms(record.end))
    who = (source.gateway, _text(source.purpose), record.subject)
    return (*who, record.quantity, *span, record.reason.value, record.count)


def _alert(source: Source, record: AlertRecord) -> AlertRows:
    alert, at_ms, purpose = record.alert, to_ms(record.alert.at), _text(source.purpose)
    told = (alert.id, alert.rule, alert.rule_version, alert.transition.value, at_ms, alert.quantity)
    measured = (alert.value, alert.threshold, alert.level, alert.name_ja, alert.name_en, json.dumps(alert.evidence))
    row = (source.gateway, purpose, record.subject, *told, *measured)
    key = (alert.id, source.gateway or "", purpose or "")
    return AlertRows(row, key, at_ms, alert.transition is Transition.CLEARED)


def _text(purpose: Purpose | None) -> str | None:
    return None if purpose is None else purpose.value
