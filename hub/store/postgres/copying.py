"""Rows as PostgreSQL's binary COPY wants them, and arrays as it reads them. Pure.

PostgreSQL 15, "COPY", section "Binary Format": a signature, then for each row the number of fields, for each field its
length in bytes (-1: null) and its bytes in network order, at the end a number of fields of -1.
"""

import sys
from array import array as Column  # noqa: N812  # `array` is PostgreSQL's here
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from struct import Struct

from hub.store.blocks import Block
from hub.store.selection import Row, TelemetryRow

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
TELEMETRY = "series, at_ms, origin, sequence, value, text, flag, clock"
RELEASED = "series, at_ms, value, text, flag, clock"
_CHUNK_ROWS = 1000
"""Written at once: the server stores one chunk while the next is made."""

_NUMBER = Struct(">h ii iq ii iq id i ih ih")
_SERIES_AT, _TIME_AT, _SEQUENCE_AT, _VALUE_AT, _FLAG_AT, _CLOCK_AT = 6, 14, 34, 46, 62, 68
_START = Struct(">h ii iq ii iq").pack
_END = Struct(">ih ih").pack
_RELEASED_START = Struct(">h ii iq").pack
_DOUBLE = Struct(">id i").pack
_TEXT = Struct(">ii").pack


def telemetry(blocks: Iterable[Block]) -> Iterator[bytes]:
    """The rows of TELEMETRY, one chunk a block, with header and trailer."""
    yield HEADER
    yield from map(_block, blocks)
    yield TRAILER


def released(rows: Sequence[Row]) -> Iterator[bytes]:
    """The rows of RELEASED, in chunks with header and trailer."""
    encoded = map(_released, rows)
    yield HEADER
    while chunk := b"".join(islice(encoded, _CHUNK_ROWS)):
        yield chunk
    yield TRAILER


def array(values: Iterable[object]) -> str:
    """An array as text, cheaper to make than psycopg's own: numbers, texts and None."""
    return f"{{{','.join(map(_element, values))}}}"


def _block(block: Block) -> bytes:
    sequences, _, _, _, values, flags, clocks = zip(*block.rows, strict=True)
    try:
        doubles = Column("d", values)
    except TypeError:
        # Something is no number.
        return b"".join(map(_telemetry, block.as_rows()))
    first = (8, 4, 0, 8, 0, 4, block.origin, 8, 0, 8, 0.0, -1, 2, flags[0], 2, clocks[0])
    rows = bytearray(_NUMBER.pack(*first) * len(flags))
    _fill(rows, _SERIES_AT, Column("i", block.series))
    _fill(rows, _TIME_AT, Column("q", block.times_ms))
    _fill(rows, _SEQUENCE_AT, Column("q", sequences))
    _fill(rows, _VALUE_AT, doubles)
    for place, column in ((_FLAG_AT, flags), (_CLOCK_AT, clocks)):
        if column.count(column[0]) != len(column):
            _fill(rows, place, Column("h", column))
    return bytes(rows)


def _fill(rows: bytearray, place: int, column: "Column[int] | Column[float]") -> None:
    """Put a column into equally long rows, byte by byte of all rows at once."""
    if sys.byteorder == "little":
        column.byteswap()
    data, size = column.tobytes(), column.itemsize
    for byte in range(size):
        rows[place + byte :: _NUMBER.size] = data[byte::size]


def _telemetry(row: TelemetryRow) -> bytes:
    series, at_ms, origin, sequence, value, flag, clock = row
    return _START(8, 4, series, 8, at_ms, 4, origin, 8, sequence) + _value(value) + _END(2, flag, 2, clock)


def _released(row: Row) -> bytes:
    series, at_ms, value, flag, clock = row
    return _RELEASED_START(6, 4, series, 8, at_ms) + _value(value) + _END(2, flag, 2, clock)


def _value(value: object) -> bytes:
    if isinstance(value, str):
        text = value.encode()
        return _TEXT(-1, len(text)) + text
    return _TEXT(-1, -1) if value is None else _DOUBLE(8, value, -1)


def _element(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}"'
    return repr(value) if type(value) is float else str(int(value))  # type: ignore[call-overload]  # else an int
