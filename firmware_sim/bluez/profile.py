"""What a wearable offers over GATT, as plain data: services and characteristics, and its UUIDs in full. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


def long_uuid(short: int) -> str:
    """A 16-bit UUID on the Bluetooth base UUID, as BlueZ writes it."""
    return f"{short:08x}-0000-1000-8000-00805f9b34fb"


CLIENT_CONFIGURATION = long_uuid(0x2902)
"""The descriptor that every notifying characteristic has."""


@dataclass(frozen=True, slots=True)
class Characteristic:
    """One characteristic; `flags` are BlueZ's words ("read", "write", "notify"). `is_protected`: only once paired."""

    uuid: str
    flags: tuple[str, ...]
    is_protected: bool = False

    @property
    def notifies(self) -> bool:
        """Whether a client can subscribe to it."""
        return "notify" in self.flags or "indicate" in self.flags


@dataclass(frozen=True, slots=True)
class Service:
    """One primary service. `is_claimed`: bluetoothd uses it itself and lets nobody write (the battery service)."""

    uuid: str
    characteristics: tuple[Characteristic, ...]
    is_claimed: bool = False


def short_uuid(uuid: str) -> int:
    """The 16 bits of a UUID on the Bluetooth base UUID."""
    return int(uuid[:8], 16)


class Wearable(Protocol):
    """Any peripheral that a radio can carry. Requests it refuses raise `errors.AttError`."""

    address: str
    name: str
    advertised: tuple[str, ...]
    """UUIDs of services in its advertisement."""
    services: tuple[Service, ...]
    mtu: int
    transmit: Callable[[str, bytes], bool]
    """Set by the radio: sends a notification (uuid, value), true when handed to an open subscriber."""

    def read(self, uuid: str) -> bytes:
        """The value of a characteristic."""
        ...

    def write(self, uuid: str, value: bytes) -> None:
        """Write a characteristic."""
        ...


def advertisement(wearable: Wearable) -> dict[int, bytes]:
    """Its advertising data by type (Bluetooth assigned numbers, 2.3: flags, complete list of services, name)."""
    services = b"".join(short_uuid(uuid).to_bytes(2, "little") for uuid in wearable.advertised)
    return {0x01: b"\x06", 0x03: services, 0x09: wearable.name.encode()}
