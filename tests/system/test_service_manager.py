"""What the real processes tell the service manager: ready when they answer, alive while they get on, that they end."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.counting_station import SETTINGS, counting_station
from support.processes import Gateway, Hub, Process
from support.waiting import until


class Manager:
    """The socket that systemd would listen on, and what was said there."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)
        self.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "300000"}
        self.said: list[str] = []

    def heard(self) -> list[str]:
        while True:
            try:
                self.said.append(self.socket.recv(1000).decode())
            except BlockingIOError:
                return self.said


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[Manager]:
    manager = Manager(tmp_path / "notify")
    yield manager
    manager.socket.close()


async def tells(manager: Manager, process: Process) -> None:
    await process.start()
    try:
        await until(lambda: manager.heard().count("WATCHDOG=1") >= 3, 10)
        assert [text for text in manager.said if text.startswith("READY=1\nSTATUS=")], manager.said
        assert "STOPPING=1" not in manager.said
    finally:
        assert await process.stop() == 0
    assert "STOPPING=1" in manager.heard()


async def test_a_hub_tells_its_service_manager(tmp_path: Path, manager: Manager) -> None:
    await tells(manager, Hub(tmp_path, environment=manager.environment))


async def test_a_gateway_tells_its_service_manager(tmp_path: Path, manager: Manager) -> None:
    """Also without a hub and without its device: neither is its own fault."""
    counting_station(tmp_path, 1.0)
    (tmp_path / "password").touch(0o600)
    (tmp_path / "password").write_text("x")
    settings = SETTINGS.format(port=1, password=tmp_path / "password", modbus=1)
    await tells(manager, Gateway(tmp_path, settings, manager.environment))
