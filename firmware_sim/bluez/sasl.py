"""The authentication of D-Bus, both sides: SASL EXTERNAL (D-Bus specification 0.43, authentication protocol).

The server side is a pure state machine over lines; the client side speaks it over a socket that is already connected.
"""

import asyncio
import os
import socket
from enum import Enum, auto

from contract.errors import ProtocolError

MAX_LINE_BYTES = 512
MAX_HANDSHAKE_BYTES = 4096
"""All that a client may say before BEGIN; real ones need about 60 bytes."""


class Stage(Enum):
    """How far a client has come."""

    NUL = auto()
    LINES = auto()
    BEGUN = auto()


class Server:
    """What the bus answers while a client with the kernel's word for its `uid` authenticates."""

    def __init__(self, uid: int, guid: str) -> None:
        self._uid = uid
        self._guid = guid
        self._line = bytearray()
        self._is_known = False
        self._bytes = 0
        self.takes_descriptors = False
        self.stage = Stage.NUL

    def feed(self, byte: bytes) -> bytes:
        """Take ONE byte, give what to answer; the byte after BEGIN belongs to the messages. ProtocolError: drop it."""
        if self.stage is Stage.NUL:
            if byte != b"\0":
                raise ProtocolError("a D-Bus client begins with a NUL byte")
            self.stage = Stage.LINES
            return b""
        self._line += byte
        self._bytes += 1
        if len(self._line) > MAX_LINE_BYTES or self._bytes > MAX_HANDSHAKE_BYTES:
            raise ProtocolError("the authentication is too long")
        if not self._line.endswith(b"\r\n"):
            return b""
        line = bytes(self._line[:-2])
        self._line.clear()
        return self._answer(line)

    def _answer(self, line: bytes) -> bytes:
        command, _, rest = line.partition(b" ")
        if command == b"BEGIN":
            if not self._is_known:
                raise ProtocolError("BEGIN before authentication")
            self.stage = Stage.BEGUN
            return b""
        if command == b"AUTH":
            return self._authenticate(rest)
        if command == b"DATA":
            return self._judge(rest)
        if command == b"NEGOTIATE_UNIX_FD" and self._is_known:
            self.takes_descriptors = True
            return b"AGREE_UNIX_FD\r\n"
        if command in {b"CANCEL", b"ERROR"}:
            return b"REJECTED EXTERNAL\r\n"
        return b"ERROR\r\n"

    def _authenticate(self, rest: bytes) -> bytes:
        mechanism, _, response = rest.partition(b" ")
        if mechanism != b"EXTERNAL":
            return b"REJECTED EXTERNAL\r\n"
        return self._judge(response) if response else b"DATA\r\n"

    def _judge(self, response: bytes) -> bytes:
        """An empty response means: the uid that the kernel names."""
        if response and response.lower() != str(self._uid).encode().hex().encode():
            return b"REJECTED EXTERNAL\r\n"
        self._is_known = True
        return b"OK " + self._guid.encode() + b"\r\n"


async def authenticate(sock: socket.socket) -> None:
    """Introduce ourselves to a bus as the uid we run as, with descriptor passing; ProtocolError when it refuses."""
    loop = asyncio.get_running_loop()
    uid = str(os.getuid()).encode().hex()
    await loop.sock_sendall(sock, f"\0AUTH EXTERNAL {uid}\r\n".encode())
    await _expect(sock, b"OK ")
    await loop.sock_sendall(sock, b"NEGOTIATE_UNIX_FD\r\n")
    await _expect(sock, b"AGREE_UNIX_FD")
    await loop.sock_sendall(sock, b"BEGIN\r\n")


async def _expect(sock: socket.socket, beginning: bytes) -> None:
    loop = asyncio.get_running_loop()
    line = b""
    while not line.endswith(b"\r\n"):
        chunk = await loop.sock_recv(sock, MAX_LINE_BYTES)
        line += chunk
        if not chunk or len(line) > MAX_LINE_BYTES:
            raise ProtocolError("the bus broke off the authentication")
    if not line.startswith(beginning):
        raise ProtocolError("the bus refused the authentication")
