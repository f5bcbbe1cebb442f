"""Interval arithmetic on sequence numbers: which of a range are new, and what is known afterwards. Pure."""

from collections.abc import Iterable, Sequence

Span = tuple[int, int]
"""First and last number, both included."""


def unknown(known: Sequence[Span], first: int, last: int) -> list[Span]:
    """The parts of [first, last] that no span of `known` (ascending, disjoint) holds, ascending."""
    gaps = []
    start = first
    for known_first, known_last in known:
        if known_last < start:
            continue
        if known_first > last:
            break
        if known_first > start:
            gaps.append((start, known_first - 1))
        start = known_last + 1
    if start <= last:
        gaps.append((start, last))
    return gaps


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same numbers as `spans` in any order, as ascending, disjoint spans that do not touch."""
    result: list[Span] = []
    for first, last in sorted(spans):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(result[-1][1], last))
        else:
            result.append((first, last))
    return result


def holds(spans: Sequence[Span], number: int) -> bool:
    """True when one of `spans` holds `number`."""
    return any(first <= number <= last for first, last in spans)
