"""One end of a D-Bus connection: messages read from and written to a unix socket without ever blocking the loop.

The bus and the simulated bluetoothd both stand on it; it knows nothing of names, match rules or objects. Marshalling is
dbus-fast's, whose private names (`_private.marshaller`, `_private.unmarshaller`) hold for the locked version only.
"""

import array
import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from dbus_fast import Message, Variant
from dbus_fast._private.constants import LITTLE_ENDIAN, PROTOCOL_VERSION, HeaderField
from dbus_fast._private.marshaller import Marshaller
from dbus_fast._private.unmarshaller import Unmarshaller

from contract.errors import ProtocolError

MAX_MESSAGE_BYTES = 4 << 20
"""A longer message is refused before it is read; the largest real one (all objects of 20 wearables) has 200 kB."""
MAX_BACKLOG_BYTES = 8 << 20
"""What may wait for a reader that does not read; beyond it the connection is closed, so nobody fills our memory."""
MESSAGES_A_TURN = 64
"""Messages read before the loop may turn to another connection."""


def marshal(message: Message, sender: str | None = None) -> bytes:
    """The bytes of a message, with `sender` in its header: dbus-fast's own writer, made for clients, leaves it out."""
    body = Marshaller(message.signature, list(message.body)).marshall()
    texts = (
        (HeaderField.PATH, "o", message.path),
        (HeaderField.INTERFACE, "s", message.interface),
        (HeaderField.MEMBER, "s", message.member),
        (HeaderField.ERROR_NAME, "s", message.error_name),
        (HeaderField.REPLY_SERIAL, "u", message.reply_serial),
        (HeaderField.DESTINATION, "s", message.destination),
        (HeaderField.SENDER, "s", sender),
        (HeaderField.SIGNATURE, "g", message.signature),
        (HeaderField.UNIX_FDS, "u", len(message.unix_fds)),
    )
    fields = [[field.value, Variant(kind, value)] for field, kind, value in texts if value]
    head = [LITTLE_ENDIAN, message.message_type.value, message.flags.value, PROTOCOL_VERSION]
    header = bytearray(Marshaller("yyyyuua(yv)", [*head, len(body), message.serial, fields]).marshall())
    header += bytes(-len(header) % 8)
    return bytes(header + body)


class _Intake:
    """The socket as the unmarshaller reads it: no message beyond the limit, and every descriptor kept account of."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.descriptors: list[int] = []

    def recvmsg(self, size: int, ancillary: int) -> tuple[bytes, list[tuple[int, int, bytes]], int, Any]:
        if size > MAX_MESSAGE_BYTES:
            raise ProtocolError(f"a message of more than {MAX_MESSAGE_BYTES} bytes was announced")
        received = self._sock.recvmsg(size, ancillary, socket.MSG_CMSG_CLOEXEC)
        for level, kind, data in received[1]:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self.descriptors.extend(array.array("i", data[: len(data) - len(data) % 4]))
        return received


class Wire:
    """A connected, authenticated socket: `on_message` is called for each message, `on_closed` once with the reason.

    Descriptors of a received message belong to `on_message`. Both callbacks run in the event loop's thread.
    """

    def __init__(
        self, sock: socket.socket, on_message: Callable[[Message], None], on_closed: Callable[[str], None]
    ) -> None:
        self._sock = sock
        self._on_message = on_message
        self._on_closed = on_closed
        self._intake = _Intake(sock)
        self._unmarshaller = Unmarshaller(None, self._intake, True)  # type: ignore[arg-type]  # reads only recvmsg
        self._backlog: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._backlog_bytes = 0
        self._loop = asyncio.get_running_loop()
        self.is_open = True

    def start(self) -> None:
        """Begin to read."""
        self._loop.add_reader(self._sock.fileno(), self._readable)

    def send(self, frame: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send a marshalled message, now or when the socket takes it; the descriptors stay the caller's."""
        if not self.is_open:
            return
        was_idle = not self._backlog
        self._backlog.append((memoryview(frame), tuple(os.dup(fd) for fd in descriptors)))
        self._backlog_bytes += len(frame)
        if self._backlog_bytes > MAX_BACKLOG_BYTES:
            self.close("it does not read what it is sent")
        elif was_idle:
            self._flush()
            if self._backlog:
                self._loop.add_writer(self._sock.fileno(), self._writable)

    def close(self, reason: str = "closed here") -> None:
        """Close the socket and say so once; closing again does nothing."""
        if not self.is_open:
            return
        self.is_open = False
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        for _, descriptors in self._backlog:
            _close_all(descriptors)
        self._backlog.clear()
        _close_all(self._intake.descriptors)
        self._sock.close()
        self._on_closed(reason)

    def _readable(self) -> None:
        for _ in range(MESSAGES_A_TURN):
            if not self.is_open:
                return
            try:
                message = self._unmarshaller.unmarshall()
            except (EOFError, ConnectionError):
                self.close("the peer closed")
                return
            except Exception as error:  # noqa: BLE001  # dbus-fast promises no family for broken bytes
                self.close(f"its bytes are no D-Bus message ({type(error).__name__})")
                return
            if message is None:
                return
            self._intake.descriptors.clear()
            self._on_message(message)

    def _writable(self) -> None:
        self._flush()
        if self.is_open and not self._backlog:
            self._loop.remove_writer(self._sock.fileno())

    def _flush(self) -> None:
        while self._backlog:
            frame, descriptors = self._backlog[0]
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
            try:
                sent = self._sock.sendmsg([frame], rights)
            except BlockingIOError:
                return
            except OSError:
                self.close("the peer closed")
                return
            _close_all(descriptors)
            self._backlog_bytes -= sent
            if sent < len(frame):
                self._backlog[0] = (frame[sent:], ())
                return
            self._backlog.popleft()


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
