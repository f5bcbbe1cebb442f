"""A Modbus TCP server to test against, from Modbus Application Protocol V1.1b3, steered by its data."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

BITS = {1, 2}


@dataclass
class Server:
    """`tables[function][address]` is a register or bit; an address that is missing answers exception 02.

    `spoil` may turn the bytes of an answer (transaction, answer) into others; `refuse` maps a request to an exception.
    """

    tables: dict[int, dict[int, int]] = field(default_factory=dict)
    unit: int = 1
    spoil: Callable[[bytes], bytes] | None = None
    refuse: Callable[[int, int, int], int] | None = None
    is_silent: bool = False
    requests: list[tuple[int, int, int]] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        """Listen, on the port of before if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and hang up."""
        assert self._server is not None
        self._server.close()
        self.hang_up()
        if self._serving:
            await asyncio.wait(self._serving, timeout=5)

    def hang_up(self) -> None:
        """Close every connection."""
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            while True:
                header = await reader.readexactly(7)
                transaction, _, length, unit = struct.unpack(">HHHB", header)
                pdu = await reader.readexactly(length - 1)
                if self.is_silent or unit != self.unit:
                    continue
                answer = self._answer(pdu)
                frame = struct.pack(">HHHB", transaction, 0, len(answer) + 1, unit) + answer
                writer.write(self.spoil(frame) if self.spoil else frame)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.transport.abort()

    def _answer(self, pdu: bytes) -> bytes:
        function, address, count = struct.unpack(">BHH", pdu)
        self.requests.append((function, address, count))
        if self.refuse and (code := self.refuse(function, address, count)):
            return bytes([function | 0x80, code])
        table = self.tables.get(function, {})
        if not all(each in table for each in range(address, address + count)):
            return bytes([function | 0x80, 2])
        values = [table[each] for each in range(address, address + count)]
        if function in BITS:
            packed = sum(bit << place for place, bit in enumerate(values)).to_bytes((count + 7) // 8, "little")
            return bytes([function, len(packed)]) + packed
        return struct.pack(f">BB{count}H", function, 2 * count, *values)


@asynccontextmanager
async def modbus_server(tables: dict[int, dict[int, int]], unit: int = 1) -> AsyncIterator[Server]:
    """A server on a free port of the loopback."""
    server = Server(tables, unit)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
