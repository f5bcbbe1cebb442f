"""A farm of registers without a meaning: the load for benchmarks, cheap enough not to be what is measured."""

import struct
from random import Random

from firmware_sim.modbus_pdu import MAX_READ_REGISTERS, Span, Table, Tables
from firmware_sim.modbus_station import Equipment, Said

_VARIANTS = 64
_COUNTER_REGISTERS = 2
_counter = struct.Struct(">I").pack


def farm(registers: int = 100, seed: int = 0) -> Equipment:
    """Input registers 0 to `registers` - 1: a uint32 `device_counter` (high word first), then uint16 that change.

    The uint16 values of answer n are those of answer n + 64; any two neighbouring answers differ.
    """
    if not _COUNTER_REGISTERS < registers <= MAX_READ_REGISTERS:
        raise ValueError(f"a farm has 3 to {MAX_READ_REGISTERS} registers")
    random = Random(seed)  # noqa: S311  a load, not a secret
    rest = [random.randbytes(2 * (registers - _COUNTER_REGISTERS)) for _ in range(_VARIANTS)]

    def measure(tables: Tables, number: int) -> Said:
        tables.input = _counter(number) + rest[number % _VARIANTS]
        return {"device_counter": float(number)}

    spans = {"device_counter": Span(Table.INPUT, 0, _COUNTER_REGISTERS)}
    return Equipment(Tables(input=bytes(2 * registers)), measure, spans)
