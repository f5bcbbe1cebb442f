"""Statements of one transaction, each made from what those before it found, without knowing the engine. Pure."""

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


Found = Sequence[tuple[Any, ...]]  # rows as our own SQL asked for them; the script knows the types
"""The rows of a query; of a change one row with the number of rows that were changed."""

Script = Generator[Statement, Found, _Result]
"""Yields statements, is sent what each found, and returns what they amount to."""
