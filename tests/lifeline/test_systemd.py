"""The line to the service manager, against a real datagram socket as systemd opens it."""

import asyncio
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifeline.systemd import Lifeline
from support.waiting import until


class Listener:
    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        said = []
        while True:
            try:
                said.append(self.socket.recv(1000).decode())
            except BlockingIOError:
                return said


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@kanmon-test-{secrets.token_hex(8)}"
    listener = Listener(address)
    yield listener
    listener.socket.close()


def test_ready_and_stopping_are_told(listener: Listener) -> None:
    lifeline = Lifeline.of({"NOTIFY_SOCKET": listener.address})
    lifeline.ready("2 workers")
    lifeline.stopping()
    assert listener.heard() == ["READY=1\nSTATUS=2 workers", "STOPPING=1"]


async def test_the_watchdog_is_told_only_while_things_get_on(listener: Listener) -> None:
    """A service that hangs falls silent, and systemd starts it again."""
    variables = {"NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": "30000", "WATCHDOG_PID": str(os.getpid())}
    asked, gets_on = 0, True

    def does_get_on() -> bool:
        nonlocal asked
        asked += 1
        return gets_on

    async with asyncio.TaskGroup() as tasks:
        beating = tasks.create_task(Lifeline.of(variables).keep(does_get_on))
        await until(lambda: asked >= 3)
        assert set(listener.heard()) == {"WATCHDOG=1"}
        gets_on, before = False, asked
        await until(lambda: asked >= before + 3)
        assert listener.heard() == []
        gets_on = True
        await until(listener.heard)
        beating.cancel()


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"NOTIFY_SOCKET": ""},
        {"NOTIFY_SOCKET": "vsock:2:1234", "WATCHDOG_USEC": "x"},
        {"NOTIFY_SOCKET": "/nowhere/at/all", "WATCHDOG_USEC": "0"},
        {"NOTIFY_SOCKET": "/nowhere/at/all", "WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"},
    ],
)
async def test_a_manager_that_is_not_there_ends_nothing(variables: dict[str, str]) -> None:
    """Not started by systemd, or watched under another process id: it goes on and says nothing."""
    lifeline = Lifeline.of(variables)
    lifeline.ready("")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await lifeline.keep(lambda: pytest.fail("nobody watches"))
