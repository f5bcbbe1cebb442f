"""Questions about things: gateways, devices, latest values and history. Pure."""

from datetime import datetime

from cloud_sync.blob import from_ms
from contract.ids import DeviceId, Epoch, GatewayId
from contract.record import Stream
from contract.sample import Flag
from hub.arrival import CLOCKS
from hub.store.dialect import Dialect
from hub.store.paging import from_cursor
from hub.store.rows import DeviceRow, GatewayRow, LatestRow, Page, ReadingRow
from hub.store.selection import EVER, Cells, Question, bounds_ms, each, page, select, value

# Of each series no more rows are looked at than the page can show: its own row number `limit` bounds the time.
_BOUNDED = """
WITH bounded AS MATERIALIZED (
    SELECT id, coalesce((
        SELECT t.at_ms FROM telemetry AS t WHERE t.series = series.id AND t.at_ms >= :start
        AND (t.at_ms, t.series, t.origin, t.sequence) > (:at, :series, :origin, :sequence)
        ORDER BY t.at_ms LIMIT 1 OFFSET :limit
    ), :end) AS bound
    FROM series WHERE device = :device AND (CAST(:quantity AS TEXT) IS NULL OR quantity = :quantity)
)"""
_HISTORY = """
FROM bounded AS b CROSS JOIN telemetry AS t
JOIN series AS s ON s.id = t.series JOIN origin AS o ON o.id = t.origin
WHERE t.series = b.id AND t.at_ms >= :start AND t.at_ms <= b.bound
AND t.at_ms < :end AND (t.at_ms, t.series, t.origin, t.sequence) > (:at, :series, :origin, :sequence)
ORDER BY t.at_ms, t.series, t.origin, t.sequence LIMIT :limit + 1"""


def gateways(dialect: Dialect) -> Question[tuple[GatewayRow, ...]]:
    """All gateways by id."""
    columns = "id, first_seen_ms, last_seen_ms, epoch, software"
    return Question(select(dialect, columns, "FROM gateway ORDER BY id"), {}, each(_gateway))


def devices(dialect: Dialect) -> Question[tuple[DeviceRow, ...]]:
    """All things that have a reading, by gateway and id."""
    columns = f"s.gateway, s.device, max(l.at_ms), {dialect.collected('s.quantity')}"
    body = (
        "FROM series AS s JOIN latest AS l ON l.series = s.id GROUP BY s.gateway, s.device ORDER BY s.gateway, s.device"
    )
    return Question(select(dialect, columns, body), {}, each(_device))


def latest(dialect: Dialect, device: DeviceId | None) -> Question[tuple[LatestRow, ...]]:
    """The newest value of each quantity, by gateway, device and quantity."""
    columns = f"s.gateway, s.device, s.quantity, l.at_ms, {dialect.value('l')}, l.flag, l.clock"
    which = "" if device is None else "WHERE s.device = :device"
    body = f"FROM latest AS l JOIN series AS s ON s.id = l.series {which} ORDER BY s.gateway, s.device, s.quantity"
    return Question(select(dialect, columns, body), {"device": device}, each(_latest))


def readings(
    dialect: Dialect,
    device: DeviceId,
    quantity: str | None,
    span: tuple[datetime | None, datetime | None],
    limit: int,
    cursor: str | None,
) -> Question[Page[ReadingRow]]:
    """History of one thing, oldest first; see Store.readings."""
    start, end = bounds_ms(*span)
    at, series, origin, sequence = from_cursor(cursor, 4) if cursor else (EVER[0], 0, 0, 0)
    columns = (
        f"s.gateway, s.device, s.quantity, t.at_ms, {dialect.value('t')}, t.flag, t.clock, "
        "o.epoch, o.stream, t.sequence, t.series, t.origin"
    )
    after = {"at": at, "series": series, "origin": origin, "sequence": sequence}
    arguments = {"device": device, "quantity": quantity, "limit": limit, "start": max(start, at), "end": end, **after}
    return Question(
        select(dialect, columns, _HISTORY, _BOUNDED),
        arguments,
        lambda rows: page(rows, limit, _reading, lambda cells: (cells[3], cells[10], cells[11], cells[9])),
    )


def _gateway(cells: Cells) -> GatewayRow:
    id_, first, last, epoch, software = cells
    said = None if epoch is None else Epoch(epoch)
    return GatewayRow(GatewayId(id_), from_ms(first), from_ms(last), said, software)


def _device(cells: Cells) -> DeviceRow:
    gateway, device, last, quantities = cells
    return DeviceRow(GatewayId(gateway), DeviceId(device), from_ms(last), tuple(sorted(quantities)))


def _latest(cells: Cells) -> LatestRow:
    gateway, device, quantity, at_ms, cell, flag, clock = cells
    return LatestRow(
        GatewayId(gateway), DeviceId(device), quantity, from_ms(at_ms), value(cell), Flag(flag), CLOCKS[clock]
    )


def _reading(cells: Cells) -> ReadingRow:
    gateway, device, quantity, at_ms, cell, flag, clock, epoch, stream, sequence, _, _ = cells
    measured = (from_ms(at_ms), value(cell), Flag(flag), CLOCKS[clock])
    return ReadingRow(GatewayId(gateway), DeviceId(device), quantity, *measured, Epoch(epoch), Stream(stream), sequence)
