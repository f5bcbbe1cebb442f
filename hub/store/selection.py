"""One list in one SQL step, as one JSON text.

sqlite3 gives the GIL away at every step, and beside a busy event loop a thousand steps take seconds.
printf('%!.17g') keeps every digit of a float, which SQLite's JSON functions do not.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from hub.store.database import Connection
from hub.store.insertion import SqlValue
from hub.store.paging import Position, to_cursor
from hub.store.rows import Page, PositionValue, SeriesValue, Value

Cells = list[Any]  # what our own SQL put into a JSON array; the row's reader knows the types
Arguments = Mapping[str, SqlValue]
_Row = TypeVar("_Row")


def exact(column: str) -> str:
    """SQL for `column` inside json_array, with every digit when it is a float."""
    return f"iif(typeof({column}) = 'real', json(printf('%!.17g', {column})), {column})"


def select(connection: Connection, columns: str, body: str, arguments: Arguments, preamble: str = "") -> list[Cells]:
    """The rows of `preamble SELECT columns body` (body: FROM ... ORDER BY ... LIMIT), each as its cells.

    `columns` are SQL expressions, each made ready for JSON (see `exact`); `preamble` is a WITH clause.
    """
    rows_of = f"SELECT json_array({columns}) AS row {body}"
    statement = f"{preamble} SELECT json_group_array(json(row)) FROM ({rows_of})"  # noqa: S608  # no peer's text
    (text,) = connection.execute(statement, dict(arguments)).fetchone()
    rows: list[Cells] = json.loads(text)
    return rows


def page(
    rows: list[Cells], limit: int, read: Callable[[Cells], _Row], position: Callable[[Cells], Position]
) -> Page[_Row]:
    """The first `limit` of `rows`, of which the query was asked for one more to know whether a next page exists."""
    shown = rows[:limit]
    more = to_cursor(position(shown[-1])) if len(rows) > limit and shown else None
    return Page(tuple(map(read, shown)), more)


def value(cell: float | str | None) -> Value:
    """A stored value: REAL, NULL or the JSON text of a position or series."""
    if not isinstance(cell, str):
        return None if cell is None else float(cell)
    stored = json.loads(cell)
    if isinstance(stored, list):
        return PositionValue(*stored)
    return SeriesValue(tuple(stored["v"]), tuple(stored["o"]))
