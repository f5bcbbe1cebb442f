"""One-minute aggregates of a person's scalar values. Pure; an open window can be written down and taken up again.

What rests on fewer than MIN_VALUES values is never released: the mean of one value is the value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cloud_sync.blob import from_ms, to_ms
from cloud_sync.correction import Mover
from contract.record import Aggregate
from contract.sample import Flag, Reading, Sample

WINDOW_S = 60
GRACE_S = 2
"""How long after its end a window waits for samples that were stamped before it."""
MIN_VALUES = 5


@dataclass(slots=True)
class _Sums:
    count: int = 0
    total: float = 0.0
    minimum: float = float("inf")
    maximum: float = float("-inf")

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value
        self.minimum = min(self.minimum, value)
        self.maximum = max(self.maximum, value)


@dataclass(frozen=True, slots=True)
class Closed:
    """A window that ended: its aggregates, or none and the number of samples that stay here for good."""

    aggregates: tuple[Aggregate, ...]
    withheld: int


@dataclass(slots=True)
class Window:
    """The open window of one person under one purpose; `samples` is 0 while none is open."""

    start_ms: int = 0
    samples: int = 0
    sums: dict[str, _Sums] = field(default_factory=dict)

    def add(self, sample: Sample, subject: str) -> Closed | None:
        """Take a sample; what it ended comes back. A sample of the window before counts into this one.

        One that is older still means that the clock was set back: the window ends, or it would last until then.
        """
        start_ms = to_ms(sample.stamp.at) // (WINDOW_S * 1000) * WINDOW_S * 1000
        is_late = self.start_ms - WINDOW_S * 1000 <= start_ms < self.start_ms
        closed = self.close(subject) if self.samples and start_ms != self.start_ms and not is_late else None
        if not self.samples:
            self.start_ms = start_ms
        self.samples += 1
        for member in sample.members:
            if isinstance(member, Reading) and member.flag is Flag.GOOD and member.value is not None:
                self.sums.setdefault(member.quantity, _Sums()).add(member.value)
        return closed

    def redate(self, moved: Mover) -> None:
        """The clock was set, or the window is of another boot: it began when its end says."""
        if self.samples:
            self.start_ms = to_ms(moved(from_ms(self.start_ms + WINDOW_S * 1000))) - WINDOW_S * 1000

    def is_over(self, at: datetime) -> bool:
        """True when an open window's time has passed at `at`."""
        return self.samples > 0 and to_ms(at) >= self.start_ms + (WINDOW_S + GRACE_S) * 1000

    def close(self, subject: str) -> Closed:
        """End the window and start over with none."""
        samples = self.samples
        sums = {quantity: sums for quantity, sums in self.sums.items() if sums.count >= MIN_VALUES}
        start = from_ms(self.start_ms)
        self.samples, self.sums = 0, {}
        if not sums:
            return Closed((), samples)
        # The samples are told with one quantity only, so that their sum over all aggregates is right.
        told = [samples] + [0] * (len(sums) - 1)
        return Closed(
            tuple(
                Aggregate(subject, quantity, start, WINDOW_S, s.count, s.total / s.count, s.minimum, s.maximum, number)
                for (quantity, s), number in zip(sums.items(), told, strict=True)
            ),
            0,
        )

    def to_json(self) -> Mapping[str, object]:
        """The open window as JSON values."""
        sums = {name: [s.count, s.total, s.minimum, s.maximum] for name, s in self.sums.items()}
        return {"start_ms": self.start_ms, "samples": self.samples, "sums": sums}

    @classmethod
    def from_json(cls, start_ms: int, samples: int, sums: Mapping[str, tuple[int, float, float, float]]) -> "Window":
        """The inverse of `to_json`, its members as keywords."""
        return cls(start_ms, samples, {name: _Sums(*values) for name, values in sums.items()})
