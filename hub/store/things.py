"""Questions about things: gateways, devices, latest values and history. Runs in the file's thread."""

from datetime import datetime

from cloud_sync.blob import from_ms, to_ms
from contract.ids import DeviceId, Epoch, GatewayId
from contract.record import Stream
from contract.sample import Flag
from hub.arrival import CLOCKS
from hub.store.database import Connection
from hub.store.insertion import SqlValue
from hub.store.paging import from_cursor
from hub.store.rows import DeviceRow, GatewayRow, LatestRow, Page, ReadingRow
from hub.store.selection import Cells, exact, page, select, value

EVER = (-(2**62), 2**62)
"""Milliseconds before and after every stored time."""

_LATEST = f"s.gateway, s.device, s.quantity, l.at_ms, {exact('l.value')}, l.flag, l.clock"
_READING = (
    f"s.gateway, s.device, s.quantity, t.at_ms, {exact('t.value')}, t.flag, t.clock, "
    "o.epoch, o.stream, t.sequence, t.series, t.origin"
)
# Of each series no more rows are looked at than the page can show: its own row number `limit` bounds the time.
_HISTORY = """
FROM bounded AS b CROSS JOIN telemetry AS t ON t.series = b.id AND t.at_ms >= :start AND t.at_ms <= b.bound
JOIN series AS s ON s.id = t.series JOIN origin AS o ON o.id = t.origin
WHERE t.at_ms < :end AND (t.at_ms, t.series, t.origin, t.sequence) > (:at, :series, :origin, :sequence)
ORDER BY t.at_ms, t.series, t.origin, t.sequence LIMIT :limit + 1"""
_BOUNDED = """
WITH bounded AS MATERIALIZED (
    SELECT id, coalesce((
        SELECT t.at_ms FROM telemetry AS t WHERE t.series = series.id AND t.at_ms >= :start
        AND (t.at_ms, t.series, t.origin, t.sequence) > (:at, :series, :origin, :sequence)
        ORDER BY t.at_ms LIMIT 1 OFFSET :limit
    ), :end) AS bound
    FROM series WHERE device = :device AND (:quantity IS NULL OR quantity = :quantity)
)"""


def gateways(connection: Connection) -> tuple[GatewayRow, ...]:
    """All gateways by id."""
    rows = select(connection, "id, first_seen_ms, last_seen_ms, epoch, software", "FROM gateway ORDER BY id", {})
    return tuple(
        GatewayRow(GatewayId(id_), from_ms(first), from_ms(last), None if epoch is None else Epoch(epoch), software)
        for id_, first, last, epoch, software in rows
    )


def devices(connection: Connection) -> tuple[DeviceRow, ...]:
    """All things that have a reading, by gateway and id."""
    body = (
        "FROM series AS s JOIN latest AS l ON l.series = s.id GROUP BY s.gateway, s.device ORDER BY s.gateway, s.device"
    )
    columns = "s.gateway, s.device, max(l.at_ms), json_group_array(s.quantity)"
    return tuple(
        DeviceRow(GatewayId(gateway), DeviceId(device), from_ms(last), tuple(sorted(quantities)))
        for gateway, device, last, quantities in select(connection, columns, body, {})
    )


def latest(connection: Connection, device: DeviceId | None) -> tuple[LatestRow, ...]:
    """The newest value of each quantity, by gateway, device and quantity."""
    body = (
        "FROM latest AS l JOIN series AS s ON s.id = l.series WHERE :device IS NULL OR s.device = :device "
        "ORDER BY s.gateway, s.device, s.quantity"
    )
    return tuple(map(_latest, select(connection, _LATEST, body, {"device": device})))


def readings(
    connection: Connection,
    device: DeviceId,
    quantity: str | None,
    span: tuple[datetime | None, datetime | None],
    limit: int,
    cursor: str | None,
) -> Page[ReadingRow]:
    """History of one thing, oldest first; see Store.readings."""
    start, end = (ever if at is None else to_ms(at) for at, ever in zip(span, EVER, strict=True))
    at, series, origin, sequence = from_cursor(cursor, 4) if cursor else (EVER[0], 0, 0, 0)
    after = {"at": at, "series": series, "origin": origin, "sequence": sequence}
    wanted: dict[str, SqlValue] = {"device": device, "quantity": quantity, "limit": limit}
    arguments = {**wanted, "start": max(start, at), "end": end, **after}
    rows = select(connection, _READING, _HISTORY, arguments, _BOUNDED)
    return page(rows, limit, _reading, lambda cells: (cells[3], cells[10], cells[11], cells[9]))


def _latest(cells: Cells) -> LatestRow:
    gateway, device, quantity, at_ms, cell, flag, clock = cells
    return LatestRow(
        GatewayId(gateway), DeviceId(device), quantity, from_ms(at_ms), value(cell), Flag(flag), CLOCKS[clock]
    )


def _reading(cells: Cells) -> ReadingRow:
    gateway, device, quantity, at_ms, cell, flag, clock, epoch, stream, sequence, _, _ = cells
    measured = (from_ms(at_ms), value(cell), Flag(flag), CLOCKS[clock])
    return ReadingRow(GatewayId(gateway), DeviceId(device), quantity, *measured, Epoch(epoch), Stream(stream), sequence)
