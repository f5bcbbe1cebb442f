"""What leaves a gateway: records, numbered one by one, and the ranges a receipt names."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from contract.alert import Alert
from contract.ids import Epoch
from contract.sample import ClockQuality, Member


class Stream(StrEnum):
    """Alerts have a stream of their own, so that they overtake a backlog of data."""

    ALERT = "alert"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class Measured:
    """A sample as released. `subject`: device id of a thing, account id or pseudonym of a person.

    Each member is one record and takes one sequence number, in order.
    """

    subject: str
    at: datetime
    clock: ClockQuality
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Statistics of one quantity over [start, start + window_s): never a single value of a person."""

    subject: str
    quantity: str
    start: datetime
    window_s: float
    count: int
    mean: float
    minimum: float
    maximum: float
    samples: int
    """How many samples (polls, frames, notifications) the window rests on, for the ledger's balance."""


class GapReason(StrEnum):
    """Why records are missing. A gap is data, silence is not."""

    RESTART = "restart"
    UNREACHABLE = "unreachable"
    STORE_FULL = "store_full"
    """Dropped from a full store, or never taken into it."""
    OVERLOAD = "overload"
    """More came than could be taken."""
    THINNED = "thinned"
    """Every second one was given up, to make room."""
    DAMAGED = "damaged"
    """Lost with a damaged file."""
    HUB_RESTORED = "hub_restored"
    """The hub had receipted it and holds it no more."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Declared loss: nothing of `subject` (all quantities when None) between `start` and `end`; `count` when known."""

    subject: str
    quantity: str | None
    start: datetime
    end: datetime
    reason: GapReason
    count: int | None = None


@dataclass(frozen=True, slots=True)
class AlertRecord:
    """An alert event about `subject`, as released."""

    subject: str
    alert: Alert


Record = Measured | Aggregate | Gap | AlertRecord


def records_in(record: Record) -> int:
    """How many sequence numbers the record takes: one a member of a Measured, else one."""
    return len(record.members) if isinstance(record, Measured) else 1


class Range(NamedTuple):
    """Sequence numbers `first` to `last`, both included, of one stream of one epoch."""

    epoch: Epoch
    stream: Stream
    first: int
    last: int


def merged(ranges: Iterable[Range]) -> Iterator[Range]:
    """Sorted ranges with those that touch or overlap made one."""
    last: Range | None = None
    for range_ in ranges:
        if last is not None and last[:2] == range_[:2] and range_.first <= last.last + 1:
            last = last._replace(last=max(last.last, range_.last))
            continue
        if last is not None:
            yield last
        last = range_
    if last is not None:
        yield last
