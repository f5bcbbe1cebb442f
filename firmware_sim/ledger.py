"""The balance between what simulated devices handed to open readers and what became of it. Pure.

An emission is stored when a stored sample of its device says the same values at about the same time. What is left is
looked for, in this order, in the gateway's count of withheld samples and the samples behind aggregates, then in
declared gaps. The rest is missing. A stored sample, or a counted one, that no emission explains is a duplicate.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType

TOLERANCE_S = 30.0
"""How much later than its emission a sample may be stamped, when nothing nearer fits: a gateway that was held up reads
late. More than 5 s were seen on two cores that eight programs shared. Also how much earlier: of a device that repeats
a value, such as a bus that stands, the nearest emissions are taken first, and what is left is further off."""
SOON_S = 2.0
"""Within this a sample is looked for before that: devices repeat values."""
NEAR_S = 0.2
"""A sample's own emission is looked for this near first: devices that repeat a value leave others within tolerance."""
LEAD_S = 2.0
"""How much earlier: the device's own stamp is taken beside the hand-over, by a process that may be paused there; and a
gateway whose clock is set by its hub is behind by as long as that message was on its way."""
GAP_MARGIN_S = 0.25
"""An emission this close outside a declared gap still lies in it: gaps are told in the times of reads."""

RESOLUTION: Mapping[str, float] = MappingProxyType(
    {"heart_rate": 0.5, "device_counter": 0.5, "water_level": 0.0051, "lat": 2e-6, "lon": 2e-6, "rr_interval": 0.0006}
)
"""Half a step of each quantity on the wire and a little more, in the quantity's unit."""
DEFAULT_RESOLUTION = 1e-6


@dataclass(frozen=True, slots=True)
class Emission:
    """One unit (answer, notification, fix) handed to an open reader, with the values it said."""

    device: str
    at: datetime
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class StoredSample:
    """One sample as the hub holds it. `identity` is its number where the hub keeps one, else empty.

    Only the quantities named here are compared with an emission. Two samples with one identity are one sample stored
    twice; without an identity, stamp and values take its place, with whatever else was stored with them: `beside`.
    """

    device: str
    at: datetime
    values: Mapping[str, float]
    identity: str = ""
    beside: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """`samples` of a device went into aggregates between `start` and `end`."""

    device: str
    start: datetime
    end: datetime
    samples: int


@dataclass(frozen=True, slots=True)
class Span:
    """A declared gap of one device, or of every device that shares nothing when `device` is None."""

    device: str | None
    start: datetime
    end: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Books:
    """Everything a balance is made from.

    `personal` names the devices worn by persons: `withheld` and `open_windows` are totals over these, so they are
    judged together; `summed` those whose samples go into aggregates now. A `Span` without a device holds for worn
    devices of which no single sample was stored.
    """

    emissions: Sequence[Emission]
    stored: Sequence[StoredSample]
    windows: Sequence[Window] = ()
    gaps: Sequence[Span] = ()
    personal: frozenset[str] = frozenset()
    summed: frozenset[str] = frozenset()
    withheld: int = 0
    open_windows: int = 0
    alerts: int = 0


@dataclass(slots=True)
class DeviceBalance:
    """What became of one device's emissions. For worn devices the parts of a common total are shared out."""

    emitted: int = 0
    stored: int = 0
    aggregated: int = 0
    withheld: int = 0
    in_gaps: int = 0
    missing: int = 0
    duplicated: int = 0


@dataclass(frozen=True, slots=True)
class Balance:
    """The totals, and the same by device. `holds` when nothing is missing and nothing is double."""

    emitted: int
    stored: int
    aggregated: int
    withheld: int
    in_gaps: int
    missing: int
    duplicated: int
    alerts: int
    devices: Mapping[str, DeviceBalance]

    @property
    def holds(self) -> bool:
        """True when every emission is accounted for exactly once."""
        return not self.missing and not self.duplicated


def balance(books: Books, tolerance_s: float = TOLERANCE_S) -> Balance:
    """Match, draw on the counts, look into the gaps; what is left is missing."""
    accounts = _match_all(books, tolerance_s)
    surplus = _count_windows(accounts, books)
    # Devices that share nothing come first: what was withheld is theirs before anyone else's.
    worn = sorted(accounts.keys() & books.personal, key=lambda d: (d in books.summed, accounts[d].balance.stored, d))
    surplus += _count_open_windows([accounts[device] for device in worn if device in books.summed], books.open_windows)
    surplus += _count_withheld([accounts[device] for device in worn], books.withheld)
    for account in accounts.values():
        account.balance.in_gaps = min(account.left, account.in_gap)
        account.balance.missing = account.left
    return _total(accounts, surplus, books.alerts)


def strays(books: Books, tolerance_s: float = TOLERANCE_S) -> tuple[tuple[str, str, datetime], ...]:
    """What no other side explains, as (device, "emitted" or "stored", when), by time; gaps and counts left aside.

    For a person who looks for a fault: of devices that share nothing, or statistics alone, it names everything.
    """
    found: list[tuple[str, str, datetime]] = []
    for device, account in _match_all(books, tolerance_s).items():
        found += [(device, "emitted", at) for at in account.unmatched]
        found += [(device, "stored", at) for at in account.surplus]
    return tuple(sorted(found, key=lambda stray: stray[2]))


@dataclass(slots=True)
class _Account:
    """One device while its balance is being made."""

    balance: DeviceBalance = field(default_factory=DeviceBalance)
    in_gap: int = 0
    """Unmatched emissions inside a declared gap: at most so many may be put down to it."""
    stamps: tuple[datetime, ...] = ()
    """Stamps of the stored samples, in order."""
    unmatched: tuple[datetime, ...] = ()
    """Of emissions outside declared gaps that no stored sample was matched with."""
    surplus: tuple[datetime, ...] = ()
    """Stamps of stored samples that no emission was matched with."""

    @property
    def left(self) -> int:
        """Emissions not yet accounted for."""
        b = self.balance
        return b.emitted - b.stored - b.aggregated - b.withheld - b.in_gaps


def _match_all(books: Books, tolerance_s: float) -> dict[str, _Account]:
    emissions: dict[str, list[Emission]] = defaultdict(list)
    stored: dict[str, list[StoredSample]] = defaultdict(list)
    for emission in books.emissions:
        emissions[emission.device].append(emission)
    for sample in books.stored:
        stored[sample.device].append(sample)
    return {
        device: _match(emissions[device], stored[device], _spans_of(device, not stored[device], books), tolerance_s)
        for device in sorted(emissions.keys() | stored.keys())
    }


def _spans_of(device: str, is_silent: bool, books: Books) -> list[Span]:
    takes_common = is_silent and device in books.personal
    return [gap for gap in books.gaps if gap.device == device or (gap.device is None and takes_common)]


def _match(
    emissions: list[Emission], stored: list[StoredSample], spans: Sequence[Span], tolerance_s: float
) -> _Account:
    emissions.sort(key=lambda emission: emission.at)
    singles, doubles = _without_repeats(stored)
    singles.sort(key=lambda sample: sample.at)
    free = _Free(emissions)
    unmatched = [sample for sample in singles if not free.take(sample, NEAR_S, NEAR_S)]
    unmatched = [sample for sample in unmatched if not free.take(sample, SOON_S, LEAD_S)]
    unmatched = [sample for sample in unmatched if not free.take(sample, tolerance_s, tolerance_s)]
    account = _Account(DeviceBalance(emitted=len(emissions), duplicated=doubles + len(unmatched)))
    account.balance.stored = len(singles) - len(unmatched)
    account.stamps = tuple(sample.at for sample in singles)
    left = [emission.at for emission in free.left()]
    account.unmatched = tuple(at for at in left if not _lies_in(at, spans))
    account.in_gap = len(left) - len(account.unmatched)
    account.surplus = tuple(sample.at for sample in unmatched)
    return account


def _without_repeats(stored: Iterable[StoredSample]) -> tuple[list[StoredSample], int]:
    """Each sample once, and how many came again."""
    seen: dict[object, StoredSample] = {}
    count = 0
    for sample in stored:
        count += 1
        key = sample.identity or (sample.at, tuple(sorted(sample.values.items())), sample.beside)
        seen.setdefault(key, sample)
    return list(seen.values()), count - len(seen)


class _Free:
    """The emissions of one device, in time order, that no stored sample has been matched with yet."""

    def __init__(self, emissions: Sequence[Emission]) -> None:
        self._emissions = emissions
        self._times = [emission.at for emission in emissions]
        self._is_taken = [False] * len(emissions)

    def take(self, sample: StoredSample, late_s: float, early_s: float) -> bool:
        """Match the first free emission with equal values; False when there is none in reach."""
        latest = sample.at + timedelta(seconds=early_s)
        index = bisect_left(self._times, sample.at - timedelta(seconds=late_s))
        while index < len(self._times) and self._times[index] <= latest:
            if not self._is_taken[index] and _equal(sample.values, self._emissions[index].values):
                self._is_taken[index] = True
                return True
            index += 1
        return False

    def left(self) -> list[Emission]:
        """Those that nothing was matched with."""
        return [emission for emission, is_taken in zip(self._emissions, self._is_taken, strict=True) if not is_taken]


def _equal(stored: Mapping[str, float], emitted: Mapping[str, float]) -> bool:
    return all(
        name in emitted and abs(value - emitted[name]) <= RESOLUTION.get(name, DEFAULT_RESOLUTION)
        for name, value in stored.items()
    )


def _lies_in(at: datetime, spans: Iterable[Span]) -> bool:
    margin = timedelta(seconds=GAP_MARGIN_S)
    return any(span.start - margin <= at <= span.end + margin for span in spans)


def _count_windows(accounts: dict[str, _Account], books: Books) -> int:
    """Put aggregated samples down to their device; returns how many no emission explains.

    A device with several releases counts once, as stored: samples of a window are taken to be those stored from it.
    """
    surplus = 0
    for window in books.windows:
        account = accounts.setdefault(window.device, _Account())
        fresh = max(0, window.samples - _stamped_in(window, account.stamps))
        share = min(fresh, account.left)
        account.balance.aggregated += share
        surplus += fresh - share
    return surplus


def _stamped_in(window: Window, stamps: tuple[datetime, ...]) -> int:
    return bisect_left(stamps, window.end) - bisect_left(stamps, window.start)


def _count_open_windows(summed: Sequence[_Account], samples: int) -> int:
    """Share samples of open windows out among the devices they come from; returns how many no emission explains."""
    for account, share in zip(summed, _shares(summed, samples), strict=True):
        account.balance.aggregated += share
        samples -= share
    # Windows of a device with several releases may rest on samples that are stored as well.
    return max(0, samples - sum(account.balance.stored for account in summed))


def _count_withheld(worn: Sequence[_Account], samples: int) -> int:
    """Share withheld samples out among all worn devices; returns how many no emission explains."""
    for account, share in zip(worn, _shares(worn, samples), strict=True):
        account.balance.withheld += share
        samples -= share
    return samples


def _shares(accounts: Sequence[_Account], amount: int) -> list[int]:
    """`amount` shared out in order among accounts with something left: first what no gap can explain, then the rest."""
    shares = [0] * len(accounts)
    for may_be_gap in (False, True):
        for index, account in enumerate(accounts):
            room = account.left - shares[index] - (0 if may_be_gap else account.in_gap)
            share = max(0, min(amount, room))
            shares[index] += share
            amount -= share
    return shares


def _total(accounts: Mapping[str, _Account], surplus: int, alerts: int) -> Balance:
    rows = [account.balance for account in accounts.values()]
    return Balance(
        emitted=sum(row.emitted for row in rows),
        stored=sum(row.stored for row in rows),
        aggregated=sum(row.aggregated for row in rows),
        withheld=sum(row.withheld for row in rows),
        in_gaps=sum(row.in_gaps for row in rows),
        missing=sum(row.missing for row in rows),
        duplicated=sum(row.duplicated for row in rows) + surplus,
        alerts=alerts,
        devices={device: account.balance for device, account in accounts.items()},
    )
