"""What can go wrong between a Modbus master and a device."""

from dataclasses import dataclass
from enum import StrEnum

from firmware_sim.modbus_pdu import ExceptionCode


class FaultKind(StrEnum):
    """How a request is treated instead of being answered properly."""

    DELAY = "delay"
    """The whole answer, `seconds` late; what the master asks meanwhile waits its turn."""
    SILENCE = "silence"
    """No answer."""
    CUT = "cut"
    """Half of the answer, then the connection is closed."""
    CORRUPT = "corrupt"
    """The whole answer with the byte at `position` of the frame inverted."""
    LATE = "late"
    """No answer now: it comes, under its old transaction id, right before the next one on the connection."""
    EXCEPTION = "exception"
    """An exception answer with `code`."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault and its measure; only the field that its kind names counts."""

    kind: FaultKind
    seconds: float = 0.0
    position: int = 8
    """8 is the byte count of a reading answer, which TCP alone gives a master to check besides the header."""
    code: ExceptionCode = ExceptionCode.DEVICE_FAILURE
