"""A tap on the wire between gateway and broker: every MQTT packet that the gateway sends, in the clear."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from cloud_sync.envelope import decode_envelope

PUBLISH = 3


@dataclass
class Wire:
    """What passed: (monotonic time, topic, payload) of each PUBLISH of the gateway. `port` is where it connects to."""

    port: int = 0
    published: list[tuple[float, str, bytes]] = field(default_factory=list)

    def data(self) -> list[tuple[float, str, bytes]]:
        """Publishes that carry records: all but hellos."""
        return [message for message in self.published if not message[1].endswith("/up/hello")]

    def personal(self) -> list[float]:
        """When parts of persons passed that still held something."""
        return [
            at
            for at, _, payload in self.data()
            for part in decode_envelope(payload).parts
            if part.purpose is not None and part.blob
        ]


@asynccontextmanager
async def tapped(broker_port: int) -> AsyncIterator[Wire]:
    """A relay to the broker on loopback that keeps what the gateway publishes."""
    wire = Wire()
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        tasks.add(task)
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", broker_port)
            packets = _Packets(wire)
            async with asyncio.TaskGroup() as group:
                group.create_task(_relay(reader, up_writer, packets.feed))
                group.create_task(_relay(up_reader, writer, lambda _: None))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, see) -> None:
    try:
        while data := await reader.read(65536):
            see(data)
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


class _Packets:
    """MQTT 3.1.1 control packets out of a byte stream (section 2.2: fixed header, remaining length)."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._buffer = b""

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while (packet := self._next()) is not None:
            first, body = packet
            if first >> 4 == PUBLISH:
                length = int.from_bytes(body[:2], "big")
                start = 2 + length + (2 if first & 0b110 else 0)
                self._wire.published.append((time.monotonic(), body[2 : 2 + length].decode(), body[start:]))

    def _next(self) -> tuple[int, bytes] | None:
        size = shift = 0
        for index, byte in enumerate(self._buffer[1:5], start=1):
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                end = index + 1 + size
                if len(self._buffer) < end:
                    return None
                packet = self._buffer[0], self._buffer[index + 1 : end]
                self._buffer = self._buffer[end:]
                return packet
        return None
