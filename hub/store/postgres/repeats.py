"""The repeat check of PostgreSQL: numbers are claimed in an index that refuses what overlaps; nothing is locked.

Within the writer's transaction, so that claims and rows are committed together. Whoever claims what another
transaction has claimed and not committed yet waits for its end: if it commits, the numbers are known; if not, free.
"""

from collections.abc import Sequence

from hub.store.postgres.database import Collided, Connection
from hub.store.ranges import Span, merged, unknown

_BITS = 40  # of a sequence number (hub.store.writing.SEQUENCE_END); the origin lies above
_MOST_ORIGIN = 2**23 - 1
_MOST_ROUNDS = 20
_MOST_MERGED = 5000
_INSERT = (
    "INSERT INTO seen (span) SELECT int8range(first, after) "
    "FROM unnest(%s::int8[], %s::int8[]) AS claim (first, after) ORDER BY first "
    "ON CONFLICT DO NOTHING RETURNING lower(span)"
)
_OVERLAPS = (
    "SELECT DISTINCT lower(span), upper(span) FROM unnest(%s::int8[], %s::int8[]) AS claim (first, after) "
    "JOIN seen ON span && int8range(first, after)"
)


async def claim(connection: Connection, wanted: Sequence[tuple[int, Span]]) -> list[list[Span]]:
    """Begins a transaction: for each (origin, span) in order the parts of the span that are new, and now its own."""
    asked = _without_own_repeats(wanted)
    spans = [span for some in asked for span in some]
    async with connection.pipeline():
        await connection.execute("BEGIN")
        cursor = await connection.execute(_INSERT, _bounds(spans))
    won = {first for (first,) in await cursor.fetchall()}
    lost = [span for span in spans if span[0] not in won]
    pieces = await _pieces(connection, lost) if lost else {}
    return [
        [_decoded(piece) for span in some for piece in ([span] if span[0] in won else pieces[span])] for some in asked
    ]


async def compact(connection: Connection, start: int) -> tuple[int, bool]:
    """Merge claims that touch, within the open transaction, in a bounded stretch that begins at `start`.

    Returns where the next stretch begins, and whether this one was not the last. Whoever claims what is being merged
    waits for the end of it.
    """
    cursor = await connection.execute(
        "SELECT lower(span), upper(span) FROM seen WHERE lower(span) >= %s ORDER BY lower(span) LIMIT %s",
        (start, _MOST_MERGED),
    )
    spans = [(first, after - 1) for first, after in await cursor.fetchall()]
    before, after = set(spans), merged(spans)
    whole = [span for span in after if span not in before]
    if whole:
        parts = sorted(before.difference(after))
        await connection.execute("DELETE FROM seen WHERE lower(span) = ANY(%s::int8[])", (_bounds(parts)[0],))
        await connection.execute(
            "INSERT INTO seen (span) SELECT int8range(first, after) "
            "FROM unnest(%s::int8[], %s::int8[]) AS claim (first, after)",
            _bounds(whole),
        )
    is_last = len(spans) < _MOST_MERGED
    return (0, False) if is_last else (whole[-1][0] if whole and whole[-1][1] == spans[-1][1] else spans[-1][0], True)


def encoded(origin: int, span: Span) -> Span:
    """The numbers of `span` as they lie in `seen`, first and last included."""
    if not 0 < origin <= _MOST_ORIGIN:
        raise OverflowError("more origins than the repeat check can tell apart")
    return origin << _BITS | span[0], origin << _BITS | span[1]


def _decoded(span: Span) -> Span:
    mask = (1 << _BITS) - 1
    return span[0] & mask, span[1] & mask


def _without_own_repeats(wanted: Sequence[tuple[int, Span]]) -> list[list[Span]]:
    """Each span, encoded, without what an earlier one holds: the same numbers twice in one group count once."""
    own: dict[int, list[Span]] = {}
    asked = []
    for origin, span in wanted:
        known = own.get(origin, [])
        code = encoded(origin, span)
        asked.append(unknown(known, *code))
        own[origin] = merged([*known, code])
    return asked


async def _pieces(connection: Connection, lost: Sequence[Span]) -> dict[Span, list[Span]]:
    """What can still be had of spans of which something is known: nothing of a plain repeat."""
    pieces: dict[Span, list[Span]] = {span: [] for span in lost}
    for _ in range(_MOST_ROUNDS):
        known = merged(await _overlaps(connection, lost))
        rest = {span: unknown(known, *span) for span in lost}
        if not any(rest.values()):
            return pieces
        won = await _insert(connection, [piece for some in rest.values() for piece in some])
        for span, some in rest.items():
            pieces[span] += [piece for piece in some if piece[0] in won]
    raise Collided("the same numbers are claimed in ever other parts")


async def _insert(connection: Connection, spans: Sequence[Span]) -> set[int]:
    """Claim `spans` (disjoint); returns the first number of those that were free."""
    if not spans:
        return set()
    cursor = await connection.execute(_INSERT, _bounds(spans))
    return {first for (first,) in await cursor.fetchall()}


async def _overlaps(connection: Connection, spans: Sequence[Span]) -> list[Span]:
    cursor = await connection.execute(_OVERLAPS, _bounds(spans))
    return [(first, after - 1) for first, after in await cursor.fetchall()]


def _bounds(spans: Sequence[Span]) -> tuple[list[int], list[int]]:
    return [first for first, _ in spans], [last + 1 for _, last in spans]
