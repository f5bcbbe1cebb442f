"""A simulated BlueZ for tests that drive bleak: `async with bluetooth() as town:` or the fixture `bluetooth_town`.

bleak keeps one BlueZManager per event loop and connects it to DBUS_SYSTEM_BUS_ADDRESS when it is first used. It needs
no reset between tests, also with one loop for the whole session: when a town ends, its bus closes the manager's
connection, and the manager's next use (`async_init`, at every scan and connect) finds that out, forgets all it cached
and connects anew, reading the address again. What that takes is that towns do not overlap in time, and that the loop
turns once between them, both of which `bluetooth()` sees to. bleak logs one warning ("D-Bus connection to BlueZ was
lost") each time. Clients left connected get their disconnected callback at that moment.
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from firmware_sim.bluez import Radio, SimulatedBlueZ

ADDRESS = "DBUS_SYSTEM_BUS_ADDRESS"
SUPERVISION_S = 0.1
"""Shorter than any real one, so that going out of range is noticed at once."""
CONNECT_LIMIT_S = 2.0


@asynccontextmanager
async def bluetooth(
    *, daemon: bool = False, slots: int = 7, temporary_s: float = 30.0
) -> AsyncIterator[SimulatedBlueZ]:
    """A town on a bus of its own, with DBUS_SYSTEM_BUS_ADDRESS set to it and restored afterwards."""
    before = os.environ.get(ADDRESS)
    radio = Radio(slots, SUPERVISION_S, CONNECT_LIMIT_S)
    with tempfile.TemporaryDirectory(prefix="kanmon-") as folder:  # short: a socket path holds 107 bytes
        try:
            async with SimulatedBlueZ(Path(folder) / "bus", radio, daemon=daemon, temporary_s=temporary_s) as town:
                os.environ[ADDRESS] = town.address
                yield town
        finally:
            if before is None:
                os.environ.pop(ADDRESS, None)
            else:
                os.environ[ADDRESS] = before
            await asyncio.sleep(0)  # bleak's manager reads the end of its connection


@pytest.fixture
async def bluetooth_town() -> AsyncIterator[SimulatedBlueZ]:
    """`bluetooth()` as a fixture: import it into the test module."""
    async with bluetooth() as town:
        yield town
