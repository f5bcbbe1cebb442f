"""A TCP proxy that goes wrong on command: refuses, cuts, holds everything back, delays, throttles, stalls, and heals.

Steered by method calls while it runs. It never drops, changes or reorders a byte of a connection that lives on: what
a black hole holds back arrives late, as TCP itself would see to by sending it again.
"""

import asyncio
import socket
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from types import TracebackType
from typing import Self

CHUNK_BYTES = 16_384
CHUNKS_HELD = 16
"""What one way of one connection holds back at most, in chunks; beyond it the sender is not read any more."""
MOST_CONNECTIONS = 64
"""Unless told otherwise. A peer that tries again all the time at a black hole would pile up; the rest is cut."""
PIECES_PER_S = 20.0
"""A limited bandwidth is shared out in so many pieces a second, so that a heal is felt at once."""
LOST_SHARE = 0.2
"""How many chunks of a lossy link come late: each is about a segment, which TCP sends again."""
STALL_S = (0.2, 1.6)
"""How late: Linux's least retransmission time-out, and the third of one that doubles (RFC 6298, 5.5)."""
GIVEN_UP_SHARE = 0.02
"""How many chunks of a lossy link end its connection, as when a router on the way forgets it."""


class Way(StrEnum):
    """A direction: `UP` is from the one who connects to the target."""

    UP = "up"
    DOWN = "down"


BOTH = frozenset(Way)


@dataclass(slots=True)
class _Lane:
    """One way of one connection: chunks that were read and not yet written, each with the time it is due."""

    way: Way
    reader: asyncio.StreamReader
    chunks: asyncio.Queue[tuple[float, bytes]] = field(default_factory=lambda: asyncio.Queue(CHUNKS_HELD))


class FaultProxy:
    """Listens on a free port of `host` while entered, and relays to `target_port` of the same host."""

    def __init__(self, target_port: int, host: str = "127.0.0.1", most_connections: int = MOST_CONNECTIONS) -> None:
        self.port = 0
        self.connections = 0
        """How many were accepted so far."""
        self.held_bytes = 0
        """What was read and not yet written, over all connections."""
        self._host = host
        self._target_port = target_port
        self._most_connections = most_connections
        self._delay_s = 0.0
        self._bytes_per_s: float | None = None
        self._losses: Random | None = None
        self._gates = {way: asyncio.Event() for way in Way}
        self._live: set[asyncio.Task[None]] = set()
        self._holder: socket.socket | None = None
        self._server: asyncio.Server | None = None

    def cut(self) -> None:
        """Reset every connection; new ones are served as before."""
        for task in self._live:
            task.cancel()

    def refuse(self) -> None:
        """Reset every connection and refuse new ones until `heal`, as a host without a listener does."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def black_hole(self, ways: AbstractSet[Way] = BOTH) -> None:
        """Leave connections open and let nothing pass these ways until `heal`; new ones are taken and as dead."""
        for way in ways:
            self._gates[way].clear()

    def slow(self, delay_s: float = 0.0, bytes_per_s: float | None = None) -> None:
        """Delay each byte, and let at most so many pass a second in each way of each connection, until `heal`."""
        self._delay_s = delay_s
        self._bytes_per_s = bytes_per_s

    def lossy(self, random: Random) -> None:
        """Stall now and then as TCP does when segments are lost, and seldom reset a connection, until `heal`."""
        self._losses = random

    @property
    def live(self) -> int:
        """How many connections there are now."""
        return len(self._live)

    async def heal(self) -> None:
        """Everything passes at once again, first what was held back."""
        self.slow()
        self._losses = None
        for gate in self._gates.values():
            gate.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, sock=self._bound(), limit=CHUNK_BYTES)

    async def __aenter__(self) -> Self:
        # Bound and never listening: keeps the port while connections are refused.
        self._holder = self._bound()
        self.port = int(self._holder.getsockname()[1])
        await self.heal()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.refuse()
        if self._live:
            await asyncio.wait(self._live)
        if self._holder is not None:
            self._holder.close()

    def _bound(self) -> socket.socket:
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((self._host, self.port))
        return bound

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either end of it closes or it is cut."""
        self.connections += 1
        task = asyncio.current_task()
        if task is None or len(self._live) >= self._most_connections:
            _reset(writer)
            return
        self._live.add(task)
        lane = _Lane(Way.UP, reader)
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read(lane))
                passing = tasks.create_task(self._gates_open())
                await asyncio.wait((reading, passing), return_when=asyncio.FIRST_COMPLETED)
                if passing.done():
                    await self._relay(lane, writer, tasks)
                reading.cancel()
                passing.cancel()
        except* OSError:
            pass  # the target refuses, or either end is gone: both ends see a connection that was reset
        except* asyncio.CancelledError:
            pass  # cut
        finally:
            self._live.discard(task)
            self._forget(lane)
            _reset(writer)

    async def _relay(self, up: _Lane, writer: asyncio.StreamWriter, tasks: asyncio.TaskGroup) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._host, self._target_port, limit=CHUNK_BYTES)
        down = _Lane(Way.DOWN, far_reader)
        ways = [
            tasks.create_task(self._read(down)),
            tasks.create_task(self._write(up, far_writer)),
            tasks.create_task(self._write(down, writer)),
        ]
        try:
            await asyncio.wait(ways[1:], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            self._forget(down)
            far_writer.close()

    async def _read(self, lane: _Lane) -> None:
        """Take what comes while there is room; the end of it, however it came, is an empty chunk."""
        clock, data = asyncio.get_running_loop().time, b" "
        while data:
            data = b""
            with suppress(OSError):
                data = await lane.reader.read(CHUNK_BYTES)
            self.held_bytes += len(data)
            await lane.chunks.put((clock() + self._delay_s, data))

    async def _write(self, lane: _Lane, writer: asyncio.StreamWriter) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due, data = await lane.chunks.get()
            try:
                await asyncio.sleep(max(0.0, due - clock()))
                if not data:
                    await self._gates[lane.way].wait()
                    return
                await self._lose()
                await self._write_paced(lane.way, data, writer)
            finally:
                self.held_bytes -= len(data)

    async def _lose(self) -> None:
        """Wait as long as TCP would take to bring a lost segment again; what comes after it waits behind it."""
        if self._losses is None:
            return
        drawn = self._losses.random()
        if drawn < GIVEN_UP_SHARE:
            raise ConnectionResetError("given up on a lossy link")
        if drawn < LOST_SHARE:
            await asyncio.sleep(self._losses.uniform(*STALL_S))

    async def _write_paced(self, way: Way, data: bytes, writer: asyncio.StreamWriter) -> None:
        rest = memoryview(data)
        while rest:
            await self._gates[way].wait()
            rate = self._bytes_per_s
            size = len(rest) if rate is None else max(1, round(rate / PIECES_PER_S))
            piece, rest = rest[:size], rest[size:]
            writer.write(piece)
            await writer.drain()
            if rate is not None:
                await asyncio.sleep(len(piece) / rate)

    async def _gates_open(self) -> None:
        for gate in self._gates.values():
            await gate.wait()

    def _forget(self, lane: _Lane) -> None:
        while not lane.chunks.empty():
            self.held_bytes -= len(lane.chunks.get_nowait()[1])


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
