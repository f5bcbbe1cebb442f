"""What one commit of the outbox holds: records by lane, and the marks and states from which a restart goes on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from contract.boot import BootId, TimeBase
from contract.consent import Purpose
from contract.ids import DeviceId, PersonId
from contract.record import Record, Stream

Channel = tuple[PersonId, Purpose]


class Lane(NamedTuple):
    """Records that may share a blob. `channel` None: things. `base` None: stamped by a synchronised clock."""

    stream: Stream
    channel: Channel | None = None
    base: TimeBase | None = None


def base_of(saved: object) -> TimeBase | None:
    """The base that was written into a state as JSON; None where there was none, or nothing that reads as one."""
    match saved:
        case [str() as boot, int() as zero_ms]:
            return TimeBase(BootId(boot), zero_ms)
        case _:
            return None


@dataclass(frozen=True, slots=True)
class Loss:
    """Something of what was written between `start` and `end` is lost: of `person`, or, when None, of anything."""

    id: int
    start: datetime
    end: datetime
    person: PersonId | None = None


@dataclass(slots=True)
class Group:
    """What one commit writes. `samples` counts polls, frames and notifications."""

    at: datetime
    records: dict[Lane, list[Record]] = field(default_factory=dict)
    samples: dict[Lane, int] = field(default_factory=dict)
    states: dict[Channel, Mapping[str, object]] = field(default_factory=dict)
    alarms: dict[str, Mapping[str, object]] = field(default_factory=dict)
    things: dict[DeviceId, datetime] = field(default_factory=dict)
    base: TimeBase | None = None
    """What `at` and the times in marks and states rest on."""
    declared: list[Loss] = field(default_factory=list)
    """Losses whose gaps are among the records."""
    withheld: int = 0
    is_on_its_way: bool = False
    is_written: bool = False

    def count_withdrawn(self) -> None:
        """Count as withheld the samples whose records were taken back."""
        for lane in self.samples.keys() - self.records.keys():
            self.withheld += self.samples.pop(lane)


@dataclass(frozen=True, slots=True)
class Resumed:
    """What an earlier run left behind."""

    things: Mapping[DeviceId, datetime]
    states: Mapping[Channel, Mapping[str, object]]
    alarms: Mapping[str, Mapping[str, object]]
