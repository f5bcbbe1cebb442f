"""What the store answers with: one frozen record a row. Times are aware UTC."""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from contract.alert import Alert
from contract.consent import Purpose
from contract.ids import DeviceId, Epoch, GatewayId
from contract.record import GapReason, Stream
from contract.sample import ClockQuality, Flag

ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class PositionValue:
    """A fix in WGS84; speed in m/s, course in degrees from true north, None where the device did not say."""

    lat_deg: float
    lon_deg: float
    speed_mps: float | None
    course_deg: float | None


@dataclass(frozen=True, slots=True)
class SeriesValue:
    """Values of one frame, oldest first, each with its offset in seconds from the row's time."""

    values: tuple[float, ...]
    offsets_s: tuple[float, ...]


Value = float | None | PositionValue | SeriesValue
"""None where the device said "no value"."""


@dataclass(frozen=True, slots=True)
class GatewayRow:
    """A gateway that has spoken; `epoch` and `software` are what its last hello said, None before it."""

    id: GatewayId
    first_seen: datetime
    last_seen: datetime
    epoch: Epoch | None
    software: str | None


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A thing behind a gateway, known by its readings. A wearable of a person is never one."""

    gateway: GatewayId
    id: DeviceId
    last_at: datetime
    quantities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LatestRow:
    """The newest value of one quantity of one thing."""

    gateway: GatewayId
    device: DeviceId
    quantity: str
    at: datetime
    value: Value
    flag: Flag
    clock: ClockQuality


@dataclass(frozen=True, slots=True)
class ReadingRow:
    """One stored record of a thing, with its identity (gateway, epoch, stream, sequence)."""

    gateway: GatewayId
    device: DeviceId
    quantity: str
    at: datetime
    value: Value
    flag: Flag
    clock: ClockQuality
    epoch: Epoch
    stream: Stream
    sequence: int


@dataclass(frozen=True, slots=True)
class RollupRow:
    """Statistics of the values of one quantity of one thing over [start, start + step_s); `last` is the newest."""

    gateway: GatewayId
    device: DeviceId
    quantity: str
    start: datetime
    step_s: int
    count: int
    mean: float
    minimum: float
    maximum: float
    last: float


@dataclass(frozen=True, slots=True)
class ReleasedRow:
    """One stored record of a person, as released for `purpose`: no gateway, device, epoch or sequence."""

    purpose: Purpose
    subject: str
    quantity: str
    at: datetime
    value: Value
    flag: Flag
    clock: ClockQuality


@dataclass(frozen=True, slots=True)
class AggregateRow:
    """One person's statistics over [start, start + window_s), resting on `count` values from `samples` samples."""

    purpose: Purpose | None
    subject: str
    quantity: str
    start: datetime
    window_s: float
    count: int
    mean: float
    minimum: float
    maximum: float
    samples: int


@dataclass(frozen=True, slots=True)
class ReceivedRow:
    """How much of one person's statistics has arrived, and from when to when; None for both when nothing has."""

    samples: int
    windows: int
    start: datetime | None
    end: datetime | None


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One event of an alert. Of a thing: `gateway` is set; of a person: `purpose` is set and `gateway` None."""

    alert: Alert
    gateway: GatewayId | None
    purpose: Purpose | None
    subject: str
    sequence_id: int
    """Number of the event in the order the hub stored it."""


@dataclass(frozen=True, slots=True)
class GapRow:
    """Declared loss between `start` and `end`; every quantity when `quantity` is None, `count` when known."""

    gateway: GatewayId | None
    purpose: Purpose | None
    subject: str
    quantity: str | None
    start: datetime
    end: datetime
    reason: GapReason
    count: int | None


@dataclass(frozen=True, slots=True)
class Page(Generic[ItemT]):
    """Some rows of a longer list; `next_cursor` asks for the rest, None at the end."""

    items: tuple[ItemT, ...]
    next_cursor: str | None
