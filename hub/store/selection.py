"""A question to the store: SQL text, arguments, and how its rows are read. Pure; an engine asks it.

One list is one SQL step and one JSON text: sqlite3 gives the GIL away at every step, and beside a busy event loop a
thousand steps take seconds; from PostgreSQL it costs half the CPU of rows.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from cloud_sync.blob import to_ms
from hub.store.dialect import Dialect
from hub.store.paging import Position, to_cursor
from hub.store.rows import Page, PositionValue, SeriesValue, Value

SqlValue = float | int | str | bytes | None
Row = tuple[SqlValue, ...]
TelemetryRow = tuple[int, int, int, int, float | str | None, int, int]
"""series, at_ms, origin, sequence, value, flag, clock."""
Cells = list[Any]  # what our own SQL put into a JSON array; the row's reader knows the types
Arguments = Mapping[str, SqlValue]
_Row = TypeVar("_Row")
_Answer = TypeVar("_Answer")

EVER = (-(2**62), 2**62)
"""Milliseconds before and after every stored time."""


@dataclass(frozen=True, slots=True)
class Question(Generic[_Answer]):
    """`statement` answers with one JSON text, an array of rows, which `read` makes an answer of."""

    statement: str
    arguments: Arguments
    read: Callable[[list[Cells]], _Answer]

    def answer(self, text: str) -> _Answer:
        """What the JSON text that the database gave says."""
        return self.read(json.loads(text))


def select(dialect: Dialect, columns: str, body: str, preamble: str = "") -> str:
    """The statement for the rows of `preamble SELECT columns body` (body: FROM ... ORDER BY ... LIMIT).

    `columns` are SQL expressions, each made ready for JSON (see Dialect.exact); `preamble` is a WITH clause.
    """
    rows_of = f"SELECT {dialect.row(columns)} AS line {body}"
    return f"{preamble} SELECT {dialect.rows} FROM ({rows_of}) AS found"


def page(
    rows: list[Cells], limit: int, read: Callable[[Cells], _Row], position: Callable[[Cells], Position]
) -> Page[_Row]:
    """The first `limit` of `rows`, of which the query was asked for one more to know whether a next page exists."""
    shown = rows[:limit]
    more = to_cursor(position(shown[-1])) if len(rows) > limit and shown else None
    return Page(tuple(map(read, shown)), more)


def each(read: Callable[[Cells], _Row]) -> Callable[[list[Cells]], tuple[_Row, ...]]:
    """All rows, each read by `read`."""
    return lambda rows: tuple(map(read, rows))


def as_list(texts: Collection[str]) -> str:
    """The argument for Dialect.listed."""
    return json.dumps(sorted(texts))


def bounds_ms(start: datetime | None, end: datetime | None) -> tuple[int, int]:
    """[start, end) in milliseconds; None is before or after everything."""
    return EVER[0] if start is None else to_ms(start), EVER[1] if end is None else to_ms(end)


def value(cell: float | str | None) -> Value:
    """A stored value: number, null or the JSON text of a position or series."""
    if not isinstance(cell, str):
        return None if cell is None else float(cell)
    stored = json.loads(cell)
    if isinstance(stored, list):
        return PositionValue(*stored)
    return SeriesValue(tuple(stored["v"]), tuple(stored["o"]))
