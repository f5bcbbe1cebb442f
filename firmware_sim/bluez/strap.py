"""A heart-rate strap, written from the Bluetooth specifications: HRS 1.0, BAS 1.1, DIS 1.2 and their characteristics.

The encoder of 2A37 below is this bench's own: a mistake of the driver's decoder must not be made twice.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from firmware_sim.bluez import errors
from firmware_sim.bluez.profile import Characteristic, Service, long_uuid

HEART_RATE = long_uuid(0x180D)
BATTERY = long_uuid(0x180F)
DEVICE_INFORMATION = long_uuid(0x180A)

MEASUREMENT = long_uuid(0x2A37)
SENSOR_LOCATION = long_uuid(0x2A38)
CONTROL_POINT = long_uuid(0x2A39)
BATTERY_LEVEL = long_uuid(0x2A19)
MODEL, SERIAL, FIRMWARE, HARDWARE, SOFTWARE, MAKER = (long_uuid(0x2A24 + offset) for offset in range(6))

CONTROL_POINT_NOT_SUPPORTED = 0x80
"""HRS 1.0, table 2.1: application error for an opcode other than "reset energy expended"."""
RESET_ENERGY = b"\x01"
ENERGY_MAX_KJ = 0xFFFF
"""HRS 1.0, 3.1.1.3: the field stays at its maximum instead of rolling over."""
MIN_MTU = 23
ATT_HEADER_BYTES = 3

# Flags of 2A37 (GATT Specification Supplement, heart rate measurement).
_IS_U16, _HAS_CONTACT, _KNOWS_CONTACT, _HAS_ENERGY, _HAS_RR = 1, 2, 4, 8, 16


class Location(IntEnum):
    """Where the sensor is worn (2A38)."""

    OTHER = 0
    CHEST = 1
    WRIST = 2
    FINGER = 3
    HAND = 4
    EAR = 5
    FOOT = 6


def measurement(
    bpm: int,
    rr_1024: Sequence[int] = (),
    contact: bool | None = None,
    energy_kj: int | None = None,
    *,
    is_wide: bool = False,
    mtu: int = MIN_MTU,
) -> bytes:
    """The value of 2A37: RR oldest first in 1/1024 s; where they do not fit the MTU, the oldest are left out.

    `contact` None says that the sensor cannot tell; `is_wide` forces the 16-bit form of a rate below 256.
    """
    is_wide = is_wide or bpm > 0xFF
    flags = _IS_U16 if is_wide else 0
    if contact is not None:
        flags |= _KNOWS_CONTACT | (_HAS_CONTACT if contact else 0)
    fields = struct.pack("<H" if is_wide else "<B", bpm)
    if energy_kj is not None:
        flags |= _HAS_ENERGY
        fields += struct.pack("<H", min(energy_kj, ENERGY_MAX_KJ))
    room = (mtu - ATT_HEADER_BYTES - 1 - len(fields)) // 2
    sent = list(rr_1024)[-room:]
    if sent:
        flags |= _HAS_RR
        fields += struct.pack(f"<{len(sent)}H", *sent)
    return bytes([flags]) + fields


@dataclass(frozen=True, slots=True)
class Label:
    """What the strap's device information says besides its serial number."""

    maker: str = "Kanmon"
    model: str = "Simulated strap"
    firmware: str = "1.0.0"
    hardware: str = "A"
    software: str = "1.0.0"


def _nobody(_values: Mapping[str, float]) -> None:
    """The strap nobody keeps a ledger of."""


class Strap:
    """One strap. It speaks only when told to (`notify`), and keeps no clock.

    `contact`: None for a strap that cannot tell (Polar H10), else whether it feels skin. `energy_kj`: None for a strap
    without the energy field and without 2A39. `protected`: the measurement is given to paired clients only. `emitted`
    is called with {"heart_rate": bpm} for each measurement handed to an open subscriber, and only then; not for one
    that the radio corrupted, since nothing was said by it.
    """

    def __init__(
        self,
        address: str,
        name: str,
        serial: str,
        battery: int = 90,
        *,
        label: Label | None = None,
        location: Location = Location.CHEST,
        contact: bool | None = None,
        energy_kj: int | None = None,
        is_protected: bool = False,
        mtu: int = MIN_MTU,
        emitted: Callable[[Mapping[str, float]], None] = _nobody,
    ) -> None:
        self.address = address.upper()
        self.name = name
        self.serial = serial
        self.battery = battery
        self.label = label or Label()
        self.location = location
        self.contact = contact
        self.energy_kj = energy_kj
        self.mtu = mtu
        self.emitted = emitted
        self.advertised: tuple[str, ...] = (HEART_RATE, BATTERY)
        self.services = _services(energy_kj is not None, is_protected)
        self.transmit: Callable[[str, bytes], bool] = _to_nobody

    def notify(
        self,
        bpm: int,
        rr_1024: Sequence[int] = (),
        *,
        contact: bool | None = None,
        with_energy: bool = False,
        is_wide: bool = False,
    ) -> bool:
        """Send one measurement now; true when it was handed to an open subscriber. `contact` None: as the strap is."""
        felt = self.contact if contact is None else contact
        energy = self.energy_kj if with_energy else None
        value = measurement(bpm, rr_1024, felt, energy, is_wide=is_wide, mtu=self.mtu)
        was_handed = self.transmit(MEASUREMENT, value)
        if was_handed:
            self.emitted({"heart_rate": float(bpm)})
        return was_handed

    def send_raw(self, value: bytes) -> bool:
        """Send any bytes as the value of 2A37, for recorded and broken ones; never counted as emitted."""
        return self.transmit(MEASUREMENT, value)

    def set_battery(self, percent: int) -> None:
        """Change the battery level and notify it."""
        self.battery = percent
        self.transmit(BATTERY_LEVEL, bytes([percent]))

    def read(self, uuid: str) -> bytes:
        """The value of a characteristic; AttError when it cannot be read."""
        label = self.label
        texts = {
            MODEL: label.model,
            SERIAL: self.serial,
            FIRMWARE: label.firmware,
            HARDWARE: label.hardware,
            SOFTWARE: label.software,
            MAKER: label.maker,
        }
        if uuid in texts:
            return texts[uuid].encode()
        if uuid == BATTERY_LEVEL:
            return bytes([self.battery])
        if uuid == SENSOR_LOCATION:
            return bytes([self.location])
        raise errors.AttError(errors.READ_NOT_PERMITTED)

    def write(self, uuid: str, value: bytes) -> None:
        """Write the control point; AttError for anything else, and for an opcode that HRS does not know."""
        if uuid != CONTROL_POINT:
            raise errors.AttError(errors.WRITE_NOT_PERMITTED)
        if value != RESET_ENERGY:
            raise errors.AttError(CONTROL_POINT_NOT_SUPPORTED)
        self.energy_kj = 0


def _to_nobody(_uuid: str, _value: bytes) -> bool:
    """A strap that no radio carries is heard by nobody."""
    return False


def _services(has_energy: bool, is_protected: bool) -> tuple[Service, ...]:
    heart = [
        Characteristic(MEASUREMENT, ("notify",), is_protected),
        Characteristic(SENSOR_LOCATION, ("read",)),
    ]
    if has_energy:
        heart.append(Characteristic(CONTROL_POINT, ("write",)))
    information = tuple(
        Characteristic(uuid, ("read",)) for uuid in (MAKER, MODEL, SERIAL, FIRMWARE, HARDWARE, SOFTWARE)
    )
    return (
        Service(HEART_RATE, tuple(heart)),
        Service(BATTERY, (Characteristic(BATTERY_LEVEL, ("read", "notify")),), is_claimed=True),
        Service(DEVICE_INFORMATION, information),
    )
