"""Statements in a row, each made from what those before it found, without knowing the engine. Pure.

Cut short after any of them and begun again, a script comes to the same: an engine may commit after each.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hub.store.selection import Arguments

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL text with its arguments by name."""

    text: str
    arguments: Arguments
    is_read: bool = False
    """True when it changes nothing, so that nobody who writes need wait for it."""


Found = Sequence[tuple[Any, ...]]  # rows as our own SQL asked for them; the script knows the types
"""The rows of a query; of a change one row with the number of rows that were changed."""

Script = Generator[Statement, Found, _Result]
"""Yields statements, is sent what each found, and returns what they amount to."""
