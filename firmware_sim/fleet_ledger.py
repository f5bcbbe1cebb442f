"""The balance of a fleet: each counter that a device said is at the hub once, under its own number, in order. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contract.ids import Epoch
from contract.record import Stream
from firmware_sim.ledger import StoredSample

QUANTITY = "device_counter"


@dataclass(frozen=True, slots=True)
class Emitted:
    """What one device said: counter k went out in `epoch` under the number `sequences[k]`, so both rise together."""

    device: str
    epoch: Epoch
    sequences: Sequence[int]


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of it. `altered`: stored with another counter; `disordered`: listed after one that was said later."""

    emitted: int = 0
    stored: int = 0
    missing: int = 0
    duplicated: int = 0
    """Stored again under the same number, or under a number that was never given out."""
    altered: int = 0
    disordered: int = 0

    @property
    def holds(self) -> bool:
        """True when everything is there, once, as it was said and in order."""
        return not (self.missing or self.duplicated or self.altered or self.disordered)

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.emitted + other.emitted,
            self.stored + other.stored,
            self.missing + other.missing,
            self.duplicated + other.duplicated,
            self.altered + other.altered,
            self.disordered + other.disordered,
        )


def tally(emitted: Emitted, stored: Iterable[StoredSample]) -> Tally:
    """Compare with what the hub lists of the device, oldest first. Rows of other epochs are of earlier runs."""
    expected = {identity(emitted.epoch, number): counter for counter, number in enumerate(emitted.sequences)}
    found: set[str] = set()
    duplicated = altered = disordered = 0
    latest = -1
    for sample in stored:
        if not sample.identity.startswith(f"{emitted.epoch}:"):
            continue
        counter = expected.get(sample.identity)
        if counter is None or sample.identity in found:
            duplicated += 1
            continue
        found.add(sample.identity)
        altered += sample.values.get(QUANTITY) != counter
        disordered += counter < latest
        latest = max(latest, counter)
    return Tally(len(expected), len(found), len(expected) - len(found), duplicated, altered, disordered)


def identity(epoch: Epoch, sequence: int) -> str:
    """A record's number as `StoredSample.identity` writes it."""
    return f"{epoch}:{Stream.DATA}:{sequence}"
