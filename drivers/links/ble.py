"""Bluetooth Low Energy by way of bleak and BlueZ. The one module that knows bleak.

Every failure is Unreachable and names the device by its id: a wearable's address is personal data. bleak puts
addresses into warnings and exceptions, and measured values into debug lines; they are kept out of both.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from weakref import WeakKeyDictionary

from bleak import BleakAdapter, BleakClient, BleakScanner
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakDBusError,
    BleakDeviceNotFoundError,
    BleakError,
    BleakGATTProtocolError,
)
from dbus_fast import DBusFastError

from contract.errors import ProtocolError, Unreachable
from contract.ids import DeviceId
from contract.sample import Stamp
from drivers.links.inbox import Inbox

INBOX_CAPACITY = 256
"""Notifications that may wait: a strap sends one a second, so minutes of a stalled reader."""
REQUEST_LIMIT_S = 10.0
"""A GATT request; the specification's own limit is 30 s, after which the link is useless anyway."""
CLOSE_LIMIT_S = 5.0
"""Ending a link; bluetoothd needs up to 2 s for a device that is gone."""

LIBRARY_ERRORS = (BleakError, DBusFastError, OSError, EOFError)
"""What bleak raises: its own, its D-Bus library's, and what a vanishing bus gives (TimeoutError is an OSError)."""

_NOT_AVAILABLE = {
    BleakBluetoothNotAvailableReason.NO_BLUETOOTH: "this gateway has no Bluetooth adapter",
    BleakBluetoothNotAvailableReason.NO_BLE_CENTRAL_ROLE: "the Bluetooth adapter cannot do Low Energy",
    BleakBluetoothNotAvailableReason.POWERED_OFF: "the Bluetooth adapter is switched off",
    BleakBluetoothNotAvailableReason.DENIED_BY_SYSTEM: "the system denies access to Bluetooth",
}
_NO_DAEMON = "the Bluetooth service (bluetoothd) is not running"
_DBUS = {
    "org.freedesktop.DBus.Error.ServiceUnknown": _NO_DAEMON,
    "org.freedesktop.DBus.Error.NameHasNoOwner": _NO_DAEMON,
    "org.freedesktop.DBus.Error.NoReply": "the Bluetooth service does not answer",
    "org.freedesktop.DBus.Error.AccessDenied": "this user may not use Bluetooth: add it to the group bluetooth",
    "org.freedesktop.DBus.Error.UnknownObject": "it is no longer known to the Bluetooth service",
    "org.bluez.Error.NotReady": "the Bluetooth adapter is switched off",
    "org.bluez.Error.InProgress": "the Bluetooth adapter is busy",
}
_BLUEZ_REASONS = {
    "le-connection-concurrent-connection-limit": "the Bluetooth adapter has no free slot for another wearable",
    "le-connection-timeout": "it does not answer",
}
_ADDRESS = re.compile(r"(?:[0-9A-Fa-f]{2}[:_-]){5}[0-9A-Fa-f]{2}")
_REASON = re.compile(r"[a-z-]{1,60}")


@dataclass(frozen=True, slots=True)
class Target:
    """Which peripheral: by address or by the name it advertises, among those that advertise `service` (a long UUID)."""

    service: str
    address: str | None = None
    name: str | None = None

    def is_met_by(self, found: BLEDevice, local_name: str | None) -> bool:
        """Whether `found`, heard under `local_name`, is the one."""
        if self.address is not None:
            return found.address.upper() == self.address.upper()
        return self.name in (local_name, found.name)


@dataclass(frozen=True, slots=True)
class Notification:
    """One value of a characteristic, stamped when it came."""

    uuid: str
    value: bytes
    stamp: Stamp


class Peripheral:
    """One connection to one peripheral; entering finds and connects it, a fresh object each time.

    Notifications wait in a bounded inbox; `on_fault` hears of each that no longer fits, and `on_loss` once before the
    next one that did is given out.
    """

    def __init__(
        self,
        device: DeviceId,
        target: Target,
        scan_timeout_s: float,
        connect_timeout_s: float,
        now: Callable[[], Stamp],
        on_fault: Callable[[ProtocolError], None],
        on_loss: Callable[[], None],
    ) -> None:
        self._device = device
        self._target = target
        self._scan_timeout_s = scan_timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._now = now
        self._on_fault = on_fault
        self._on_loss = on_loss
        self._inbox = Inbox[Notification](INBOX_CAPACITY)
        self._stack = AsyncExitStack()
        self._client: BleakClient | None = None

    async def __aenter__(self) -> Self:
        """Find and connect; one at a time in a process, since a scan during a connect resets some controllers."""
        _quieten()
        limit_s = self._scan_timeout_s + 2 * self._connect_timeout_s + CLOSE_LIMIT_S
        async with _radio_lock():
            with self._translated():
                async with asyncio.timeout(limit_s):
                    found = await self._find()
                    client = BleakClient(found, self._on_disconnect, timeout=self._connect_timeout_s)
                    self._client = await self._stack.enter_async_context(client)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the link and give back its D-Bus connection, also when the peripheral ended it before."""
        self._client = None
        self._inbox.close()
        await _close(self._stack, self._device)

    async def read(self, uuid: str) -> bytes | None:
        """The value of a characteristic; None where the peripheral has none or does not give it."""
        client = self._connected()
        with self._translated():
            characteristic = client.services.get_characteristic(uuid)
            if characteristic is None or "read" not in characteristic.properties:
                return None
            try:
                async with asyncio.timeout(REQUEST_LIMIT_S):
                    return bytes(await client.read_gatt_char(characteristic))
            except BleakGATTProtocolError:
                return None

    async def subscribe(self, uuid: str) -> bool:
        """Have notifications of a characteristic; false where the peripheral does not offer them."""
        client = self._connected()
        with self._translated():
            characteristic = client.services.get_characteristic(uuid)
            if characteristic is None or "notify" not in characteristic.properties:
                return False
            async with asyncio.timeout(REQUEST_LIMIT_S):
                await client.start_notify(characteristic, self._on_notify)
        return True

    def put(self, uuid: str, value: bytes) -> None:
        """Queue a value that was read among those that are notified."""
        if not self._inbox.offer(Notification(uuid, value, self._now())):
            self._on_fault(ProtocolError(f"a notification was dropped, {INBOX_CAPACITY} are waiting"))

    async def receive(self) -> Notification:
        """The next notification, in the order they came; Unreachable once the link is lost and all are taken."""
        notification = await self._inbox.take()
        if notification is None:
            raise Unreachable(f"{self._device}: the link was lost")
        if self._inbox.follows_loss:
            self._on_loss()
        return notification

    async def _find(self) -> BLEDevice:
        await self._free_orphan()
        found = await BleakScanner.find_device_by_filter(
            lambda device, heard: self._target.is_met_by(device, heard.local_name),
            timeout=self._scan_timeout_s,
            service_uuids=[self._target.service],
        )
        if found is None:
            raise Unreachable(
                f"{self._device}: not heard in {self._scan_timeout_s:g} s: "
                "switched off, out of range, or held by another phone"
            )
        return found

    async def _free_orphan(self) -> None:
        """End a link that nobody holds: after a killed gateway the wearable stays connected and never advertises."""
        adapter = await BleakAdapter.get()
        for device in await adapter.get_connected_devices([self._target.service]):
            if self._target.is_met_by(device, device.name):
                stack = AsyncExitStack()
                try:
                    await stack.enter_async_context(BleakClient(device, timeout=self._connect_timeout_s))
                except LIBRARY_ERRORS as error:
                    # bleak also remembers links that died with bluetoothd; the scan finds what is really there.
                    _log.debug("%s: a former link is gone (%s)", self._device, type(error).__name__)
                finally:
                    await _close(stack, self._device)

    def _connected(self) -> BleakClient:
        if self._client is None:
            raise Unreachable(f"{self._device}: the link is not open")
        return self._client

    def _on_notify(self, characteristic: BleakGATTCharacteristic, value: bytearray) -> None:
        self.put(characteristic.uuid, bytes(value))

    def _on_disconnect(self, _client: BleakClient) -> None:
        self._inbox.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except LIBRARY_ERRORS as error:
            _redact(error)
            raise Unreachable(f"{self._device}: {_cause(error)}") from error


async def _close(stack: AsyncExitStack, device: DeviceId) -> None:
    """Leave a client. bleak has closed its D-Bus connection whatever it raises, so nothing is left to be done."""
    try:
        async with asyncio.timeout(CLOSE_LIMIT_S):
            await stack.aclose()
    except LIBRARY_ERRORS as error:
        _redact(error)
        _log.debug("%s: the link was gone before it was closed (%s)", device, type(error).__name__)


def _cause(error: BaseException) -> str:
    """What went wrong, for an installer."""
    match error:
        case BleakBluetoothNotAvailableError():
            cause = _NOT_AVAILABLE.get(error.reason, "Bluetooth is not available")
        case BleakDeviceNotFoundError():
            cause = "it vanished before it could be connected"
        case BleakGATTProtocolError():
            cause = f"it refused a request (ATT error {int(error.code):#04x})"
        case BleakDBusError():
            cause = _bluez_cause(error)
        case TimeoutError():
            cause = "it does not answer"
        case BleakError():
            cause = "the link was lost"
        case _:
            cause = (
                f"the system's D-Bus cannot be reached ({type(error).__name__}): is bluetoothd installed and running?"
            )
    return cause


def _bluez_cause(error: BleakDBusError) -> str:
    if error.dbus_error in _DBUS:
        return _DBUS[error.dbus_error]
    detail = error.args[1] if len(error.args) > 1 else ""
    # Only BlueZ's own fixed reasons are repeated; other texts may name objects, and so addresses.
    if not isinstance(detail, str) or not _REASON.fullmatch(detail):
        detail = error.dbus_error
    return _BLUEZ_REASONS.get(detail, f"the Bluetooth service refused ({detail})")


def _redact(error: BaseException) -> None:
    """Take addresses out of a library's exceptions: they travel on as the cause of ours and may be logged with it."""
    seen: BaseException | None = error
    while seen is not None:
        seen.args = tuple(_ADDRESS.sub("<address>", arg) if isinstance(arg, str) else arg for arg in seen.args)
        if isinstance(seen, BleakDeviceNotFoundError):
            seen.identifier = "<address>"
        seen = seen.__cause__ or seen.__context__


class _Redacting(logging.Filter):
    """Takes addresses out of log lines, and tracebacks with them."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = _ADDRESS.sub("<address>", record.getMessage())
        record.msg, record.args, record.exc_info = text, (), None
        return True


_log = logging.getLogger(__name__)
_REDACTING = _Redacting()
_LOCKS: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
"""The radio's one user at a time. Per event loop, as bleak's own state is."""


def _quieten() -> None:
    for library in ("bleak", "dbus_fast"):
        logging.getLogger(library).setLevel(logging.WARNING)
    # The loggers whose warnings name a device; filters of a parent would not see their records.
    for name in ("bleak.backends.bluezdbus.client", "bleak.backends.bluezdbus.manager", "dbus_fast.message_bus"):
        logging.getLogger(name).addFilter(_REDACTING)


def _radio_lock() -> asyncio.Lock:
    return _LOCKS.setdefault(asyncio.get_running_loop(), asyncio.Lock())
