"""What a device says about itself. Serial numbers of wearables are personal data: shown at the gateway, never sent."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Description:
    """Maker, model, serial and revisions as the device states them, and where it is worn; None where it does not."""

    maker: str | None = None
    model: str | None = None
    serial: str | None = None
    firmware: str | None = None
    hardware: str | None = None
    software: str | None = None
    body_location: str | None = None


class LinkState(StrEnum):
    """What the gateway last saw of a device's link."""

    CONNECTING = "connecting"
    UP = "up"
    LOST = "lost"
