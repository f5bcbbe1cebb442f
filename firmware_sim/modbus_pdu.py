"""Modbus requests to answers, bytes to bytes, from "MODBUS Application Protocol Specification V1.1b3". Pure.

Function codes 01-06, 15 and 16. The four tables are plain bytes, registers big-endian, so that an answer is a slice.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from types import MappingProxyType

MAX_READ_REGISTERS = 125
MAX_READ_BITS = 2000
MAX_WRITE_REGISTERS = 123
MAX_WRITE_BITS = 1968
_ON, _OFF = 0xFF00, 0x0000
_ERROR_BIT = 0x80

_two_words = struct.Struct(">HH").unpack_from


class Table(StrEnum):
    """The four tables of the Modbus data model (V1.1b3, 4.3)."""

    COIL = "coil"
    DISCRETE = "discrete"
    HOLDING = "holding"
    INPUT = "input"


class ExceptionCode(IntEnum):
    """Why a request is refused (V1.1b3, 7)."""

    ILLEGAL_FUNCTION = 1
    ILLEGAL_ADDRESS = 2
    ILLEGAL_VALUE = 3
    DEVICE_FAILURE = 4
    DEVICE_BUSY = 6


class RequestRefused(Exception):
    """The request cannot be served; the master is told the code."""

    def __init__(self, code: ExceptionCode) -> None:
        super().__init__(code.name)
        self.code = code


@dataclass(slots=True)
class Tables:
    """What a device holds: registers as big-endian bytes, bits as one byte (0 or 1) each, all from address 0.

    The sizes do not change while the device is served.
    """

    input: bytes = b""
    holding: bytearray = field(default_factory=bytearray)
    coil: bytearray = field(default_factory=bytearray)
    discrete: bytes = b""


@dataclass(frozen=True, slots=True)
class Span:
    """`count` registers or bits of a table from `address` (from 0, as on the wire)."""

    table: Table
    address: int
    count: int

    def covers(self, other: "Span") -> bool:
        """True when every register of `other` lies within this span."""
        inside = self.address <= other.address and other.address + other.count <= self.address + self.count
        return inside and self.table is other.table


def span_read(request: bytes, tables: Tables) -> Span | None:
    """The span that a reading request asks for; None when it writes. RequestRefused when it cannot be served."""
    try:
        table, most = _READS[request[0]]
    except KeyError:
        if request[0] in _WRITES:
            return None
        raise RequestRefused(ExceptionCode.ILLEGAL_FUNCTION) from None
    if len(request) != 5:
        raise RequestRefused(ExceptionCode.ILLEGAL_VALUE)
    address, count = _two_words(request, 1)
    if not 1 <= count <= most:
        raise RequestRefused(ExceptionCode.ILLEGAL_VALUE)
    if address + count > _size(tables, table):
        raise RequestRefused(ExceptionCode.ILLEGAL_ADDRESS)
    return Span(table, address, count)


def read(request: bytes, span: Span, tables: Tables) -> bytes:
    """The answer to a reading request whose span `span_read` has checked."""
    first, last = span.address, span.address + span.count
    if span.table is Table.INPUT:
        payload: bytes | bytearray = tables.input[2 * first : 2 * last]
    elif span.table is Table.HOLDING:
        payload = tables.holding[2 * first : 2 * last]
    else:
        bits = tables.coil if span.table is Table.COIL else tables.discrete
        payload = pack_bits(bits[first:last])
    return bytes((request[0], len(payload))) + payload


def write(request: bytes, tables: Tables) -> bytes:
    """Carry out a writing request and answer it; RequestRefused, with nothing written, when it cannot be served."""
    return _WRITES[request[0]](request, tables)


def refusal(request: bytes, code: ExceptionCode) -> bytes:
    """The answer that tells the master why its request is not served."""
    return bytes((request[0] | _ERROR_BIT, code))


def pack_bits(bits: bytes | bytearray) -> bytes:
    """Bits of one byte each, packed eight to a byte, the first in the lowest place (V1.1b3, 6.1)."""
    packed = sum(bit << place for place, bit in enumerate(bits))
    return packed.to_bytes((len(bits) + 7) // 8, "little")


def unpack_bits(packed: bytes, count: int) -> bytes:
    """The inverse of `pack_bits`: the first `count` bits as one byte each."""
    number = int.from_bytes(packed, "little")
    return bytes((number >> place) & 1 for place in range(count))


def _size(tables: Tables, table: Table) -> int:
    match table:
        case Table.INPUT:
            return len(tables.input) // 2
        case Table.HOLDING:
            return len(tables.holding) // 2
        case Table.COIL:
            return len(tables.coil)
        case Table.DISCRETE:
            return len(tables.discrete)


def _write_coil(request: bytes, tables: Tables) -> bytes:
    address, value = _address_and_value(request)
    if value not in {_ON, _OFF}:
        raise RequestRefused(ExceptionCode.ILLEGAL_VALUE)
    _check_end(address + 1, tables, Table.COIL)
    tables.coil[address] = value == _ON
    return request


def _write_register(request: bytes, tables: Tables) -> bytes:
    address, _ = _address_and_value(request)
    _check_end(address + 1, tables, Table.HOLDING)
    tables.holding[2 * address : 2 * address + 2] = request[3:5]
    return request


def _write_coils(request: bytes, tables: Tables) -> bytes:
    address, count, payload = _block(request)
    if not 1 <= count <= MAX_WRITE_BITS or len(payload) != (count + 7) // 8:
        raise RequestRefused(ExceptionCode.ILLEGAL_VALUE)
    _check_end(address + count, tables, Table.COIL)
    tables.coil[address : address + count] = unpack_bits(payload, count)
    return request[:5]


def _write_registers(request: bytes, tables: Tables) -> bytes:
    address, count, payload = _block(request)
    if not 1 <= count <= MAX_WRITE_REGISTERS or len(payload) != 2 * count:
        raise RequestRefused(ExceptionCode.ILLEGAL_VALUE)
    _check_end(address + count, tables, Table.HOLDING)
    tables.holding[2 * address : 2 * (address + count)] = payload
    return request[:5]


def _address_and_value(request: bytes) -> tuple[int, int]:
    if len(request) != 5:
        raise RequestRefused(ExceptionCode.ILLEGAL_VALUE)
    address, value = _two_words(request, 1)
    return address, value


def _block(request: bytes) -> tuple[int, int, bytes]:
    if len(request) < 7 or request[5] != len(request) - 6:
        raise RequestRefused(ExceptionCode.ILLEGAL_VALUE)
    address, count = _two_words(request, 1)
    return address, count, request[6:]


def _check_end(end: int, tables: Tables, table: Table) -> None:
    if end > _size(tables, table):
        raise RequestRefused(ExceptionCode.ILLEGAL_ADDRESS)


_READS: Mapping[int, tuple[Table, int]] = MappingProxyType(
    {
        1: (Table.COIL, MAX_READ_BITS),
        2: (Table.DISCRETE, MAX_READ_BITS),
        3: (Table.HOLDING, MAX_READ_REGISTERS),
        4: (Table.INPUT, MAX_READ_REGISTERS),
    }
)
_WRITES: Mapping[int, Callable[[bytes, Tables], bytes]] = MappingProxyType(
    {5: _write_coil, 6: _write_register, 15: _write_coils, 16: _write_registers}
)
