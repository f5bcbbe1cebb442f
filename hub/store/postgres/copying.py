"""Rows as PostgreSQL's binary COPY wants them, and arrays as it reads them. Pure.

PostgreSQL 15, "COPY", section "Binary Format": a signature, then for each row the number of fields, for each field its
length in bytes (-1: null) and its bytes in network order, at the end a number of fields of -1.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from struct import Struct

from hub.store.selection import Row, TelemetryRow

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
TELEMETRY = "series, at_ms, origin, sequence, value, text, flag, clock"
RELEASED = "series, at_ms, value, text, flag, clock"
_CHUNK_ROWS = 1000
"""Written at once: the server stores one chunk while the next is made."""

_NUMBER = Struct(">h ii iq ii iq id i ih ih").pack
_START = Struct(">h ii iq ii iq").pack
_END = Struct(">ih ih").pack
_RELEASED_START = Struct(">h ii iq").pack
_DOUBLE = Struct(">id i").pack
_TEXT = Struct(">ii").pack


def telemetry(rows: Sequence[TelemetryRow]) -> Iterator[bytes]:
    """The rows of TELEMETRY, in chunks with header and trailer."""
    return _chunks(map(_telemetry, rows))


def released(rows: Sequence[Row]) -> Iterator[bytes]:
    """The rows of RELEASED, in chunks with header and trailer."""
    return _chunks(map(_released, rows))


def array(values: Iterable[object]) -> str:
    """An array as text, cheaper to make than psycopg's own: numbers, texts and None."""
    return f"{{{','.join(map(_element, values))}}}"


def _telemetry(row: TelemetryRow) -> bytes:
    series, at_ms, origin, sequence, value, flag, clock = row
    if type(value) is float:
        return _NUMBER(8, 4, series, 8, at_ms, 4, origin, 8, sequence, 8, value, -1, 2, flag, 2, clock)
    return _START(8, 4, series, 8, at_ms, 4, origin, 8, sequence) + _value(value) + _END(2, flag, 2, clock)


def _released(row: Row) -> bytes:
    series, at_ms, value, flag, clock = row
    return _RELEASED_START(6, 4, series, 8, at_ms) + _value(value) + _END(2, flag, 2, clock)


def _value(value: object) -> bytes:
    if isinstance(value, str):
        text = value.encode()
        return _TEXT(-1, len(text)) + text
    return _TEXT(-1, -1) if value is None else _DOUBLE(8, value, -1)


def _chunks(rows: Iterator[bytes]) -> Iterator[bytes]:
    yield HEADER
    while chunk := b"".join(islice(rows, _CHUNK_ROWS)):
        yield chunk
    yield TRAILER


def _element(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}"'
    return repr(value) if type(value) is float else str(int(value))  # type: ignore[call-overload]  # else an int
