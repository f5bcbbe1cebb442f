"""Questions about what persons released: measurements and aggregates, by purpose. Runs in the file's thread."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from cloud_sync.blob import from_ms, to_ms
from contract.consent import Purpose
from contract.sample import Flag
from hub.arrival import CLOCKS
from hub.store.database import Connection
from hub.store.insertion import SqlValue
from hub.store.paging import from_cursor
from hub.store.rows import AggregateRow, Page, ReceivedRow, ReleasedRow
from hub.store.selection import Cells, exact, page, select, value
from hub.store.things import EVER

_RELEASED = f"s.purpose, s.subject, s.quantity, r.at_ms, {exact('r.value')}, r.flag, r.clock, r.id"
_BOUNDED = """
WITH bounded AS MATERIALIZED (
    SELECT id, coalesce((
        SELECT r.at_ms FROM released AS r WHERE r.series = released_series.id AND r.at_ms >= :start
        AND (r.at_ms, r.id) > (:at, :id) ORDER BY r.at_ms LIMIT 1 OFFSET :limit
    ), :end) AS bound
    FROM released_series
    WHERE purpose IN (SELECT value FROM json_each(:purposes)) AND (:subject IS NULL OR subject = :subject)
    AND (:quantity IS NULL OR quantity = :quantity)
)"""
_HISTORY = """
FROM bounded AS b CROSS JOIN released AS r ON r.series = b.id AND r.at_ms >= :start AND r.at_ms <= b.bound
JOIN released_series AS s ON s.id = r.series
WHERE r.at_ms < :end AND (r.at_ms, r.id) > (:at, :id) ORDER BY r.at_ms, r.id LIMIT :limit + 1"""
_NEWEST = """
FROM released_series AS s JOIN released AS r
ON r.id = (SELECT n.id FROM released AS n WHERE n.series = s.id ORDER BY n.at_ms DESC, n.id DESC LIMIT 1)
WHERE s.purpose IN (SELECT value FROM json_each(:purposes)) ORDER BY s.purpose, s.subject, s.quantity"""
_AGGREGATE = (
    f"purpose, subject, quantity, start_ms, {exact('window_s')}, count, {exact('mean')}, {exact('minimum')}, "
    f"{exact('maximum')}, samples"
)
_AGGREGATES = """
FROM aggregate WHERE start_ms >= :start AND start_ms < :end AND purpose = :purpose AND quantity = :quantity
ORDER BY start_ms, id"""
# A window is no longer than a day, nor does a total overflow, whatever a gateway says.
_RECEIVED = (
    "CAST(total(samples) AS INTEGER), count(DISTINCT start_ms), min(start_ms), "
    "max(start_ms + CAST(min(max(window_s, 0), 86400) * 1000 AS INTEGER))"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records are asked for; `purposes` holds '' for things. None means any."""

    purposes: Collection[str]
    subject: str | None = None
    quantity: str | None = None
    start: datetime | None = None
    end: datetime | None = None


def released(connection: Connection, wanted: Wanted, limit: int, cursor: str | None) -> Page[ReleasedRow]:
    """Released measurements, oldest first."""
    at, id_ = from_cursor(cursor, 2) if cursor else (EVER[0], 0)
    start = EVER[0] if wanted.start is None else to_ms(wanted.start)
    end = EVER[1] if wanted.end is None else to_ms(wanted.end)
    span = {"start": max(start, at), "end": end, "at": at, "id": id_, "limit": limit}
    arguments = {**_who(wanted), "quantity": wanted.quantity, **span}
    rows = select(connection, _RELEASED, _HISTORY, arguments, _BOUNDED)
    return page(rows, limit, _released, lambda cells: (cells[3], cells[7]))


def released_latest(connection: Connection, purposes: Collection[str]) -> tuple[ReleasedRow, ...]:
    """The newest measurement of each subject and quantity."""
    return tuple(map(_released, select(connection, _RELEASED, _NEWEST, {"purposes": _list(purposes)})))


def aggregates(
    connection: Connection, purpose: Purpose, quantity: str, start: datetime, end: datetime
) -> tuple[AggregateRow, ...]:
    """Aggregates of windows that began in [start, end), oldest window first, and of one window as they were stored."""
    arguments = {"purpose": purpose.value, "quantity": quantity, "start": to_ms(start), "end": to_ms(end)}
    return tuple(map(_aggregate, select(connection, _AGGREGATE, _AGGREGATES, arguments)))


def received(connection: Connection, purpose: Purpose, subject: str) -> ReceivedRow:
    """How much of `subject` has arrived as aggregates."""
    body = "FROM aggregate WHERE purpose = :purpose AND subject = :subject"
    ((samples, windows, *span),) = select(connection, _RECEIVED, body, {"purpose": purpose.value, "subject": subject})
    start, end = (None if at is None else from_ms(at) for at in span)
    return ReceivedRow(samples, windows, start, end)


def _who(wanted: Wanted) -> dict[str, SqlValue]:
    return {"purposes": _list(wanted.purposes), "subject": wanted.subject}


def _list(texts: Collection[str]) -> str:
    return json.dumps(sorted(texts))


def _released(cells: Cells) -> ReleasedRow:
    purpose, subject, quantity, at_ms, cell, flag, clock, _ = cells
    return ReleasedRow(Purpose(purpose), subject, quantity, from_ms(at_ms), value(cell), Flag(flag), CLOCKS[clock])


def _aggregate(cells: Cells) -> AggregateRow:
    purpose, subject, quantity, start_ms, *numbers = cells
    return AggregateRow(None if purpose is None else Purpose(purpose), subject, quantity, from_ms(start_ms), *numbers)
