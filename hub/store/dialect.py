"""The few expressions in which the engines' SQL differs, so that every query is written once. Pure."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """Makers of SQL text. Names handed in are this package's own, never a peer's."""

    exact: Callable[[str], str]
    """A column inside `row`, with every digit when it is a float."""
    value: Callable[[str], str]
    """The stored value of the row named by an alias, inside `row`: number, text or null."""
    number: Callable[[str], str]
    """The stored value of the row named by an alias when it is a number, else NULL."""
    listed: Callable[[str], str]
    """What stands behind IN for a parameter that holds a JSON array of texts."""
    collected: Callable[[str], str]
    """The values of a column within a group, as one JSON array."""
    row: Callable[[str], str]
    """Comma-separated expressions as one JSON array."""
    rows: str
    """All of the column `line` as one JSON array, in the order of the query below."""
    pairs: Callable[[str], str]
    """A table of `series` and `start_ms` from a parameter that holds a JSON array of pairs."""
