"""Where a simulated BlueZ lives: its bus, its radio and its bluetoothd, started and stopped together."""

from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from firmware_sim.bluez.bus import PrivateBus
from firmware_sim.bluez.core import TEMPORARY_S
from firmware_sim.bluez.daemon import PrivateDaemon
from firmware_sim.bluez.face import BluetoothDaemon
from firmware_sim.bluez.radio import Radio


class SimulatedBlueZ:
    """`async with SimulatedBlueZ(socket_path) as town:`; `.address` is the value for DBUS_SYSTEM_BUS_ADDRESS.

    The path of a unix socket holds at most 107 bytes. With `daemon` the bus is a private dbus-daemon, which has to be
    installed, instead of ours. `temporary_s`: how long a wearable is remembered that nobody connected.
    """

    def __init__(
        self,
        socket_path: Path,
        radio: Radio | None = None,
        *,
        daemon: bool = False,
        temporary_s: float = TEMPORARY_S,
    ) -> None:
        self.radio = radio or Radio()
        self._bus = PrivateDaemon(socket_path) if daemon else PrivateBus(socket_path)
        self._socket_path = socket_path
        self._temporary_s = temporary_s
        self._stack = AsyncExitStack()
        self._bluetoothd: BluetoothDaemon | None = None

    @property
    def address(self) -> str:
        """The bus, as D-Bus writes addresses."""
        return f"unix:path={self._socket_path}"

    async def __aenter__(self) -> Self:
        """Start the bus and bluetoothd on it. Unreachable when a dbus-daemon was asked for and does not come up."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._bus)
            stack.push_async_callback(self.crash)
            await self.restart()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop bluetoothd, then the bus."""
        await self._stack.__aexit__(kind, error, traceback)

    async def crash(self) -> None:
        """Kill bluetoothd, while the bus goes on: links end, nobody is told, what it knew is forgotten."""
        bluetoothd, self._bluetoothd = self._bluetoothd, None
        if bluetoothd is not None:
            await bluetoothd.__aexit__(None, None, None)

    async def restart(self) -> None:
        """Start bluetoothd, after a crash or as the first one."""
        await self.crash()
        bluetoothd = BluetoothDaemon(self._socket_path, self.radio, self._temporary_s)
        await bluetoothd.__aenter__()
        self._bluetoothd = bluetoothd
