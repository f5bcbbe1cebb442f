"""Writing what comes seldom: aggregates, gaps and alert events, one row a record."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from cloud_sync.blob import to_ms
from contract.alert import Transition
from contract.consent import Purpose
from contract.ids import GatewayId
from contract.record import Aggregate, AlertRecord, Gap
from hub.feed import Change
from hub.store.database import Connection
from hub.store.insertion import insert

_AGGREGATE = "purpose, subject, quantity, start_ms, window_s, count, mean, minimum, maximum, samples"
_GAP = "gateway, purpose, subject, quantity, start_ms, end_ms, reason, count"
_ALERT = (
    "INSERT INTO alert_event (gateway, purpose, subject, alert, rule, rule_version, transition, at_ms, quantity, "
    "value, threshold, level, name_ja, name_en, evidence) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"
)
_FOLLOW_ALARM = (
    "INSERT INTO alarm (alert, gateway, purpose, at_ms, event, is_cleared) VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (alert, gateway, purpose) DO UPDATE SET is_cleared = max(is_cleared, excluded.is_cleared), "
    "event = iif(excluded.at_ms >= at_ms, excluded.event, event), at_ms = max(at_ms, excluded.at_ms)"
)


@dataclass(frozen=True, slots=True)
class Source:
    """Who a record is from as far as the store may know: of a person's records `gateway` is None."""

    gateway: GatewayId | None
    purpose: Purpose | None


def write_others(
    connection: Connection, source: Source, records: Sequence[Aggregate | Gap | AlertRecord]
) -> set[Change]:
    """Insert `records`; returns what to tell the feed."""
    changes = set()
    for record in records:
        match record:
            case Aggregate():
                _aggregate(connection, source, record)
                changes.add(Change("released", source.gateway, record.subject, record.quantity))
            case Gap():
                _gap(connection, source, record)
                changes.add(Change("gap", source.gateway, record.subject, record.quantity))
            case AlertRecord():
                _alert(connection, source, record)
                changes.add(Change("alert", source.gateway, record.subject, record.alert.quantity))
    return changes


def _aggregate(connection: Connection, source: Source, record: Aggregate) -> None:
    span = (to_ms(record.start), record.window_s)
    statistics = (record.count, record.mean, record.minimum, record.maximum, record.samples)
    row = (source.purpose, record.subject, record.quantity, *span, *statistics)
    insert(connection, "aggregate", _AGGREGATE, [row])


def _gap(connection: Connection, source: Source, record: Gap) -> None:
    span = (to_ms(record.start), to_ms(record.end))
    row = (source.gateway, source.purpose, record.subject, record.quantity, *span, record.reason, record.count)
    insert(connection, "gap", _GAP, [row])


def _alert(connection: Connection, source: Source, record: AlertRecord) -> None:
    alert, at_ms = record.alert, to_ms(record.alert.at)
    told = (alert.id, alert.rule, alert.rule_version, alert.transition, at_ms, alert.quantity)
    measured = (alert.value, alert.threshold, alert.level, alert.name_ja, alert.name_en, json.dumps(alert.evidence))
    row = (source.gateway, source.purpose, record.subject, *told, *measured)
    (event,) = connection.execute(_ALERT, row).fetchone()
    is_cleared = alert.transition is Transition.CLEARED
    key = (alert.id, source.gateway or "", source.purpose or "")
    connection.execute(_FOLLOW_ALARM, (*key, at_ms, event, is_cleared))
