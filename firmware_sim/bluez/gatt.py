"""GATT objects of a device on the bus: GattService1, GattCharacteristic1, GattDescriptor1 (BlueZ doc/gatt-api.txt)."""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress

from dbus_fast import Variant

from firmware_sim.bluez import errors
from firmware_sim.bluez.core import ADAPTER_PATH, Core
from firmware_sim.bluez.profile import CLIENT_CONFIGURATION, Characteristic, Service, Wearable
from firmware_sim.bluez.tree import Answer, Call, Interface, Method

SERVICE = "org.bluez.GattService1"
CHARACTERISTIC = "org.bluez.GattCharacteristic1"
DESCRIPTOR = "org.bluez.GattDescriptor1"
FIRST_HANDLE = 0x000A
"""Lower handles hold the generic services, which bluetoothd keeps to itself."""


class RemoteCharacteristic:
    """One characteristic: reads, writes, and who subscribed. A subscription is the sender's and survives the link."""

    def __init__(
        self,
        core: Core,
        path: str,
        wearable: Wearable,
        characteristic: Characteristic,
        is_claimed: bool,
        is_usable: Callable[[bool], None],
    ) -> None:
        self.path = path
        self._core = core
        self._wearable = wearable
        self._what = characteristic
        self._is_claimed = is_claimed
        self._is_usable = is_usable
        """Raises BluezError when not connected, or when its argument says "protected" and we are not paired."""
        self._clients: list[str] = []
        self._acquired: socket.socket | None = None

    def interface(self, service_path: str) -> Interface:
        """What the bus shows of it."""
        properties = {
            "UUID": Variant("s", self._what.uuid),
            "Service": Variant("o", service_path),
            "Value": Variant("ay", b""),
            "Flags": Variant("as", list(self._what.flags)),
            "MTU": Variant("q", self._wearable.mtu),
        }
        methods = {"ReadValue": Method("a{sv}", self._read), "WriteValue": Method("aya{sv}", self._write)}
        methods |= {"StartNotify": Method("", self._start), "StopNotify": Method("", self._stop)}
        methods["AcquireNotify"] = Method("a{sv}", self._acquire)
        if self._what.notifies:
            properties |= {"Notifying": Variant("b", False), "NotifyAcquired": Variant("b", False)}
        return Interface(properties, methods)

    def notified(self, value: bytes) -> bool:
        """A notification came from the air; true when a subscriber was given it."""
        if self._acquired is not None:
            try:
                self._acquired.send(value)
            except OSError:  # its reader is gone or does not read: BlueZ loses the value as well
                return False
            return True
        if self._clients:
            self._core.tree.change(self.path, CHARACTERISTIC, {"Value": Variant("ay", value)}, repeats=True)
        return bool(self._clients)

    def forget(self, sender: str) -> None:
        """A client left the bus: its subscription goes with it."""
        if sender in self._clients:
            self._clients.remove(sender)
            self._show()

    def release(self) -> None:
        """The link is gone: BlueZ closes an acquired socket, whereas StartNotify survives."""
        acquired, self._acquired = self._acquired, None
        if acquired is not None:
            asyncio.get_running_loop().remove_reader(acquired.fileno())
            acquired.close()
            self._show()

    def _read(self, call: Call) -> Answer:
        self._is_usable(self._what.is_protected)
        try:
            value = self._wearable.read(self._what.uuid)
        except errors.AttError as error:
            raise errors.from_att(error.code) from error
        offset = call.body[0].get("offset", Variant("q", 0)).value
        if not isinstance(offset, int) or offset > len(value):
            raise errors.from_att(errors.INVALID_OFFSET)
        value = value[offset:]
        # Trap kept on purpose: BlueZ tells of a read as it tells of a notification, so subscribers get it as well.
        self._core.tree.change(self.path, CHARACTERISTIC, {"Value": Variant("ay", value)}, repeats=True)
        return Answer("ay", (value,))

    def _write(self, call: Call) -> Answer:
        if self._is_claimed:
            raise errors.not_authorized()
        self._is_usable(self._what.is_protected)
        try:
            self._wearable.write(self._what.uuid, bytes(call.body[0]))
        except errors.AttError as error:
            raise errors.from_att(error.code) from error
        return Answer()

    def _may_subscribe(self) -> None:
        if self._acquired is not None:
            raise errors.bluez("NotPermitted", "Notify acquired")
        if not self._what.notifies:
            raise errors.not_supported()
        self._is_usable(self._what.is_protected)

    def _start(self, call: Call) -> Answer:
        self._may_subscribe()
        if call.sender in self._clients:
            raise errors.in_progress()
        self._clients.append(call.sender)
        self._show()
        return Answer()

    def _stop(self, call: Call) -> Answer:
        if call.sender not in self._clients:
            raise errors.failed("No notify session started")
        self._clients.remove(call.sender)
        self._show()
        return Answer()

    def _acquire(self, _call: Call) -> Answer:
        self._may_subscribe()
        if self._clients:
            raise errors.in_progress()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        self._acquired = ours
        asyncio.get_running_loop().add_reader(ours.fileno(), self._reader_gone)
        self._show()
        return Answer("hq", (0, self._wearable.mtu), (theirs.detach(),))

    def _reader_gone(self) -> None:
        """Nothing is ever sent to us here, so being readable means closed."""
        self.release()

    def _show(self) -> None:
        changes = {
            "Notifying": Variant("b", bool(self._clients) or self._acquired is not None),
            "NotifyAcquired": Variant("b", self._acquired is not None),
        }
        with suppress(KeyError):  # the device was removed, and its objects with it
            self._core.tree.change(self.path, CHARACTERISTIC, changes)


class GattObjects:
    """All GATT objects of a device; once found they stay, also without a link (BlueZ main.conf, Cache=always)."""

    def __init__(self, core: Core, device_path: str, wearable: Wearable, is_usable: Callable[[bool], None]) -> None:
        self._core = core
        self._device_path = device_path
        self._wearable = wearable
        self._is_usable = is_usable
        self._paths: list[str] = []
        self.characteristics: dict[str, RemoteCharacteristic] = {}

    def publish(self) -> None:
        """Show them in the order BlueZ does: a service, its characteristics, each followed by its descriptors."""
        if self._paths:
            return
        handle = FIRST_HANDLE
        for service in self._wearable.services:
            handle = self._publish_service(service, handle)

    def withdraw(self) -> None:
        """Take them away, leaves first."""
        for characteristic in self.characteristics.values():
            characteristic.release()
        for path in reversed(self._paths):
            self._core.tree.remove(path)
        self._paths.clear()
        self.characteristics.clear()

    def _publish_service(self, service: Service, handle: int) -> int:
        """Show one service whose first handle is given; returns the handle after its last."""
        service_path = f"{self._device_path}/service{handle:04x}"
        properties = {
            "UUID": Variant("s", service.uuid),
            "Device": Variant("o", self._device_path),
            "Primary": Variant("b", True),
            "Includes": Variant("ao", []),
        }
        self._add(service_path, SERVICE, Interface(properties))
        handle += 1
        for characteristic in service.characteristics:
            handle = self._publish_characteristic(service, service_path, characteristic, handle)
        return handle

    def _publish_characteristic(
        self, service: Service, service_path: str, characteristic: Characteristic, handle: int
    ) -> int:
        """A characteristic takes two handles (declaration, value) and one more for its configuration descriptor."""
        path = f"{service_path}/char{handle:04x}"
        remote = RemoteCharacteristic(
            self._core, path, self._wearable, characteristic, service.is_claimed, self._is_usable
        )
        self.characteristics[characteristic.uuid] = remote
        self._add(path, CHARACTERISTIC, remote.interface(service_path))
        handle += 2
        if characteristic.notifies:
            self._publish_descriptor(path, handle)
            handle += 1
        return handle

    def _publish_descriptor(self, characteristic_path: str, handle: int) -> None:
        properties = {
            "UUID": Variant("s", CLIENT_CONFIGURATION),
            "Characteristic": Variant("o", characteristic_path),
            "Value": Variant("ay", b""),
            "Flags": Variant("as", ["read", "write"]),
        }
        methods = {
            "ReadValue": Method("a{sv}", self._read_descriptor),
            "WriteValue": Method("aya{sv}", self._write_descriptor),
        }
        self._add(f"{characteristic_path}/desc{handle:04x}", DESCRIPTOR, Interface(properties, methods))

    def _read_descriptor(self, call: Call) -> Answer:
        """The client configuration as bluetoothd itself has written it."""
        self._is_usable(False)
        notifying = self._core.tree.get(os.path.dirname(call.path), CHARACTERISTIC, "Notifying")
        return Answer("ay", (bytes([notifying is not None and notifying.value, 0]),))

    def _write_descriptor(self, _call: Call) -> Answer:
        """gatt-client.c: the client configuration is bluetoothd's own."""
        raise errors.bluez("NotPermitted", "Write not permitted")

    def _add(self, path: str, name: str, interface: Interface) -> None:
        self._paths.append(path)
        self._core.tree.add(path, {name: interface})


def device_path(address: str) -> str:
    """Where BlueZ shows the device with this address."""
    return f"{ADAPTER_PATH}/dev_{address.replace(':', '_')}"
