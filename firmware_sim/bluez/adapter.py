"""Adapter1 at /org/bluez/hci0: power, discovery with filters, the devices it has heard (BlueZ doc/adapter-api.txt)."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from dbus_fast import Variant

from firmware_sim.bluez import errors
from firmware_sim.bluez.core import ADAPTER_PATH, Core
from firmware_sim.bluez.device import Confirm, Device
from firmware_sim.bluez.profile import Wearable
from firmware_sim.bluez.radio import Presence
from firmware_sim.bluez.tree import Answer, Call, Interface, Method, Setter

ADAPTER = "org.bluez.Adapter1"
ADVERTISING_S = 0.05
"""How often a wearable is heard while somebody scans; real straps advertise every 0.1 to 1 s."""
_FILTERS = {
    "UUIDs": "as",
    "RSSI": "n",
    "Pathloss": "q",
    "Transport": "s",
    "DuplicateData": "b",
    "Discoverable": "b",
    "Pattern": "s",
}


class Wish(Protocol):
    """What somebody listens for."""

    def takes(self, presence: Presence) -> bool:
        """Whether the wearable's advertisement is wanted."""
        ...


@dataclass(frozen=True, slots=True)
class Listener:
    """Who listens passively; `found` is called with a device's path when it is first heard."""

    wish: Wish
    found: Callable[[str], None]
    known: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Filter:
    """What one client wants to hear of while it scans."""

    uuids: frozenset[str] = frozenset()
    rssi_dbm: int | None = None
    pattern: str = ""
    wants_duplicates: bool = False

    def takes(self, presence: Presence) -> bool:
        """Whether the wearable's advertisement is wanted."""
        wearable = presence.wearable
        return (
            (not self.uuids or bool(self.uuids & frozenset(wearable.advertised)))
            and (self.rssi_dbm is None or presence.rssi_dbm >= self.rssi_dbm)
            and (wearable.name.startswith(self.pattern) or wearable.address.startswith(self.pattern))
        )


EVERYTHING = Filter()


class Adapter:
    """The one adapter. A scan belongs to the sender that started it."""

    def __init__(self, core: Core, confirm: Confirm) -> None:
        self._core = core
        self._confirm = confirm
        self.devices: dict[str, Device] = {}
        self._filters: dict[str, Filter] = {}
        self._scans: set[str] = set()
        self._listeners: dict[tuple[str, str], Listener] = {}
        self._sweep: asyncio.Task[None] | None = None
        core.tree.add(ADAPTER_PATH, {ADAPTER: Interface(self._properties(), self._methods(), self._setters())})

    def forget(self, sender: str) -> None:
        """A client left the bus: its scan and its subscriptions go with it."""
        self._filters.pop(sender, None)
        self._scans.discard(sender)
        self.drop_listeners(lambda key: key[0] == sender)
        for device in self.devices.values():
            for characteristic in device.gatt.characteristics.values():
                characteristic.forget(sender)

    def powered(self, is_on: bool) -> None:
        """The adapter went on or off; off ends every scan."""
        if not is_on:
            self._scans.clear()
        self._follow()
        self._set({"Powered": Variant("b", is_on)})

    def has_listener(self, key: tuple[str, str]) -> bool:
        """Whether this monitor (sender, path) listens."""
        return key in self._listeners

    def add_listener(self, key: tuple[str, str], wish: Wish, found: Callable[[str], None]) -> None:
        """Listen passively for a monitor (sender, path)."""
        self._listeners[key] = Listener(wish, found)
        self._follow()

    def drop_listeners(self, is_meant: Callable[[tuple[str, str]], bool]) -> None:
        """Stop listening for some monitors."""
        self._listeners = {key: each for key, each in self._listeners.items() if not is_meant(key)}
        self._follow()

    def device(self, wearable: Wearable) -> Device | None:
        """What we know of a wearable, None before it was heard."""
        return self.devices.get(wearable.address)

    def _properties(self) -> dict[str, Variant]:
        off = ("Discoverable", "Pairable", "Discovering")
        return {
            "Address": Variant("s", "02:00:00:00:00:01"),
            "AddressType": Variant("s", "public"),
            "Name": Variant("s", "kanmon-sim"),
            "Alias": Variant("s", "kanmon-sim"),
            "Class": Variant("u", 0),
            "Powered": Variant("b", self._core.radio.is_on),
            "DiscoverableTimeout": Variant("u", 180),
            "PairableTimeout": Variant("u", 0),
            "UUIDs": Variant("as", []),
            "Modalias": Variant("s", "usb:v1D6Bp0246d0542"),
            "Roles": Variant("as", ["central"]),
            **{flag: Variant("b", False) for flag in off},
        }

    def _methods(self) -> dict[str, Method]:
        return {
            "StartDiscovery": Method("", self._start),
            "StopDiscovery": Method("", self._stop),
            "SetDiscoveryFilter": Method("a{sv}", self._set_filter),
            "GetDiscoveryFilters": Method("", lambda _call: Answer("as", (list(_FILTERS),))),
            "RemoveDevice": Method("o", self._remove_device),
        }

    def _setters(self) -> Mapping[str, Setter]:
        plain = ("Alias", "Discoverable", "DiscoverableTimeout", "Pairable", "PairableTimeout")
        return {name: self._setter(name) for name in plain} | {"Powered": self._set_powered}

    def _setter(self, name: str) -> Setter:
        return lambda value: self._set({name: value})

    def _set_powered(self, value: Variant) -> None:
        self._core.radio.power(value.value)

    def _set(self, changes: dict[str, Variant]) -> None:
        self._core.tree.change(ADAPTER_PATH, ADAPTER, changes)

    def _set_filter(self, call: Call) -> Answer:
        wanted: Mapping[str, Variant] = call.body[0]
        if any(_FILTERS.get(name) != value.signature for name, value in wanted.items()):
            raise errors.invalid_arguments()
        if not wanted:
            self._filters.pop(call.sender, None)
            return Answer()
        values = {name: value.value for name, value in wanted.items()}
        self._filters[call.sender] = Filter(
            frozenset(uuid.lower() for uuid in values.get("UUIDs", [])),
            values.get("RSSI"),
            values.get("Pattern", ""),
            values.get("DuplicateData", False),
        )
        return Answer()

    def _start(self, call: Call) -> Answer:
        if not self._core.radio.is_on:
            raise errors.not_ready()
        if call.sender in self._scans:
            raise errors.in_progress()
        self._scans.add(call.sender)
        self._follow()
        return Answer()

    def _stop(self, call: Call) -> Answer:
        if not self._core.radio.is_on:
            raise errors.not_ready()
        if call.sender not in self._scans:
            raise errors.failed("No discovery started")
        self._scans.discard(call.sender)
        self._follow()
        return Answer()

    def _remove_device(self, call: Call) -> Answer:
        for address, device in self.devices.items():
            if device.path == call.body[0]:
                del self.devices[address]
                device.removed()
                return Answer()
        raise errors.does_not_exist()

    def _follow(self) -> None:
        """Listen while somebody wants it. Passive listening is no discovery to the bus."""
        is_wanted = self._core.radio.is_on and bool(self._scans or self._listeners)
        if is_wanted and self._sweep is None:
            self._sweep = self._core.spawn(self._listen())
        elif not is_wanted and self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self._set({"Discovering": Variant("b", bool(self._scans))})
        if not is_wanted:
            for device in self.devices.values():
                device.scan_ended()

    async def _listen(self) -> None:
        """Nobody is heard at once: a client that looks for advertisements after StartDiscovery misses none."""
        while True:
            await asyncio.sleep(ADVERTISING_S)
            for presence in self._core.radio.audible():
                self._hear(presence)

    def _hear(self, presence: Presence) -> None:
        listeners = [each for each in self._listeners.values() if each.wish.takes(presence)]
        wanted = [wish for wish in self._scan_filters() if wish.takes(presence)]
        if not wanted and not listeners:
            return
        address = presence.wearable.address
        device = self.devices.get(address)
        if device is not None and device.wearable is not presence.wearable:  # another one with the same address
            device.removed()
            device = None
        if device is None:
            device = Device(self._core, presence, self._confirm, self._vanished)
            self.devices[address] = device
        else:
            device.heard(presence.rssi_dbm, any(each.wants_duplicates for each in wanted))
        for listener in listeners:
            if device.path not in listener.known:
                listener.known.add(device.path)
                listener.found(device.path)

    def _scan_filters(self) -> list[Filter]:
        return [self._filters.get(sender, EVERYTHING) for sender in self._scans]

    def _vanished(self, device: Device) -> None:
        self.devices.pop(device.wearable.address, None)
        for listener in self._listeners.values():
            listener.known.discard(device.path)
