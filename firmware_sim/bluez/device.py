"""Device1: a wearable as bluetoothd shows it, from first advertisement to removal (BlueZ doc/device-api.txt)."""

import asyncio
from collections.abc import Awaitable, Callable

from dbus_fast import Variant

from firmware_sim.bluez import errors
from firmware_sim.bluez.core import ADAPTER_PATH, Core
from firmware_sim.bluez.gatt import GattObjects, device_path
from firmware_sim.bluez.radio import ABORTED, CANCELLED, ConnectFailedError, Presence
from firmware_sim.bluez.strap import BATTERY_LEVEL
from firmware_sim.bluez.tree import Answer, Call, Interface, Method

DEVICE = "org.bluez.Device1"
BATTERY = "org.bluez.Battery1"
RESOLVE_S = 0.005
"""From the link to the list of services; a real one needs 0.1 to 2 s."""
RSSI_STEP_DB = 8
"""BlueZ, device.c: RSSI is told again only when it changed by this much."""

Confirm = Callable[[str, str], Awaitable[None]]
"""Asks the agent of a sender to confirm six digits for a device path; BluezError when it does not."""


class Device:
    """One device. `on_gone` is called when it vanishes by itself, nobody having connected it for a while."""

    def __init__(self, core: Core, presence: Presence, confirm: Confirm, on_gone: Callable[["Device"], None]) -> None:
        self.wearable = presence.wearable
        self.path = device_path(presence.wearable.address)
        self._core = core
        self._presence = presence
        self._confirm = confirm
        self._on_gone = on_gone
        self._is_temporary = True
        self._attempt: asyncio.Task[object] | None = None
        self._is_cancelled = False
        self._link: object | None = None
        """A token that is new for each link, so that what began on one link does not end on the next."""
        self.gatt = GattObjects(core, self.path, self.wearable, self._is_usable)
        core.tree.add(self.path, {DEVICE: Interface(self._properties(), self._methods(), self._setters())})
        self._expiry = asyncio.get_running_loop().call_later(core.temporary_s, self._expire)

    def heard(self, rssi_dbm: int, wants_duplicates: bool) -> None:
        """An advertisement was received while somebody scans."""
        self._restart_expiry()
        known = self._core.tree.get(self.path, DEVICE, "RSSI")
        if known is None or wants_duplicates or abs(known.value - rssi_dbm) >= RSSI_STEP_DB:
            self._set({"RSSI": Variant("n", rssi_dbm)}, repeats=True)

    def scan_ended(self) -> None:
        """Nobody scans any more: its signal strength is unknown."""
        self._core.tree.invalidate(self.path, DEVICE, ["RSSI"])

    def lost(self, reason: str) -> None:
        """The link ended; GATT objects and subscriptions stay."""
        if self._link is None:
            return
        self._link = None
        for characteristic in self.gatt.characteristics.values():
            characteristic.release()
        self._set({"ServicesResolved": Variant("b", False)})
        self._set({"Connected": Variant("b", False)})
        self._core.tree.emit(self.path, DEVICE, "Disconnected", "ss", [reason, "Connection terminated"])

    def removed(self) -> None:
        """Take it away with everything below it."""
        self._expiry.cancel()
        self._cancel_attempt()
        if self._link is not None:
            self._core.radio.disconnect(self.wearable.address)
            self.lost("org.bluez.Reason.Local")
        self.gatt.withdraw()
        self._core.tree.remove(self.path)

    def notified(self, uuid: str, value: bytes) -> bool:
        """A notification came; true when a subscriber was given it."""
        if uuid == BATTERY_LEVEL and self._core.tree.has(self.path, BATTERY):
            self._core.tree.change(self.path, BATTERY, {"Percentage": Variant("y", value[0])})
        characteristic = self.gatt.characteristics.get(uuid)
        return characteristic is not None and characteristic.notified(value)

    def _properties(self) -> dict[str, Variant]:
        wearable = self.wearable
        flags = ("Paired", "Bonded", "Trusted", "Blocked", "LegacyPairing", "Connected", "ServicesResolved")
        return {
            "Address": Variant("s", wearable.address),
            "AddressType": Variant("s", "random"),
            "Name": Variant("s", wearable.name),
            "Alias": Variant("s", wearable.name),
            "Appearance": Variant("q", 0x0341),  # Bluetooth assigned numbers: heart rate belt
            "UUIDs": Variant("as", list(wearable.advertised)),
            "Adapter": Variant("o", ADAPTER_PATH),
            "RSSI": Variant("n", self._presence.rssi_dbm),
            **{flag: Variant("b", False) for flag in flags},
        }

    def _methods(self) -> dict[str, Method]:
        return {
            "Connect": Method("", self._connect),
            "Disconnect": Method("", self._disconnect),
            "Pair": Method("", self._pair),
            "CancelPairing": Method("", self._cancel_pairing),
        }

    def _setters(self) -> dict[str, Callable[[Variant], None]]:
        return {name: self._setter(name) for name in ("Trusted", "Blocked", "Alias")}

    def _setter(self, name: str) -> Callable[[Variant], None]:
        return lambda value: self._set({name: value})

    def _set(self, changes: dict[str, Variant], *, repeats: bool = False) -> None:
        if self._core.tree.has(self.path, DEVICE):  # else it was removed meanwhile
            self._core.tree.change(self.path, DEVICE, changes, repeats=repeats)

    def _is(self, flag: str) -> bool:
        value = self._core.tree.get(self.path, DEVICE, flag)
        return value is not None and bool(value.value)

    def _is_usable(self, is_protected: bool) -> None:
        if self._link is None:
            raise errors.failed("Not connected")
        if is_protected and not self._is("Paired"):
            raise errors.from_att(errors.NOT_PAIRED)

    # Connecting.

    async def _connect(self, _call: Call) -> Answer:
        """Replies before the services are known, as BlueZ does."""
        if self._link is not None:
            return Answer()
        await self._reach()
        return Answer()

    async def _reach(self) -> None:
        if not self._core.radio.is_on:
            raise errors.not_ready()
        if self._attempt is not None:
            raise errors.in_progress()
        self._keep()
        self._attempt = asyncio.current_task()
        self._is_cancelled = False
        try:
            presence = await self._core.radio.connect(self.wearable.address)
        except ConnectFailedError as error:
            if error.reason == ABORTED:  # BlueZ had the link for a moment
                self._set({"Connected": Variant("b", True)})
                self._set({"Connected": Variant("b", False)})
            raise errors.failed(error.reason) from error
        except asyncio.CancelledError as error:
            if not self._is_cancelled or self._attempt is None:
                raise
            self._attempt.uncancel()
            raise errors.failed(CANCELLED) from error
        finally:
            self._attempt = None
        self._presence = presence
        self._link = object()
        self._set({"Connected": Variant("b", True)})
        self._core.spawn(self._resolve(self._link))
        # One more turn: the signal reaches a client's other connection before this one gets the reply.
        await asyncio.sleep(0.001)

    async def _resolve(self, link: object) -> None:
        await asyncio.sleep(RESOLVE_S)
        if self._link is not link or self._presence.never_resolves:
            return
        self.gatt.publish()
        uuids = dict.fromkeys([*self.wearable.advertised, *(service.uuid for service in self.wearable.services)])
        self._set({"UUIDs": Variant("as", list(uuids))})
        self._set({"ServicesResolved": Variant("b", True)})
        if BATTERY_LEVEL in self.gatt.characteristics and not self._core.tree.has(self.path, BATTERY):
            level = self.wearable.read(BATTERY_LEVEL)[0]
            self._core.tree.add(self.path, {BATTERY: Interface({"Percentage": Variant("y", level)})})

    def _disconnect(self, _call: Call) -> Answer:
        if self._cancel_attempt():
            return Answer()
        if self._link is None:
            raise errors.bluez("NotConnected", "Not Connected")
        self._core.radio.disconnect(self.wearable.address)
        self.lost("org.bluez.Reason.Local")
        return Answer()

    def _cancel_attempt(self) -> bool:
        if self._attempt is None:
            return False
        self._is_cancelled = True
        self._attempt.cancel()
        return True

    # Pairing.

    async def _pair(self, call: Call) -> Answer:
        if self._is("Paired"):
            raise errors.bluez("AlreadyExists", "Already Exists")
        if self._link is None:
            await self._reach()
        if self._presence.refuses_pairing:
            raise errors.bluez("AuthenticationFailed", "Authentication Failed")
        if self._presence.asks_confirmation:
            await self._confirm(call.sender, self.path)
        if self._link is None:
            raise errors.bluez("AuthenticationCanceled", "Authentication Canceled")
        self._set({"Paired": Variant("b", True), "Bonded": Variant("b", True)})
        return Answer()

    def _cancel_pairing(self, _call: Call) -> Answer:
        if not self._cancel_attempt():
            raise errors.does_not_exist()
        return Answer()

    # A device that nobody uses vanishes.

    def _keep(self) -> None:
        self._is_temporary = False
        self._expiry.cancel()

    def _restart_expiry(self) -> None:
        if self._is_temporary:
            self._expiry.cancel()
            self._expiry = asyncio.get_running_loop().call_later(self._core.temporary_s, self._expire)

    def _expire(self) -> None:
        self.removed()
        self._on_gone(self)
