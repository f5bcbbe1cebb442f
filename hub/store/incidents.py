"""Questions about alerts and declared gaps. Pure."""

import json
from collections.abc import Collection

from cloud_sync.blob import from_ms
from contract.alert import Alert, Transition
from contract.consent import Purpose
from contract.ids import AlertId, GatewayId
from contract.record import GapReason
from hub.store.dialect import Dialect
from hub.store.paging import from_cursor
from hub.store.rows import AlertRow, GapRow, Page
from hub.store.selection import EVER, Cells, Question, as_list, page, select


def alerts(
    dialect: Dialect, purposes: Collection[str], open_only: bool, limit: int, cursor: str | None
) -> Question[Page[AlertRow]]:
    """Events newest first; with `open_only` the latest event of each alert that is not cleared."""
    at, id_ = from_cursor(cursor, 2) if cursor else (EVER[1], 0)
    columns = (
        "e.id, e.gateway, e.purpose, e.subject, e.alert, e.rule, e.rule_version, e.transition, e.at_ms, e.quantity, "
        f"{dialect.exact('e.value')}, {dialect.exact('e.threshold')}, e.level, e.name_ja, e.name_en, e.evidence"
    )
    allowed = dialect.listed("purposes")
    chosen = (
        f"FROM alarm AS a JOIN alert_event AS e ON e.id = a.event WHERE NOT a.is_cleared AND a.purpose IN {allowed}"
        if open_only
        else f"FROM alert_event AS e WHERE coalesce(e.purpose, '') IN {allowed}"
    )
    body = f"{chosen} AND (e.at_ms, e.id) < (:at, :id) ORDER BY e.at_ms DESC, e.id DESC LIMIT :limit + 1"
    return Question(
        select(dialect, columns, body),
        {"purposes": as_list(purposes), "at": at, "id": id_, "limit": limit},
        lambda rows: page(rows, limit, _alert, lambda cells: (cells[8], cells[0])),
    )


def gaps(dialect: Dialect, purposes: Collection[str], limit: int, cursor: str | None) -> Question[Page[GapRow]]:
    """Gaps in the order they were declared, newest first."""
    (id_,) = from_cursor(cursor, 1) if cursor else (EVER[1],)
    columns = "id, gateway, purpose, subject, quantity, start_ms, end_ms, reason, count"
    body = (
        f"FROM gap WHERE id < :id AND coalesce(purpose, '') IN {dialect.listed('purposes')} "
        "ORDER BY id DESC LIMIT :limit + 1"
    )
    return Question(
        select(dialect, columns, body),
        {"purposes": as_list(purposes), "id": id_, "limit": limit},
        lambda rows: page(rows, limit, _gap, lambda cells: (cells[0],)),
    )


def _alert(cells: Cells) -> AlertRow:
    id_, gateway, purpose, subject, alert, rule, version, transition, at_ms, *said = cells
    told = (AlertId(alert), rule, version, Transition(transition), from_ms(at_ms))
    quantity, number, threshold, level, name_ja, name_en, evidence = said
    numbers = tuple((name, number) for name, number in json.loads(evidence))
    event = Alert(*told, quantity, number, threshold, level, name_ja, name_en, numbers)
    return AlertRow(event, *_source(gateway, purpose), subject, id_)


def _gap(cells: Cells) -> GapRow:
    _, gateway, purpose, subject, quantity, start_ms, end_ms, reason, count = cells
    span = (from_ms(start_ms), from_ms(end_ms))
    return GapRow(*_source(gateway, purpose), subject, quantity, *span, GapReason(reason), count)


def _source(gateway: str | None, purpose: str | None) -> tuple[GatewayId | None, Purpose | None]:
    return None if gateway is None else GatewayId(gateway), None if purpose is None else Purpose(purpose)
