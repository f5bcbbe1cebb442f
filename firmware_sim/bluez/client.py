"""The simulated bluetoothd's own connection to a bus, ours or a dbus-daemon: calls, replies, signals, descriptors.

dbus-fast's client is not used here because its writer takes a full socket as the end of the connection, which a burst
of InterfacesAdded reaches.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from dbus_fast import Message, MessageFlag, MessageType

from contract.errors import ProtocolError, Unreachable
from firmware_sim.bluez import sasl
from firmware_sim.bluez.bus import SOCKET_BUFFER_BYTES, close_descriptors
from firmware_sim.bluez.bus_calls import BUS_NAME, BUS_PATH
from firmware_sim.bluez.wire import Wire, marshal

CONNECT_LIMIT_S = 5.0


class BusClient:
    """A connection that owns its answers: `on_call` gets method calls, `on_signal` signals, `on_lost` the end."""

    def __init__(
        self,
        on_call: Callable[[Message], None],
        on_signal: Callable[[Message], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._on_call = on_call
        self._on_signal = on_signal
        self._on_lost = on_lost
        self._serial = 0
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._wire: Wire | None = None

    async def connect(self, path: Path) -> None:
        """Connect to the bus on the unix socket and say Hello; Unreachable when nobody answers as a bus does."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
        try:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                await asyncio.get_running_loop().sock_connect(sock, str(path))
                await sasl.authenticate(sock)
        except (OSError, ProtocolError, TimeoutError) as error:
            sock.close()
            raise Unreachable(f"the D-Bus at {path} does not answer") from error
        self._wire = Wire(sock, self._take, self._closed)
        self._wire.start()
        await self.call_bus("Hello")

    async def call(
        self, destination: str, path: str, interface: str, member: str, signature: str = "", body: Sequence[object] = ()
    ) -> Message:
        """Call a method and wait for its reply or error, or for the end of the connection (Unreachable)."""
        message = Message(destination, path, interface, member, signature=signature, body=list(body))
        serial = self.send(message)
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[serial] = future
        try:
            return await future
        finally:
            self._waiting.pop(serial, None)

    async def call_bus(self, member: str, signature: str = "", body: Sequence[object] = ()) -> Message:
        """Call the bus itself; ProtocolError when it answers with an error."""
        reply = await self.call(BUS_NAME, BUS_PATH, BUS_NAME, member, signature, body)
        if reply.message_type is MessageType.ERROR:
            raise ProtocolError(f"the bus refused {member}: {reply.error_name}")
        return reply

    def send(self, message: Message) -> int:
        """Send any message, return the serial number given to it."""
        if self._wire is None or not self._wire.is_open:
            raise Unreachable("not connected to the D-Bus")
        self._serial += 1
        message.serial = self._serial
        self._wire.send(marshal(message), message.unix_fds)
        return self._serial

    def emit(self, path: str, interface: str, member: str, signature: str, body: Sequence[object]) -> None:
        """Send a signal to whoever asked to see it; nothing happens once the connection is lost."""
        if self._wire is not None and self._wire.is_open:
            self.send(Message.new_signal(path, interface, member, signature, list(body)))

    def reply(self, call: Message, answer: Message) -> None:
        """Send the answer to a call, unless its caller wants none or the connection is lost."""
        if self._wire is not None and self._wire.is_open and not call.flags & MessageFlag.NO_REPLY_EXPECTED:
            self.send(answer)

    def close(self) -> None:
        """Leave the bus; every waiting call ends with Unreachable."""
        if self._wire is not None:
            self._wire.close()

    def _take(self, message: Message) -> None:
        try:
            if message.message_type is MessageType.METHOD_CALL:
                self._on_call(message)
            elif message.message_type is MessageType.SIGNAL:
                self._on_signal(message)
            else:
                future = self._waiting.get(message.reply_serial)
                if future is not None and not future.done():
                    future.set_result(message)
        finally:
            close_descriptors(message)

    def _closed(self, _reason: str) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Unreachable("the D-Bus went away"))
        self._on_lost()
