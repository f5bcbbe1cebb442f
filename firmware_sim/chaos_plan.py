"""Which faults a run of chaos brings, drawn from a seed, on which set-ups, and which gaps they may leave. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import count, islice
from random import Random
from types import MappingProxyType

from contract.record import GapReason
from firmware_sim.chaos_kinds import TRAITS, Kind, Setup, are_apart, kinds_of
from firmware_sim.fault_proxy import BOTH, Way

FIRST_AFTER_S, LAST_AFTER_S = 1.5, 3.0
"""When a fault begins in its round: after each device has spoken in it, which tells its gaps from earlier ones."""
SHORTEST_S, LONGEST_S = 1.0, 4.0
"""How long a fault lasts. A round's faults are over after 7 s; the rest of its 15 s is for the recovery, of which the
gateway's back-off may take more now and then."""
TWO_FAULTS_SHARE = 0.5
CUT_SHARE = 0.3
"""How many black holes end in a reset, as when a router on the way has forgotten the connection."""
BLOCK_ROUNDS = 12
"""So many rounds are played on one set-up before the next is started: a start takes as long as a round."""

_LASTING = frozenset(Kind) - {
    *(Kind.KILL_AGENT, Kind.KILL_WORKER, Kind.KILL_API, Kind.KILL_BROKER, Kind.KILL_NODE, Kind.KILL_POSTGRES),
    *(Kind.KILL_TOWN, Kind.CUT, Kind.STORAGE_LOST, Kind.OUTBOX_DELETED, Kind.OUTBOX_LOST),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, `at_s` after its round began; it lasts `for_s`.

    `seed` is what the fault itself draws from while it lasts. `is_connected`: of three nodes the one that the gateway
    is connected to.
    """

    kind: Kind
    at_s: float
    for_s: float = 0.0
    ways: frozenset[Way] = frozenset()
    ends_in_cut: bool = False
    delay_s: float = 0.0
    bytes_per_s: float | None = None
    seed: int = 0
    is_connected: bool = True

    def __str__(self) -> str:
        """As a person reads it: kind, when, and what else was drawn."""
        words = [f"{self.kind} at {self.at_s:.1f} s"]
        if self.for_s:
            words.append(f"for {self.for_s:.1f} s")
        if self.ways and self.ways != BOTH:
            words.append(f"{'/'.join(sorted(self.ways))} only")
        if self.delay_s:
            words.append(f"{self.delay_s:.1f} s later each way")
        if self.bytes_per_s is not None:
            words.append(f"at {self.bytes_per_s:.0f} B/s")
        if self.ends_in_cut:
            words.append("then cut")
        if self.kind is Kind.KILL_NODE:
            words.append("(the gateway's)" if self.is_connected else "(another)")
        return " ".join(words)

    @property
    def gap_s(self) -> float:
        """The longest gap it may leave."""
        allowance = TRAITS[self.kind].allowance
        return allowance.gap_s + (self.for_s if allowance.with_duration else 0.0)


@dataclass(frozen=True, slots=True)
class Round:
    """The faults of one round and where they happen."""

    setup: Setup
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        """Set-up and faults."""
        return f"[{self.setup}] {' + '.join(map(str, self.faults)) or 'no fault'}"

    @property
    def gap_limit_s(self) -> float:
        """The longest gap it may leave: that of all its faults one after the other."""
        return sum(fault.gap_s for fault in self.faults)

    @property
    def gap_reasons(self) -> frozenset[GapReason]:
        """What a gap of it may be declared with."""
        return frozenset(reason for fault in self.faults for reason in TRAITS[fault.kind].allowance.reasons)


HASTY: Mapping[str, float] = MappingProxyType({"keepalive_s": 3, "publish_timeout_s": 3.0, "resend_first_s": 3.0})
"""Drawn rounds set the gateway's patience with its hub to less than a fault lasts: they would be longer by its waiting,
and not harder. Scenarios leave it as it is by default."""


class Scenario(StrEnum):
    """Named schedules, which draw nothing."""

    BLACK_HOLE = "black-hole"
    BLACK_HOLE_10MIN = "black-hole-10min"
    DAY_AWAY = "day-away"


def _dead_for(seconds: float) -> Round:
    return Round(Setup.EMBEDDED, (Fault(Kind.BLACK_HOLE, FIRST_AFTER_S, seconds, BOTH),))


SCENARIOS: Mapping[Scenario, tuple[Round, ...]] = MappingProxyType(
    {Scenario.BLACK_HOLE: (_dead_for(30.0),), Scenario.BLACK_HOLE_10MIN: (_dead_for(600.0),)}
)
"""Those that are rounds; the day away is a run of another shape."""


def drawn(
    seed: int, rounds: int, setups: Sequence[Setup] = tuple(Setup), only: frozenset[Kind] = frozenset(Kind)
) -> tuple[Round, ...]:
    """The first `rounds` rounds of a seed over `setups`; a longer schedule begins with the shorter one.

    The first fault of each round is dealt from a pack of all kinds, one pack a set-up, so that none is left out for
    long; a second one is drawn. `only` narrows the pack.
    """
    return tuple(islice(_rounds(seed, setups, only), rounds))


def without(rounds: Sequence[Round], kinds: frozenset[Kind]) -> tuple[Round, ...]:
    """`rounds` with the faults of `kinds` left out, the others as they were; a round may be left with none."""
    return tuple(replace(one, faults=tuple(f for f in one.faults if f.kind not in kinds)) for one in rounds)


def blocks(rounds: Sequence[Round]) -> Iterator[tuple[Round, ...]]:
    """`rounds` in order, in runs of one set-up."""
    block: list[Round] = []
    for one in rounds:
        if block and block[-1].setup is not one.setup:
            yield tuple(block)
            block = []
        block.append(one)
    if block:
        yield tuple(block)


def _rounds(seed: int, setups: Sequence[Setup], only: frozenset[Kind]) -> Iterator[Round]:
    packs = {setup: _dealt(Random(f"{seed}/{setup}"), setup, only) for setup in setups}  # noqa: S311  no secret
    for turn in count():
        order = sorted(setups)
        Random(f"{seed}/order/{turn}").shuffle(order)  # noqa: S311  no secret
        for setup in order:
            for number in range(BLOCK_ROUNDS):
                random = Random(f"{seed}/{turn}/{setup}/{number}")  # noqa: S311  no secret
                yield Round(setup, _faults(next(packs[setup]), setup, only, random))


def _dealt(random: Random, setup: Setup, only: frozenset[Kind]) -> Iterator[Kind]:
    """Kinds without end, each as often as the others."""
    while True:
        pack = [kind for kind in kinds_of(setup) if kind in only]
        random.shuffle(pack)
        yield from pack


def _faults(first: Kind, setup: Setup, only: frozenset[Kind], random: Random) -> tuple[Fault, ...]:
    faults = [_fault(first, random)]
    others = [kind for kind in kinds_of(setup) if kind in only and are_apart(kind, first)]
    if others and random.random() < TWO_FAULTS_SHARE:
        faults.append(_fault(random.choice(others), random))
    return tuple(faults)


def _fault(kind: Kind, random: Random) -> Fault:
    at_s = round(random.uniform(FIRST_AFTER_S, LAST_AFTER_S), 2)
    for_s = round(random.uniform(SHORTEST_S, LONGEST_S), 2) if kind in _LASTING else 0.0
    seed = random.randrange(10**6)
    match kind:
        case Kind.BLACK_HOLE:
            ways = random.choice([BOTH, frozenset({Way.UP}), frozenset({Way.DOWN})])
            return Fault(kind, at_s, for_s, ways, ends_in_cut=random.random() < CUT_SHARE, seed=seed)
        case Kind.SLOW:
            delay_s, rate = round(random.uniform(0.1, 1.0), 2), round(random.uniform(500, 10_000))
            return Fault(kind, at_s, for_s, delay_s=delay_s, bytes_per_s=rate, seed=seed)
        case Kind.KILL_NODE:
            return Fault(kind, at_s, seed=seed, is_connected=random.random() < 0.5)
        case _:
            return Fault(kind, at_s, for_s, seed=seed)
