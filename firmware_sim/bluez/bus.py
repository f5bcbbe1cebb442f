"""A private D-Bus message bus in pure Python: what `dbus-daemon` does for one test bench, on one unix socket.

It routes calls, replies, signals and descriptors between peers, keeps names and match rules, and drops a peer that
sends garbage or does not read, while the others go on. No activation, no policy, no queue of name owners.
"""

import asyncio
import logging
import secrets
import socket
import struct
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from dbus_fast import DBusError, Message, MessageFlag, MessageType

from contract.errors import ProtocolError
from firmware_sim.bluez import bus_calls, sasl
from firmware_sim.bluez.bus_calls import BUS_NAME, BUS_PATH
from firmware_sim.bluez.claim import claim
from firmware_sim.bluez.match import Rule
from firmware_sim.bluez.wire import Wire, marshal

MAX_PEERS = 256
"""Connections at once; dbus-daemon's own max_connections_per_user, so that a leak shows here as it does there."""
MAX_AWAITED = 4096
"""Replies a peer may owe at once; more calls to it are refused."""
SOCKET_BUFFER_BYTES = 1 << 20
"""Asked of the kernel for what is sent, so that a burst seldom has to wait in the backlog."""

_log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Peer:
    """One connection: its unique name, what it owns, what it asked to see, and the replies it owes (caller, serial)."""

    name: str
    uid: int
    pid: int
    takes_descriptors: bool = False
    said_hello: bool = False
    names: set[str] = field(default_factory=set)
    rules: list[Rule] = field(default_factory=list)
    owes: set[tuple[str, int]] = field(default_factory=set)
    wire: Wire = field(init=False)


class PrivateBus:
    """`async with PrivateBus(path)`: a bus that listens on the unix socket `path`; a stale socket file is replaced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.guid = secrets.token_hex(16)
        self.peers: list[Peer] = []
        self.owners: dict[str, Peer] = {}
        """Every name, unique (once it said Hello) and well-known, and who has it."""
        self.dropped: Counter[str] = Counter()
        """Peers dropped for what they did, by reason."""
        self._newcomers: set[socket.socket] = set()
        self._count = 0
        self._serial = 0

    @property
    def address(self) -> str:
        """What DBUS_SYSTEM_BUS_ADDRESS has to say."""
        return f"unix:path={self.path}"

    async def __aenter__(self) -> Self:
        """Listen. Refused when somebody else does, Misconfigured or OSError when no socket can be there."""
        claim(self.path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._listener.fileno(), self._accept)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close every connection and remove the socket file."""
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        for sock in list(self._newcomers):
            self._turn_away(sock)
        for peer in list(self.peers):
            peer.wire.close()
        self.path.unlink(missing_ok=True)

    def send(self, peer: Peer, message: Message) -> None:
        """Send a message of the bus itself to one peer."""
        self._serial += 1
        message.serial = self._serial
        message.destination = peer.name
        peer.wire.send(marshal(message, BUS_NAME))

    def change_owner(self, name: str, old: Peer | None, new: Peer | None) -> None:
        """Give a name from one peer to another and tell who asked to know."""
        if new is None:
            self.owners.pop(name, None)
        else:
            self.owners[name] = new
        body = [name, old.name if old else "", new.name if new else ""]
        self._broadcast(BUS_NAME, Message.new_signal(BUS_PATH, BUS_NAME, "NameOwnerChanged", "sss", body))
        if old and old.wire.is_open:
            self.send(old, Message.new_signal(BUS_PATH, BUS_NAME, "NameLost", "s", [name]))
        if new:
            self.send(new, Message.new_signal(BUS_PATH, BUS_NAME, "NameAcquired", "s", [name]))

    # Arrival: a connection is a newcomer until it has authenticated.

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:  # the client gave up meanwhile, or we are out of descriptors: the next one may do better
            return
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
        if len(self._newcomers) + len(self.peers) >= MAX_PEERS:
            self.dropped["too many connections"] += 1
            sock.close()
            return
        pid, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
        self._newcomers.add(sock)
        server = sasl.Server(uid, self.guid)
        self._loop.add_reader(sock.fileno(), self._greet, sock, server, uid, pid)

    def _greet(self, sock: socket.socket, server: sasl.Server, uid: int, pid: int) -> None:
        """Byte by byte, since what follows BEGIN is the first message and belongs to the unmarshaller."""
        try:
            while server.stage is not sasl.Stage.BEGUN:
                byte = sock.recv(1)
                if not byte:
                    self._turn_away(sock)
                    return
                answer = server.feed(byte)
                if answer:
                    sock.send(answer)
        except BlockingIOError:
            return
        except (OSError, ProtocolError):
            self.dropped["no authentication"] += 1
            self._turn_away(sock)
            return
        self._loop.remove_reader(sock.fileno())
        self._newcomers.discard(sock)
        self._admit(sock, server.takes_descriptors, uid, pid)

    def _turn_away(self, sock: socket.socket) -> None:
        self._loop.remove_reader(sock.fileno())
        self._newcomers.discard(sock)
        sock.close()

    def _admit(self, sock: socket.socket, takes_descriptors: bool, uid: int, pid: int) -> None:
        self._count += 1
        peer = Peer(f":1.{self._count}", uid, pid, takes_descriptors)
        peer.wire = Wire(sock, lambda message: self._take(peer, message), lambda reason: self._forget(peer, reason))
        self.peers.append(peer)
        peer.wire.start()

    def _forget(self, peer: Peer, reason: str) -> None:
        if reason not in {"the peer closed", "closed here"}:
            self.dropped[reason] += 1
            _log.warning("dropped a D-Bus peer: %s (%d so far)", reason, self.dropped.total())
        self.peers.remove(peer)
        for name in [*sorted(peer.names), peer.name]:
            if name in self.owners:
                self.change_owner(name, peer, None)
        for caller, serial in sorted(peer.owes):
            if caller in self.owners:
                text = "Message recipient disconnected from message bus without replying"
                self.send(self.owners[caller], _error(serial, f"{BUS_NAME}.Error.NoReply", text))
        for other in self.peers:
            other.owes = {debt for debt in other.owes if debt[0] != peer.name}

    # Traffic.

    def _take(self, peer: Peer, message: Message) -> None:
        try:
            self._route(peer, message)
        except Exception as error:  # noqa: BLE001  # names and bodies that dbus-fast's validators and writer refuse
            peer.wire.close(f"its message cannot be passed on ({type(error).__name__})")
        finally:
            close_descriptors(message)

    def _route(self, peer: Peer, message: Message) -> None:
        _validate(message)
        is_hello = message.member == "Hello" and message.destination == BUS_NAME
        if peer.said_hello == is_hello:
            peer.wire.close("it did not begin with one Hello")
        elif message.destination == BUS_NAME:
            self._serve(peer, message)
        elif message.destination:
            self._forward(peer, message, message.destination)
        elif message.message_type is MessageType.SIGNAL:
            self._broadcast(peer.name, message)
        else:
            peer.wire.close("it sent a call or reply to nobody")

    def _serve(self, peer: Peer, message: Message) -> None:
        """A call to the bus itself."""
        if message.message_type is not MessageType.METHOD_CALL:
            return
        try:
            signature, body = bus_calls.answer(self, peer, message)
            reply = Message.new_method_return(message, signature, list(body))
        except DBusError as error:
            reply = _error(message.serial, error.type, error.text)
        reply.destination = None
        if not message.flags & MessageFlag.NO_REPLY_EXPECTED:
            self.send(peer, reply)
        if message.member == "Hello":
            peer.said_hello = True
            self.change_owner(peer.name, None, peer)

    def _forward(self, peer: Peer, message: Message, destination: str) -> None:
        target = self.owners.get(destination)
        is_call = message.message_type is MessageType.METHOD_CALL
        wants_reply = is_call and not message.flags & MessageFlag.NO_REPLY_EXPECTED
        refusal = self._refusal(message, destination, target)
        if target is None or refusal is not None:
            if wants_reply and refusal is not None:
                self.send(peer, _error(message.serial, f"{BUS_NAME}.Error.{refusal[0]}", refusal[1]))
            return
        if message.message_type in {MessageType.METHOD_RETURN, MessageType.ERROR}:
            debt = (target.name, message.reply_serial)
            if debt not in peer.owes:  # a reply that nobody asked for, as dbus-daemon refuses it
                return
            peer.owes.discard(debt)
        elif wants_reply:
            target.owes.add((peer.name, message.serial))
        target.wire.send(marshal(message, peer.name), message.unix_fds)

    def _refusal(self, message: Message, destination: str, target: Peer | None) -> tuple[str, str] | None:
        """Name and text of the error when the message cannot go to its recipient."""
        if target is None:
            return "ServiceUnknown", f"The name {destination} was not provided by any .service files"
        if message.unix_fds and not target.takes_descriptors:
            return "NotSupported", "the recipient takes no file descriptors"
        if len(target.owes) >= MAX_AWAITED:
            return "LimitsExceeded", "the recipient owes too many replies"
        return None

    def _broadcast(self, sender: str, message: Message) -> None:
        if sender == BUS_NAME:
            self._serial += 1
            message.serial = self._serial
        frame = b""
        for peer in list(self.peers):
            if any(rule.matches(message, sender, self._owns) for rule in peer.rules):
                frame = frame or marshal(message, sender)
                peer.wire.send(frame, message.unix_fds if peer.takes_descriptors else ())

    def _owns(self, unique: str, name: str) -> bool:
        owner = self.owners.get(name)
        return owner is not None and owner.name == unique


def close_descriptors(message: Message) -> None:
    """Close the descriptors that came with a message."""
    for descriptor in message.unix_fds:
        with suppress(OSError):
            socket.close(descriptor)


def _validate(message: Message) -> None:
    """Raise dbus-fast's error when a name, path or required field is wrong: the reader does not look at them."""
    Message(
        destination=message.destination,
        path=message.path,
        interface=message.interface,
        member=message.member,
        message_type=message.message_type,
        error_name=message.error_name,
        reply_serial=message.reply_serial,
    )


def _error(serial: int, name: str, text: str) -> Message:
    return Message(message_type=MessageType.ERROR, reply_serial=serial, error_name=name, signature="s", body=[text])
