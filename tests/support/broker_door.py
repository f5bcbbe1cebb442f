"""A door before the real broker: it relays, or plays one of the ways in which a broker can go wrong."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

CONNACK, CONNACK_REFUSED = b"\x20\x02\x00\x00", b"\x20\x02\x00\x05"
SUBACK, PUBACK, PINGRESP = 0x90, 0x40, b"\xd0\x00"
CONNECT, PUBLISH, SUBSCRIBE, PINGREQ = 1, 3, 8, 12

Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def publish(topic: bytes, payload: bytes) -> bytes:
    """A PUBLISH at QoS 0 (MQTT 3.1.1, 3.3), put together here and not by the library under test."""
    body = len(topic).to_bytes(2, "big") + topic + payload
    return b"\x30" + remaining_length(len(body)) + body


def remaining_length(size: int) -> bytes:
    """MQTT 3.1.1, 2.2.3."""
    digits = []
    while True:
        size, digit = divmod(size, 128)
        digits.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(digits)


async def next_packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """(type, body) of the next control packet."""
    first = (await reader.readexactly(1))[0]
    size = shift = 0
    while True:
        digit = (await reader.readexactly(1))[0]
        size |= (digit & 0x7F) << shift
        shift += 7
        if digit < 0x80:
            return first >> 4, await reader.readexactly(size)


async def next_frame(reader: asyncio.StreamReader) -> bytes:
    """The next control packet as it came."""
    head = await reader.readexactly(2)
    while head[-1] & 0x80:
        head += await reader.readexactly(1)
    size = sum((digit & 0x7F) << 7 * place for place, digit in enumerate(head[1:]))
    return head + await reader.readexactly(size)


def nothing(topic: bytes, payload: bytes) -> bytes:
    """The answer of a broker without a hub."""
    del topic, payload
    return b""


async def polite(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    subscribed: Callable[[], bytes] = bytes,
    published: Callable[[bytes, bytes], bytes] = nothing,
) -> None:
    """A broker that acknowledges everything. It sends `subscribed()` after the SUBACK, and after each PUBACK what
    `published(topic, payload)` gives: without that it stores nothing.
    """
    while True:
        kind, body = await next_packet(reader)
        if kind == CONNECT:
            writer.write(CONNACK)
        elif kind == SUBSCRIBE:
            writer.write(bytes([SUBACK, 3]) + body[:2] + b"\x00" + subscribed())
        elif kind == PUBLISH:
            length = int.from_bytes(body[:2], "big")
            writer.write(bytes([PUBACK, 2]) + body[2 + length : 4 + length])
            writer.write(published(body[2 : 2 + length], body[4 + length :]))
        elif kind == PINGREQ:
            writer.write(PINGRESP)
        await writer.drain()


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closes at once, as a forwarder whose target refuses."""


async def closes_after_connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closes instead of a CONNACK."""
    await next_packet(reader)


async def closes_after_connack(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closes instead of a SUBACK."""
    await next_packet(reader)
    writer.write(CONNACK)
    await next_packet(reader)


async def never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes the connection and says nothing: no CONNACK."""
    while await reader.read(4096):
        pass


async def refuses_the_subscription(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A SUBACK with the failure code (MQTT 3.1.1, 3.9.3)."""
    await next_packet(reader)
    writer.write(CONNACK)
    _, body = await next_packet(reader)
    writer.write(bytes([SUBACK, 3]) + body[:2] + b"\x80")
    await reader.read()


async def never_acknowledges(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes everything and answers CONNECT and SUBSCRIBE only: no PUBACK."""
    await next_packet(reader)
    writer.write(CONNACK)
    _, body = await next_packet(reader)
    writer.write(bytes([SUBACK, 3]) + body[:2] + b"\x00")
    while await reader.read(4096):
        pass


@dataclass
class Door:
    """`play` serves new connections; None relays them to the broker. `is_dead`: relays are open and pass nothing.

    `copies`: how often each PUBLISH is passed on, either way. `delay_s`: how late everything is.
    """

    target: int
    port: int = 0
    play: Play | None = None
    connections: int = 0
    is_dead: bool = False
    copies: int = 1
    delay_s: float = 0.0
    _live: set[asyncio.Task[None]] = field(default_factory=set)
    _down: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._live)

    async def turn(self, play: Play | None) -> None:
        """From now on `play`; every connection is cut."""
        self.play, self.is_dead = play, False
        for task in list(self._live):
            task.cancel()
        await asyncio.gather(*self._live, return_exceptions=True)

    def inject(self, data: bytes) -> None:
        """Send `data` to every gateway that is relayed, as if the broker had."""
        for writer in self._down:
            writer.write(data)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._live.add(task)
        try:
            await (self.play(reader, writer) if self.play else self._relay(reader, writer))
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            self._live.discard(task)
            self._down.discard(writer)
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        self._down.add(writer)
        try:
            ways = [asyncio.create_task(self._pass(*way)) for way in ((reader, far_writer), (far_reader, writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.wait(ways)
        finally:
            far_writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while data := await next_frame(reader):
            if not self.is_dead:
                for _ in range(self.copies if data[0] >> 4 == PUBLISH else 1):
                    loop.call_later(self.delay_s, writer.write, data)
                await writer.drain()


@asynccontextmanager
async def broker_door(target: int) -> AsyncIterator[Door]:
    """A door on a free port of the loopback, before the broker on `target`."""
    door = Door(target)
    server = await asyncio.start_server(door.serve, "127.0.0.1", 0)
    door.port = server.sockets[0].getsockname()[1]
    try:
        yield door
    finally:
        server.close()
        await door.turn(None)
