"""The private message bus: names, routing, match rules, descriptors, and peers that misbehave."""

import asyncio
import os
import socket
import struct
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from dbus_fast import Message, MessageFlag, MessageType
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import Misconfigured, ProtocolError, Refused, Unreachable
from firmware_sim.bluez import match, sasl, wire
from firmware_sim.bluez.bus import PrivateBus
from firmware_sim.bluez.client import BusClient
from support.waiting import until

UID = str(os.getuid()).encode().hex().encode()


class Guest:
    """A client that notes its signals and answers every call with its own name."""

    def __init__(self) -> None:
        self.signals: list[Message] = []
        self.received: list[str] = []
        self.answers = True
        self.is_lost = False
        self.client = BusClient(self.called, self.signals.append, self.lost)

    def called(self, message: Message) -> None:
        for descriptor in message.unix_fds:
            self.received.append(os.read(descriptor, 100).decode())
        if self.answers:
            self.client.reply(message, Message.new_method_return(message, "s", ["here"]))

    def lost(self) -> None:
        self.is_lost = True

    async def names(self, member: str) -> list[str]:
        await self.client.call_bus("GetId")  # whatever was sent before has arrived after this
        return [str(signal.body[0]) for signal in self.signals if signal.member == member]


@asynccontextmanager
async def running_bus() -> AsyncIterator[PrivateBus]:
    with tempfile.TemporaryDirectory(prefix="kanmon-") as folder:
        async with PrivateBus(Path(folder) / "bus") as bus:
            yield bus


@asynccontextmanager
async def guests(bus: PrivateBus, count: int) -> AsyncIterator[list[Guest]]:
    present = [Guest() for _ in range(count)]
    for guest in present:
        await guest.client.connect(bus.path)
    try:
        yield present
    finally:
        for guest in present:
            guest.client.close()


async def stranger(bus: PrivateBus) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    await asyncio.get_running_loop().sock_connect(sock, str(bus.path))
    return sock


async def is_dropped(sock: socket.socket) -> bool:
    """Whether the bus closes the connection, reading whatever it says before."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(5):
        try:
            while await loop.sock_recv(sock, 65536):
                pass
        except ConnectionResetError:
            pass
        finally:
            sock.close()
    return True


async def test_a_call_reaches_the_owner_of_a_name_and_its_reply_comes_back() -> None:
    async with running_bus() as bus, guests(bus, 2) as (one, two):
        await two.client.call_bus("RequestName", "su", ["org.example.Two", 0])
        reply = await one.client.call("org.example.Two", "/x", "org.example.Two", "Do")
        assert reply.body == ["here"]
        owner = await one.client.call_bus("GetNameOwner", "s", ["org.example.Two"])
        assert reply.sender == owner.body[0]
        assert (await one.client.call_bus("NameHasOwner", "s", ["org.example.Three"])).body == [False]


async def test_a_name_has_one_owner_and_everybody_learns_when_it_goes() -> None:
    async with running_bus() as bus, guests(bus, 2) as (one, two):
        await one.client.call_bus("AddMatch", "s", ["type='signal',member='NameOwnerChanged',arg0='org.example.Two'"])
        assert (await two.client.call_bus("RequestName", "su", ["org.example.Two", 0])).body == [1]
        assert (await two.client.call_bus("RequestName", "su", ["org.example.Two", 0])).body == [4]
        assert (await one.client.call_bus("RequestName", "su", ["org.example.Two", 0])).body == [3]
        assert (await one.client.call_bus("ReleaseName", "s", ["org.example.Two"])).body == [3]
        two.client.close()
        await until(lambda: len([each for each in one.signals if each.member == "NameOwnerChanged"]) == 2)
        assert one.signals[-1].body[2] == ""


async def test_nobody_of_that_name_is_one_error_and_a_peer_that_dies_is_another() -> None:
    async with running_bus() as bus, guests(bus, 2) as (one, two):
        reply = await one.client.call("org.example.Nobody", "/x", "a.b", "Do")
        assert reply.error_name == "org.freedesktop.DBus.Error.ServiceUnknown"
        two.answers = False
        await two.client.call_bus("RequestName", "su", ["org.example.Two", 0])
        pending = asyncio.ensure_future(one.client.call("org.example.Two", "/x", "a.b", "Do"))
        await one.client.call_bus("GetId")
        two.client.close()
        assert (await pending).error_name == "org.freedesktop.DBus.Error.NoReply"


async def test_a_reply_nobody_asked_for_goes_nowhere() -> None:
    async with running_bus() as bus, guests(bus, 2) as (one, two):
        await two.client.call_bus("RequestName", "su", ["org.example.Two", 0])
        name = (await one.client.call_bus("GetNameOwner", "s", ["org.example.Two"])).body[0]
        forged = Message(name, message_type=MessageType.METHOD_RETURN, reply_serial=99)
        one.client.send(forged)
        assert (await one.client.call_bus("GetId")).body == [bus.guid]
        assert not two.is_lost


async def test_signals_reach_only_who_asked_for_them() -> None:
    async with running_bus() as bus, guests(bus, 3) as (one, two, three):
        await two.client.call_bus("AddMatch", "s", ["type=signal,interface=a.b,member=Said,path_namespace=/org/x"])
        await three.client.call_bus("AddMatch", "s", ["type='signal',path='/org/other'"])
        one.client.emit("/org/x/y", "a.b", "Said", "s", ["hello"])
        one.client.emit("/org/xy", "a.b", "Said", "s", ["not below"])
        await one.client.call_bus("GetId")
        assert await two.names("Said") == ["hello"]
        assert await three.names("Said") == []
        rule = "member=Said,path_namespace=/org/x,interface=a.b,type=signal"
        await two.client.call_bus("RemoveMatch", "s", [rule])
        one.client.emit("/org/x/y", "a.b", "Said", "s", ["again"])
        await one.client.call_bus("GetId")
        assert await two.names("Said") == ["hello"]
        with pytest.raises(ProtocolError, match="MatchRuleNotFound"):
            await two.client.call_bus("RemoveMatch", "s", [rule])
        with pytest.raises(ProtocolError, match="MatchRuleInvalid"):
            await two.client.call_bus("AddMatch", "s", ["nonsense"])


async def test_descriptors_pass_and_none_is_left_over() -> None:
    async with running_bus() as bus, guests(bus, 2) as (one, two):
        await two.client.call_bus("RequestName", "su", ["org.example.Two", 0])
        before = len(os.listdir("/proc/self/fd"))
        for text in ("first", "second"):
            ours, theirs = os.pipe()
            os.write(theirs, text.encode())
            call = Message("org.example.Two", "/x", "a.b", "Take", signature="h", body=[0], unix_fds=[ours])
            one.client.send(call)
            os.close(ours)
            os.close(theirs)
        await one.client.call("org.example.Two", "/x", "a.b", "Do")
        assert two.received == ["first", "second"]
        assert len(os.listdir("/proc/self/fd")) == before


async def test_a_call_that_wants_no_reply_gets_none() -> None:
    async with running_bus() as bus, guests(bus, 1) as (one,):
        quiet = Message("org.example.No", "/x", "a.b", "Do", flags=MessageFlag.NO_REPLY_EXPECTED)
        one.client.send(quiet)
        assert (await one.client.call_bus("GetId")).body == [bus.guid]


BEGUN = b"\0AUTH EXTERNAL " + UID + b"\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"
FORGED_LENGTH = b"l\1\0\1" + struct.pack("<III", 0x7000000, 1, 16)
HELLO = wire.marshal(
    Message("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", serial=1)
)
NO_PATH = Message("org.freedesktop.DBus", "/x", "a.b", "GetId", serial=2)
NO_PATH.path = None
BAD_NAME = Message("org.example.X", "/x", "a.b", "Do", serial=3)
BAD_NAME.destination = "not a name"


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0" + b"x" * 5000,
        b"\0" + b"FOO\r\n" * 2000,
        b"\0BEGIN\r\n",
        b"\0AUTH EXTERNAL " + b"39393939" + b"\r\nBEGIN\r\n",
        BEGUN + b"\xff" * 64,
        BEGUN + FORGED_LENGTH,
        BEGUN + wire.marshal(Message("org.freedesktop.DBus", "/x", "a.b", "GetId", serial=1)),
        BEGUN + HELLO + HELLO,
        BEGUN + HELLO + wire.marshal(NO_PATH),
        BEGUN + HELLO + wire.marshal(BAD_NAME),
        BEGUN + HELLO + HELLO[:40] + b"\xff" * 200,
    ],
)
async def test_a_peer_that_sends_garbage_is_dropped_and_the_others_go_on(sent: bytes) -> None:
    async with running_bus() as bus, guests(bus, 1) as (one,):
        sock = await stranger(bus)
        await asyncio.get_running_loop().sock_sendall(sock, sent)
        assert await is_dropped(sock)
        assert bus.dropped.total() == 1
        assert (await one.client.call_bus("GetId")).body == [bus.guid]


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=300), st.integers(0, 3))
async def test_no_bytes_at_any_stage_stop_the_bus(garbage: bytes, stage: int) -> None:
    before = (b"", b"\0", BEGUN, BEGUN + HELLO)[stage]
    async with running_bus() as bus, guests(bus, 1) as (one,):
        sock = await stranger(bus)
        await asyncio.get_running_loop().sock_sendall(sock, before + garbage)
        for _ in range(3):
            assert (await one.client.call_bus("GetId")).body == [bus.guid]
        sock.close()


async def test_a_peer_that_does_not_read_is_dropped_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_BACKLOG_BYTES", 1 << 20)
    async with running_bus() as bus, guests(bus, 2) as (one, two):
        await two.client.call_bus("AddMatch", "s", ["type=signal,member=Said"])
        sock = await stranger(bus)
        loop = asyncio.get_running_loop()
        rule = Message(
            "org.freedesktop.DBus",
            "/x",
            "org.freedesktop.DBus",
            "AddMatch",
            signature="s",
            body=["member=Said"],
            serial=2,
        )
        await loop.sock_sendall(sock, BEGUN + HELLO + wire.marshal(rule))
        await until(lambda: sum(len(peer.rules) for peer in bus.peers) == 2)
        sent = 0
        async with asyncio.timeout(10):
            while not bus.dropped:
                one.client.emit("/x", "a.b", "Said", "s", ["x" * 20_000])
                sent += 1
                await asyncio.sleep(0)
        assert sent < 400
        await until(lambda: len([each for each in two.signals if each.member == "Said"]) == sent)
        sock.close()


async def test_a_stale_socket_file_is_replaced_and_a_living_bus_is_not() -> None:
    async with running_bus() as bus:
        with pytest.raises(Refused):
            await PrivateBus(bus.path).__aenter__()
        stale = bus.path.with_name("stale")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(stale))
        async with PrivateBus(stale) as second, guests(second, 1) as (one,):
            assert (await one.client.call_bus("GetId")).body == [second.guid]
        assert not stale.exists()
        plain = bus.path.with_name("plain")
        plain.write_text("kept", encoding="utf-8")
        with pytest.raises(Misconfigured):
            await PrivateBus(plain).__aenter__()
        assert plain.read_text(encoding="utf-8") == "kept"
        with pytest.raises(Misconfigured, match="107"):
            await PrivateBus(bus.path.with_name("x" * 200)).__aenter__()
        with pytest.raises(Unreachable):
            await Guest().client.connect(bus.path.with_name("nobody"))


SIGNAL = Message.new_signal("/org/bluez/hci0", "a.b", "Said", "so", ["org.example.x", "/org/bluez/hci0"])


@pytest.mark.parametrize(
    ("rule", "is_met"),
    [
        ("", True),
        ("type=signal", True),
        ("type='signal'", True),
        ("type='method_call'", False),
        ("sender=:1.7", True),
        ("sender='org.bluez'", True),
        ("sender='org.other'", False),
        ("interface=a.b,member='Said'", True),
        ("interface='a.c'", False),
        ("path=/org/bluez/hci0", True),
        ("path=/org/bluez", False),
        ("path_namespace='/org/bluez'", True),
        ("path_namespace='/org/blue'", False),
        ("path_namespace=/", True),
        ("arg0='org.example.x'", True),
        ("arg0=org.example.y", False),
        ("arg0namespace='org.example'", True),
        ("arg0namespace='org.exam'", False),
        ("arg1path=/org/bluez/", True),
        ("arg1path='/org/bluez/hci0'", True),
        ("arg1path='/org/bluez/hci0/dev'", False),
        ("arg1path='/org/blue'", False),
        ("arg7=x", False),
        ("eavesdrop='true',type='signal'", True),
    ],
)
def test_a_match_rule_means_what_the_specification_says(rule: str, is_met: bool) -> None:
    """D-Bus specification 0.43, Match Rules; quoted as libdbus writes them and bare as dbus-fast does."""
    parsed = match.parse(rule)
    assert parsed.matches(SIGNAL, ":1.7", lambda unique, name: (unique, name) == (":1.7", "org.bluez")) is is_met


def test_quotes_in_a_match_rule_follow_the_shell_like_grammar() -> None:
    """As in the specification's example: an escaped apostrophe in the middle of a value, and a comma inside quotes."""
    assert match.parse(r"arg0='it'\''s,so'").arguments == {0: "it's,so"}
    for wrong in ("type='signal", "foo=bar", "type=nothing", "member"):
        with pytest.raises(ProtocolError):
            match.parse(wrong)


@pytest.mark.parametrize(
    ("lines", "answers"),
    [
        (b"AUTH\r\nAUTH EXTERNAL 30\r\nBEGIN\r\n", b"REJECTED EXTERNAL\r\nOK feed\r\n"),
        (b"AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n", b"DATA\r\nOK feed\r\nAGREE_UNIX_FD\r\n"),
        (b"AUTH ANONYMOUS\r\nFOO\r\nAUTH EXTERNAL 31\r\nCANCEL\r\nAUTH EXTERNAL 30\r\nBEGIN\r\n",
         b"REJECTED EXTERNAL\r\nERROR\r\nREJECTED EXTERNAL\r\nREJECTED EXTERNAL\r\nOK feed\r\n"),
    ],
)  # fmt: skip
def test_the_bus_authenticates_by_the_kernels_word_only(lines: bytes, answers: bytes) -> None:
    server = sasl.Server(0, "feed")
    said = b"".join(server.feed(bytes([byte])) for byte in b"\0" + lines)
    assert said == answers
    assert server.stage is sasl.Stage.BEGUN
