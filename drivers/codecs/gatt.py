"""Values of GATT characteristics (Bluetooth GATT Specification Supplement) to records: heart rate, battery and device
information. A value that breaks its specification is a ProtocolError, whose text never holds the value.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum

from contract.errors import ProtocolError

_U16_BPM, _CONTACT_DETECTED, _CONTACT_SUPPORTED, _ENERGY, _RR = 1, 2, 4, 8, 16
"""Flags of 2A37. Bits 5 to 7 are reserved and ignored."""

MAX_TEXT_BYTES = 512
"""Longest attribute value (Core Specification 5.4, vol. 3, part F, 3.2.9)."""


def long_uuid(short: int) -> str:
    """A 16-bit UUID written out on the Bluetooth base UUID."""
    return f"0000{short:04x}-0000-1000-8000-00805f9b34fb"


class Contact(StrEnum):
    """What the sensor says about touching skin."""

    NOT_SUPPORTED = "not_supported"
    DETECTED = "detected"
    NOT_DETECTED = "not_detected"


class BodyLocation(IntEnum):
    """2A38: where the sensor is worn."""

    OTHER = 0
    CHEST = 1
    WRIST = 2
    FINGER = 3
    HAND = 4
    EAR_LOBE = 5
    FOOT = 6


class ControlPoint(Enum):
    """2A39: what can be asked of a heart-rate sensor."""

    RESET_ENERGY_EXPENDED = b"\x01"


@dataclass(frozen=True, slots=True)
class HeartRateMeasurement:
    """2A37. `rr_1024` holds the intervals as sent, oldest first, in 1/1024 s: 0 and 65535 occur and mean nothing.

    `energy_kj` saturates at 65535.
    """

    bpm: int
    contact: Contact
    energy_kj: int | None = None
    rr_1024: tuple[int, ...] = ()


def decode_heart_rate(value: bytes) -> HeartRateMeasurement:
    """The measurement in a value of 2A37.

    A field that a flag promises must be whole; for RR that is one interval at least. Half an interval at the end is
    ignored, and so is what follows where no flag promises it, since reserved flags may add fields.
    """
    if not value:
        raise ProtocolError("heart rate measurement is empty")
    flags = value[0]
    bpm, at = _unsigned(value, 1, 2 if flags & _U16_BPM else 1)
    energy_kj: int | None = None
    if flags & _ENERGY:
        energy_kj, at = _unsigned(value, at, 2)
    rr_1024: tuple[int, ...] = ()
    if flags & _RR:
        rr_1024 = tuple(int.from_bytes(value[i : i + 2], "little") for i in range(at, len(value) - 1, 2))
        if not rr_1024:
            raise ProtocolError("heart rate measurement promises RR intervals and holds none")
    return HeartRateMeasurement(bpm, _contact(flags), energy_kj, rr_1024)


def decode_body_location(value: bytes) -> BodyLocation:
    """The place in a value of 2A38; places the specification does not name are refused."""
    try:
        return BodyLocation(_single(value, "body sensor location"))
    except ValueError:
        raise ProtocolError("body sensor location is a reserved value") from None


def decode_battery_level(value: bytes) -> int:
    """Percent, 0 to 100, from a value of 2A19."""
    percent = _single(value, "battery level")
    if percent > 100:
        raise ProtocolError("battery level is above 100 %")
    return percent


def decode_text(value: bytes) -> str:
    """A string of the device information service (2A24 to 2A29): UTF-8, up to the padding of NUL."""
    if len(value) > MAX_TEXT_BYTES:
        raise ProtocolError(f"device information is longer than {MAX_TEXT_BYTES} bytes")
    try:
        return value.split(b"\0", 1)[0].decode()
    except UnicodeDecodeError:
        # Not `from`: the cause carries the bytes, which may be a serial number.
        raise ProtocolError("device information is not UTF-8") from None


def encode_control_point(request: ControlPoint) -> bytes:
    """What to write to 2A39."""
    return request.value


def decode_control_point(value: bytes) -> ControlPoint:
    """The request in a value of 2A39; a sensor answers any other with ATT error 0x80."""
    try:
        return ControlPoint(bytes(value))
    except ValueError:
        raise ProtocolError("heart rate control point holds no known request") from None


def _contact(flags: int) -> Contact:
    if not flags & _CONTACT_SUPPORTED:
        return Contact.NOT_SUPPORTED
    return Contact.DETECTED if flags & _CONTACT_DETECTED else Contact.NOT_DETECTED


def _unsigned(value: bytes, at: int, size: int) -> tuple[int, int]:
    """The little-endian number of `size` bytes at `at`, and where the next field begins."""
    if len(value) < at + size:
        raise ProtocolError("heart rate measurement is shorter than its flags promise")
    return int.from_bytes(value[at : at + size], "little"), at + size


def _single(value: bytes, name: str) -> int:
    if len(value) != 1:
        raise ProtocolError(f"{name} is not one byte")
    return value[0]
