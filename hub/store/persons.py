"""Questions about what persons released: measurements and aggregates, by purpose. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from cloud_sync.blob import from_ms, to_ms
from contract.consent import Purpose
from contract.sample import Flag
from hub.arrival import CLOCKS
from hub.store.dialect import Dialect
from hub.store.paging import from_cursor
from hub.store.rows import AggregateRow, Page, ReceivedRow, ReleasedRow
from hub.store.selection import EVER, Cells, Question, as_list, bounds_ms, each, page, select, value


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records are asked for; `purposes` holds '' for things. None means any."""

    purposes: Collection[str]
    subject: str | None = None
    quantity: str | None = None
    start: datetime | None = None
    end: datetime | None = None


def released(dialect: Dialect, wanted: Wanted, limit: int, cursor: str | None) -> Question[Page[ReleasedRow]]:
    """Released measurements, oldest first."""
    at, id_ = from_cursor(cursor, 2) if cursor else (EVER[0], 0)
    start, end = bounds_ms(wanted.start, wanted.end)
    bounded = f"""
WITH bounded AS MATERIALIZED (
    SELECT id, coalesce((
        SELECT r.at_ms FROM released AS r WHERE r.series = released_series.id AND r.at_ms >= :start
        AND (r.at_ms, r.id) > (:at, :id) ORDER BY r.at_ms LIMIT 1 OFFSET :limit
    ), :end) AS bound
    FROM released_series
    WHERE purpose IN {dialect.listed("purposes")} AND (CAST(:subject AS TEXT) IS NULL OR subject = :subject)
    AND (CAST(:quantity AS TEXT) IS NULL OR quantity = :quantity)
)"""
    body = """
FROM bounded AS b CROSS JOIN released AS r JOIN released_series AS s ON s.id = r.series
WHERE r.series = b.id AND r.at_ms >= :start AND r.at_ms <= b.bound
AND r.at_ms < :end AND (r.at_ms, r.id) > (:at, :id) ORDER BY r.at_ms, r.id LIMIT :limit + 1"""
    who = {"purposes": as_list(wanted.purposes), "subject": wanted.subject, "quantity": wanted.quantity}
    span = {"start": max(start, at), "end": end, "at": at, "id": id_, "limit": limit}
    return Question(
        select(dialect, _released_columns(dialect), body, bounded),
        {**who, **span},
        lambda rows: page(rows, limit, _released, lambda cells: (cells[3], cells[7])),
    )


def released_latest(dialect: Dialect, purposes: Collection[str]) -> Question[tuple[ReleasedRow, ...]]:
    """The newest measurement of each subject and quantity."""
    body = f"""
FROM released_series AS s JOIN released AS r
ON r.id = (SELECT n.id FROM released AS n WHERE n.series = s.id ORDER BY n.at_ms DESC, n.id DESC LIMIT 1)
WHERE s.purpose IN {dialect.listed("purposes")} ORDER BY s.purpose, s.subject, s.quantity"""
    return Question(select(dialect, _released_columns(dialect), body), {"purposes": as_list(purposes)}, each(_released))


def aggregates(
    dialect: Dialect, purpose: Purpose, quantity: str, start: datetime, end: datetime
) -> Question[tuple[AggregateRow, ...]]:
    """Aggregates of windows that began in [start, end), oldest window first, and of one window as they were stored."""
    columns = (
        f"purpose, subject, quantity, start_ms, {dialect.exact('window_s')}, count, {dialect.exact('mean')}, "
        f"{dialect.exact('minimum')}, {dialect.exact('maximum')}, samples"
    )
    body = (
        "FROM aggregate WHERE start_ms >= :start AND start_ms < :end AND purpose = :purpose AND quantity = :quantity "
        "ORDER BY start_ms, id"
    )
    arguments = {"purpose": purpose.value, "quantity": quantity, "start": to_ms(start), "end": to_ms(end)}
    return Question(select(dialect, columns, body), arguments, each(_aggregate))


def received(dialect: Dialect, purpose: Purpose, subject: str) -> Question[ReceivedRow]:
    """How much of `subject` has arrived as aggregates."""
    # A window is no longer than a day, nor does a total overflow, whatever a gateway says.
    total = "coalesce(sum(CAST(samples AS DOUBLE PRECISION)), 0)"
    window_s = "CASE WHEN window_s < 0 THEN 0 WHEN window_s > 86400 THEN 86400 ELSE window_s END"
    columns = (
        f"CASE WHEN {total} >= 9e18 THEN 9000000000000000000 ELSE CAST({total} AS BIGINT) END, "
        f"count(DISTINCT start_ms), min(start_ms), max(start_ms + CAST({window_s} * 1000 AS BIGINT))"
    )
    body = "FROM aggregate WHERE purpose = :purpose AND subject = :subject"
    return Question(select(dialect, columns, body), {"purpose": purpose.value, "subject": subject}, _received)


def _released_columns(dialect: Dialect) -> str:
    return f"s.purpose, s.subject, s.quantity, r.at_ms, {dialect.value('r')}, r.flag, r.clock, r.id"


def _released(cells: Cells) -> ReleasedRow:
    purpose, subject, quantity, at_ms, cell, flag, clock, _ = cells
    return ReleasedRow(Purpose(purpose), subject, quantity, from_ms(at_ms), value(cell), Flag(flag), CLOCKS[clock])


def _aggregate(cells: Cells) -> AggregateRow:
    purpose, subject, quantity, start_ms, *numbers = cells
    return AggregateRow(None if purpose is None else Purpose(purpose), subject, quantity, from_ms(start_ms), *numbers)


def _received(rows: list[Cells]) -> ReceivedRow:
    ((samples, windows, *span),) = rows
    start, end = (None if at is None else from_ms(at) for at in span)
    return ReceivedRow(samples, windows, start, end)
