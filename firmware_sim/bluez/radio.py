"""The air between the wearables and the one adapter: who is in range, which links stand, and what goes wrong.

Tests and scenarios steer it. It knows nothing of D-Bus: the simulated bluetoothd listens to it.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from firmware_sim.bluez.profile import Wearable
from firmware_sim.bluez.strap import MEASUREMENT

SLOTS = 7
"""Links at once: Broadcom controllers, as on a Raspberry Pi, hold 7, CSR dongles 5."""
SUPERVISION_S = 2.0
"""Silence after which a controller gives a link up; straps ask for 2 to 6 s."""
CONNECT_LIMIT_S = 20.0
"""How long bluetoothd tries to reach a device that is not there."""
CONNECT_S = 0.005
"""From the request to the link, once the wearable is heard; a real one needs up to its advertising interval."""
RSSI_DBM = -60
GARBLED = bytes.fromhex("ff01")
"""A 2A37 value whose flags promise more fields than there are bytes."""

REFUSED = "le-connection-refused"
ABORTED = "le-connection-abort-by-local"
TIMED_OUT = "le-connection-timeout"
SLOTS_FULL = "le-connection-concurrent-connection-limit"
NOT_POWERED = "le-connection-adapter-not-powered"
CANCELLED = "le-connection-canceled"


class ConnectFailedError(Exception):
    """No link came about; `reason` is the text BlueZ gives (src/error.h)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Listener(Protocol):
    """Who hears what happens on the air."""

    def link_lost(self, wearable: Wearable, reason: str) -> None:
        """A link ended without being asked to; `reason` is the name BlueZ 5.82 gives it (org.bluez.Reason.*)."""
        ...

    def notified(self, wearable: Wearable, uuid: str, value: bytes) -> bool:
        """A notification arrived; true when it was handed to an open subscriber."""
        ...

    def powered(self, is_on: bool) -> None:
        """The adapter went on or off."""
        ...


@dataclass(eq=False, slots=True)
class Presence:
    """A wearable on the air, with the faults a test set on it."""

    wearable: Wearable
    rssi_dbm: int = RSSI_DBM
    is_in_range: bool = True
    is_held: bool = False
    is_reachable: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while it is in range and not held by another phone."""
    is_linked: bool = False
    is_silent: bool = False
    never_resolves: bool = False
    refusals: list[str] = field(default_factory=list)
    garbled: list[bytes] = field(default_factory=list)
    refuses_pairing: bool = False
    asks_confirmation: bool = False
    supervision: asyncio.TimerHandle | None = None

    def place(self, *, is_in_range: bool, is_held: bool) -> None:
        """Say where it is and whether another phone has it."""
        self.is_in_range = is_in_range
        self.is_held = is_held
        if is_in_range and not is_held:
            self.is_reachable.set()
        else:
            self.is_reachable.clear()

    def end_supervision(self) -> None:
        """The link ended, or the wearable came back before the controller gave it up."""
        if self.supervision is not None:
            self.supervision.cancel()
            self.supervision = None


class Radio:
    """The adapter's surroundings. Times may be shortened for tests; they are read at each use."""

    def __init__(
        self, slots: int = SLOTS, supervision_s: float = SUPERVISION_S, connect_limit_s: float = CONNECT_LIMIT_S
    ) -> None:
        self.slots = slots
        self.supervision_s = supervision_s
        self.connect_limit_s = connect_limit_s
        self.is_on = True
        self.listener: Listener | None = None
        self._presences: dict[str, Presence] = {}

    # What a test or a scenario does.

    def add(self, wearable: Wearable, *, in_range: bool = True, rssi_dbm: int = RSSI_DBM) -> None:
        """Bring a wearable into the town; from now on its notifications go through this radio."""
        presence = Presence(wearable, rssi_dbm)
        self._presences[wearable.address] = presence
        wearable.transmit = lambda uuid, value: self._transmit(presence, uuid, value)
        presence.place(is_in_range=in_range, is_held=False)

    def remove(self, wearable: Wearable) -> None:
        """Take a wearable away for good; a standing link drops."""
        self.drop(wearable)
        del self._presences[wearable.address]

    def drop(self, wearable: Wearable, reason: str = "org.bluez.Reason.Remote") -> None:
        """End the link from the wearable's side; it goes on advertising."""
        presence = self.presence(wearable)
        presence.end_supervision()
        if presence.is_linked:
            presence.is_linked = False
            if self.listener is not None:
                self.listener.link_lost(wearable, reason)

    def out_of_range(self, wearable: Wearable) -> None:
        """Carry it away: no more advertisements, notifications are lost, the link ends after the supervision time."""
        presence = self.presence(wearable)
        presence.place(is_in_range=False, is_held=presence.is_held)
        if presence.is_linked and presence.supervision is None:
            loop = asyncio.get_running_loop()
            presence.supervision = loop.call_later(self.supervision_s, self.drop, wearable, "org.bluez.Reason.Timeout")

    def in_range(self, wearable: Wearable) -> None:
        """Carry it back; a link that has not timed out yet goes on."""
        presence = self.presence(wearable)
        presence.place(is_in_range=True, is_held=presence.is_held)
        presence.end_supervision()

    def set_rssi(self, wearable: Wearable, rssi_dbm: int) -> None:
        """Change how loud it is heard, in dBm."""
        self.presence(wearable).rssi_dbm = rssi_dbm

    def silence(self, wearable: Wearable, is_silent: bool = True) -> None:
        """The link stands and nothing comes over it."""
        self.presence(wearable).is_silent = is_silent

    def hold(self, wearable: Wearable, is_held: bool = True) -> None:
        """Another phone holds it: it does not advertise and takes no connection; a link of ours drops."""
        presence = self.presence(wearable)
        presence.place(is_in_range=presence.is_in_range, is_held=is_held)
        if is_held:
            self.drop(wearable)

    def refuse_connect(self, wearable: Wearable, times: int = 1, reason: str = REFUSED) -> None:
        """The next `times` connections fail with this reason."""
        self.presence(wearable).refusals.extend([reason] * times)

    def never_resolve(self, wearable: Wearable, never: bool = True) -> None:
        """Connections stand, but its services are never found."""
        self.presence(wearable).never_resolves = never

    def corrupt_next(self, wearable: Wearable, value: bytes = GARBLED) -> None:
        """Its next measurement arrives as these bytes instead."""
        self.presence(wearable).garbled.append(value)

    def refuse_pairing(self, wearable: Wearable, refuses: bool = True) -> None:
        """It refuses to pair."""
        self.presence(wearable).refuses_pairing = refuses

    def ask_confirmation(self, wearable: Wearable, asks: bool = True) -> None:
        """Pairing compares six digits (numeric comparison) instead of just working."""
        self.presence(wearable).asks_confirmation = asks

    def power(self, is_on: bool) -> None:
        """Switch the adapter; switching it off ends every link."""
        if is_on == self.is_on:
            return
        self.is_on = is_on
        if not is_on:
            for presence in self._presences.values():
                self.drop(presence.wearable, "org.bluez.Reason.Local")
        if self.listener is not None:
            self.listener.powered(is_on)

    # What the simulated bluetoothd does.

    def presence(self, wearable: Wearable) -> Presence:
        """The state of a wearable; KeyError when it was never added."""
        return self._presences[wearable.address]

    def find(self, address: str) -> Presence | None:
        """The wearable with this address, in range or not."""
        return self._presences.get(address)

    def audible(self) -> list[Presence]:
        """Whose advertisements are heard now: a linked strap does not advertise."""
        if not self.is_on:
            return []
        return [each for each in self._presences.values() if each.is_reachable.is_set() and not each.is_linked]

    async def connect(self, address: str) -> Presence:
        """Bring about a link, waiting for the wearable to be heard; ConnectFailedError."""
        presence = self._presences.get(address)
        try:
            async with asyncio.timeout(self.connect_limit_s):
                await (presence.is_reachable if presence else asyncio.Event()).wait()
                await asyncio.sleep(CONNECT_S)
        except TimeoutError as error:
            raise ConnectFailedError(TIMED_OUT) from error
        if presence is None:
            raise ConnectFailedError(TIMED_OUT)
        if not self.is_on:
            raise ConnectFailedError(NOT_POWERED)
        if presence.refusals:
            raise ConnectFailedError(presence.refusals.pop(0))
        if sum(each.is_linked for each in self._presences.values()) >= self.slots:
            raise ConnectFailedError(SLOTS_FULL)
        presence.is_linked = True
        return presence

    def disconnect(self, address: str) -> None:
        """End a link from our side; the listener is not called."""
        presence = self._presences.get(address)
        if presence is not None:
            presence.end_supervision()
            presence.is_linked = False

    def _transmit(self, presence: Presence, uuid: str, value: bytes) -> bool:
        if not presence.is_linked or presence.is_silent or not presence.is_in_range or self.listener is None:
            return False
        if uuid == MEASUREMENT and presence.garbled:
            self.listener.notified(presence.wearable, uuid, presence.garbled.pop(0))
            return False
        return self.listener.notified(presence.wearable, uuid, value)
