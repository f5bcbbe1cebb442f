"""Rollups: count, mean, least, greatest and last of each minute, hour and day (UTC) of a quantity of a thing. Pure.

Ingest notes which minutes it touched; a round of maintenance takes some notes and computes those minutes anew from
telemetry, their hours from minutes and their days from hours. So what comes late, twice or out of order is counted as
if it had come in time. Values flagged FAIL or MISSING are left out, as are those beyond `_GREATEST`, whose sum no
database can hold.
"""

import json
from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping
from datetime import datetime
from enum import IntEnum
from itertools import chain

from cloud_sync.blob import from_ms
from contract.ids import DeviceId, GatewayId
from contract.sample import Flag
from hub.store.blocks import Block
from hub.store.dialect import Dialect
from hub.store.paging import from_cursor
from hub.store.rows import Page, RollupRow
from hub.store.script import Found, Script, Statement
from hub.store.selection import EVER, Cells, Question, Row, bounds_ms, page, select

MOST_MINUTES = 500
"""Minutes of single series in one round, about: a note is taken whole. What is added up is read beside what is written;
PostgreSQL holds a snapshot meanwhile."""
_MOST_NOTES = 200
_ROWS_A_STATEMENT = 250
_MINUTE_MS = 60_000
_GREATEST = 1e290
_ROLLED = "series, step, start_ms, count, total, minimum, maximum, last"
_ANEW = (
    "ON CONFLICT (series, step, start_ms) DO UPDATE SET count = excluded.count, total = excluded.total, "
    "minimum = excluded.minimum, maximum = excluded.maximum, last = excluded.last"
)
NOTE = "due_ms, minutes"
"""Columns of `touched`: when the newest of its minutes is over, and JSON: [[minute, [series, ...]], ...]."""

Minute = tuple[int, int]
"""Series, and when the minute began in minutes since 1970."""


class Step(IntEnum):
    """Length of a rollup in seconds."""

    MINUTE = 60
    HOUR = 3600
    DAY = 86400

    @property
    def ms(self) -> int:
        """Length in milliseconds."""
        return self.value * 1000


def note(blocks: Iterable[Block], at_ms: int) -> list[Row]:
    """The row of NOTE for telemetry that came at `at_ms`; none when there is none."""
    minutes: defaultdict[int, set[int]] = defaultdict(set)
    for block in blocks:
        first, last = min(block.times_ms) // _MINUTE_MS, max(block.times_ms) // _MINUTE_MS
        if first == last:
            minutes[first].update(block.series)
            continue
        for time_ms, series in zip(block.times_ms, block.series, strict=True):
            minutes[time_ms // _MINUTE_MS].add(series)
    if not minutes:
        return []
    # A minute that is not over would be computed again and again; a clock that runs ahead holds nothing up.
    due_ms = min((max(minutes) + 1) * _MINUTE_MS, at_ms + _MINUTE_MS)
    said = [(minute, list(series)) for minute, series in minutes.items()]
    return [(due_ms, json.dumps(said, separators=(",", ":")))]


def rolling_up(dialect: Dialect, now_ms: int, kept_from_ms: Mapping[str | None, int]) -> Script[tuple[int, bool]]:
    """One round: takes notes that are due. Returns how many minutes it computed, and whether notes are left.

    `kept_from_ms`: since when telemetry is complete, by quantity (None: the others). Minutes before stay as they are.
    """
    take = "SELECT id, minutes FROM touched WHERE due_ms <= :now ORDER BY id LIMIT :limit"
    notes = yield Statement(take, {"now": now_ms, "limit": _MOST_NOTES}, is_read=True)
    ids, touched = _taken(notes)
    if not ids:
        return 0, False
    minutes = sorted(touched)
    newest = max(kept_from_ms.values())
    if any(minute * _MINUTE_MS < newest for _, minute in minutes):
        numbers = ", ".join({str(series) for series, _ in minutes})
        found = yield Statement(f"SELECT id, quantity FROM series WHERE id IN ({numbers})", {}, is_read=True)
        quantities: dict[int, str] = dict(found)
        minutes = [
            (series, minute)
            for series, minute in minutes
            if minute * _MINUTE_MS >= kept_from_ms.get(quantities[series], kept_from_ms[None])
        ]
    if minutes:
        starts = {(series, minute * _MINUTE_MS) for series, minute in minutes}
        yield from _stored((yield Statement(_minutes(dialect), {"pairs": _as_pairs(starts)}, is_read=True)))
        for finer, step in ((Step.MINUTE, Step.HOUR), (Step.HOUR, Step.DAY)):
            starts = {(series, start - start % step.ms) for series, start in starts}
            lengths = {"finer": finer.value, "step": step.value, "length": step.ms}
            yield from _stored(
                (yield Statement(_coarser(dialect), {"pairs": _as_pairs(starts), **lengths}, is_read=True))
            )
    yield Statement(f"DELETE FROM touched WHERE id IN ({', '.join(map(str, ids))})", {})
    return len(minutes), len(ids) < len(notes) or len(notes) == _MOST_NOTES


def rollups(
    dialect: Dialect,
    device: DeviceId,
    quantity: str,
    step: Step,
    span: tuple[datetime | None, datetime | None],
    limit: int,
    cursor: str | None,
) -> Question[Page[RollupRow]]:
    """Rollups of one quantity of one thing, oldest first; see Store.rollups."""
    start, end = bounds_ms(*span)
    at, series = from_cursor(cursor, 2) if cursor else (EVER[0], 0)
    columns = (
        f"s.gateway, s.device, s.quantity, r.start_ms, r.count, {dialect.exact('r.total / r.count')}, "
        f"{dialect.exact('r.minimum')}, {dialect.exact('r.maximum')}, {dialect.exact('r.last')}, r.series"
    )
    body = (
        "FROM series AS s CROSS JOIN rollup AS r WHERE s.device = :device AND s.quantity = :quantity "
        "AND r.series = s.id AND r.step = :step AND r.start_ms >= :start AND r.start_ms < :end "
        "AND (r.start_ms, r.series) > (:at, :series) ORDER BY r.start_ms, r.series LIMIT :limit + 1"
    )
    where = {"device": device, "quantity": quantity, "step": step.value, "start": max(start, at), "end": end}
    return Question(
        select(dialect, columns, body),
        {**where, "at": at, "series": series, "limit": limit},
        lambda rows: page(rows, limit, lambda cells: _rollup(cells, step), lambda cells: (cells[3], cells[9])),
    )


def _taken(notes: Found) -> tuple[list[int], set[Minute]]:
    ids: list[int] = []
    touched: set[Minute] = set()
    for id_, text in notes:
        if len(touched) >= MOST_MINUTES:
            break
        touched.update((series, minute) for minute, some in json.loads(text) for series in some)
        ids.append(id_)
    return ids, touched


def _minutes(dialect: Dialect) -> str:
    number = dialect.number("t")
    left_out = f"{Flag.FAIL.value}, {Flag.MISSING.value}"
    return f"""
SELECT series, {Step.MINUTE.value}, start_ms, count(*), sum(number), min(number), max(number),
    max(CASE WHEN place = 1 THEN number END)
FROM (
    SELECT p.series, p.start_ms, {number} AS number, row_number() OVER (
        PARTITION BY p.series, p.start_ms ORDER BY t.at_ms DESC, t.sequence DESC, t.origin DESC
    ) AS place
    FROM {dialect.pairs("pairs")} AS p CROSS JOIN telemetry AS t
    WHERE t.series = p.series AND t.at_ms >= p.start_ms AND t.at_ms < p.start_ms + {_MINUTE_MS}
    AND {number} BETWEEN -{_GREATEST} AND {_GREATEST} AND t.flag NOT IN ({left_out})
) AS counted
GROUP BY series, start_ms"""


def _coarser(dialect: Dialect) -> str:
    return f"""
SELECT series, :step, start_ms, sum(count), sum(total), min(minimum), max(maximum),
    max(CASE WHEN place = 1 THEN last END)
FROM (
    SELECT p.series, p.start_ms, r.count, r.total, r.minimum, r.maximum, r.last, row_number() OVER (
        PARTITION BY p.series, p.start_ms ORDER BY r.start_ms DESC
    ) AS place
    FROM {dialect.pairs("pairs")} AS p CROSS JOIN rollup AS r
    WHERE r.series = p.series AND r.step = :finer AND r.start_ms >= p.start_ms AND r.start_ms < p.start_ms + :length
) AS counted
GROUP BY series, start_ms"""


def _stored(rows: Found) -> Generator[Statement, Found, None]:
    """Write rollups that were computed, in place of what stood there."""
    columns = len(_ROLLED.split(", "))
    for start in range(0, len(rows), _ROWS_A_STATEMENT):
        some = rows[start : start + _ROWS_A_STATEMENT]
        values = {f"v{number}": value for number, value in enumerate(chain.from_iterable(some))}
        names = [f":{name}" for name in values]
        lines = (", ".join(names[first : first + columns]) for first in range(0, len(names), columns))
        yield Statement(f"INSERT INTO rollup ({_ROLLED}) VALUES ({'), ('.join(lines)}) {_ANEW}", values)


def _as_pairs(starts: Iterable[tuple[int, int]]) -> str:
    return json.dumps(sorted(starts))


def _rollup(cells: Cells, step: Step) -> RollupRow:
    gateway, device, quantity, start_ms, count, *numbers, _ = cells
    return RollupRow(
        GatewayId(gateway), DeviceId(device), quantity, from_ms(start_ms), step.value, count, *map(float, numbers)
    )
