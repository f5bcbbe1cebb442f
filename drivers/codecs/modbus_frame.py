"""Which bytes of a Modbus TCP stream answer a request. Pure; the header is checked here and nowhere later.

Modbus Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3 (header), Modbus Application Protocol V1.1b3, 6 and 7.
"""

from dataclasses import dataclass

from contract.errors import ProtocolError

HEADER_BYTES = 7
MAX_LENGTH = 254
"""Of the header's length field: unit and at most 253 bytes of PDU."""
EXCEPTION_BIT = 0x80


@dataclass(frozen=True, slots=True)
class Expected:
    """What the answer to a read request must look like."""

    transaction: int
    unit: int
    function: int
    data_bytes: int
    """Bytes of registers or bits asked for."""


def holds_answer(data: bytes, expected: Expected) -> bool:
    """True once the whole answer is in `data`; False while more must come.

    Whole frames of other transactions before it are passed over: a late answer to an earlier request is not this one.
    Raises ProtocolError for what is no Modbus TCP frame, and for an answer of the wrong unit, function or size.
    """
    rest = data
    while (length := _frame_bytes(rest)) is not None:
        frame, rest = rest[:length], rest[length:]
        transaction = int.from_bytes(frame[0:2], "big")
        if transaction == expected.transaction:
            _check(frame, expected)
            return True
        if transaction == 0:  # never asked for, and pymodbus would take it for any transaction
            raise ProtocolError("answer to no request")
    return False


def is_whole(data: bytes) -> bool:
    """True when `data` is empty or nothing but whole frames; ProtocolError when it is no Modbus TCP."""
    while data:
        length = _frame_bytes(data)
        if length is None:
            return False
        data = data[length:]
    return True


def _frame_bytes(data: bytes) -> int | None:
    """Length of the frame that `data` begins with; None while it is not whole."""
    if len(data) < HEADER_BYTES:
        return None
    length = int.from_bytes(data[4:6], "big")
    if data[2:4] != b"\0\0" or not 3 <= length <= MAX_LENGTH:
        raise ProtocolError("answer without a Modbus TCP header")
    return 6 + length if len(data) >= 6 + length else None


def _check(frame: bytes, expected: Expected) -> None:
    unit, function, size = frame[6], frame[7], len(frame) - HEADER_BYTES
    if unit != expected.unit:
        raise ProtocolError("answer of another unit")
    if function == expected.function | EXCEPTION_BIT:
        if size != 2:
            raise ProtocolError("exception of a wrong length")
        return
    if function != expected.function:
        raise ProtocolError("answer to another function")
    if size != 2 + expected.data_bytes or frame[8] != expected.data_bytes:
        raise ProtocolError("answer of another length than asked for")
