"""Which faults a round of chaos brings, drawn from a seed, and how long a gap each may leave. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from types import MappingProxyType

from firmware_sim.fault_proxy import BOTH, Way

FIRST_AFTER_S, LAST_AFTER_S = 1.5, 3.0
"""When a fault begins in its round: after each device has spoken in it, which tells its gaps from earlier ones."""
SHORTEST_S, LONGEST_S = 1.0, 4.0
"""How long the link stays bad. A round's faults are over after 7 s; the rest of its 15 s is for the recovery, of which
the gateway's back-off may take more now and then."""
TWO_FAULTS_SHARE = 0.5
CUT_SHARE = 0.3
"""How many black holes end in a reset, as when a router on the way has forgotten the connection."""

RESTART_GAP_LIMIT_S = 10.0
"""The longest gap that the death of agent or town may leave: a period of the device before it and 1 s after it (2 s),
1 s until it is started again, 3 s of start on a busy machine of two cores, and one wait of a device's back-off, which
has reached 4 s after that."""


class Kind(StrEnum):
    """What goes wrong."""

    KILL_AGENT = "kill agent"
    KILL_HUB = "kill hub"
    KILL_BROKER = "kill broker"
    KILL_TOWN = "kill town"
    CUT = "link cut"
    REFUSED = "link refused"
    BLACK_HOLE = "black hole"
    SLOW = "slow link"


LINK = frozenset({Kind.CUT, Kind.REFUSED, Kind.BLACK_HOLE, Kind.SLOW})
"""Kinds that steer the link, which is in one state at a time."""

GAP_LIMITS_S: Mapping[Kind, float] = MappingProxyType(
    {Kind.KILL_AGENT: RESTART_GAP_LIMIT_S, Kind.KILL_TOWN: RESTART_GAP_LIMIT_S}
)
"""The longest gap a fault may leave. What is not named may leave none: beyond the outbox nothing is lost."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, `at_s` after its round began; a link stays bad `for_s`."""

    kind: Kind
    at_s: float
    for_s: float = 0.0
    ways: frozenset[Way] = frozenset()
    ends_in_cut: bool = False
    delay_s: float = 0.0
    bytes_per_s: float | None = None

    def __str__(self) -> str:
        """As a person reads it: kind, when, and what else was drawn."""
        words = [f"{self.kind} at {self.at_s:.1f} s"]
        if self.for_s:
            words.append(f"for {self.for_s:.1f} s")
        if self.ways and self.ways != BOTH:
            words.append(f"{min(self.ways)} only")
        if self.bytes_per_s is not None:
            words.append(f"({self.bytes_per_s:.0f} B/s, {self.delay_s:.1f} s late)")
        if self.ends_in_cut:
            words.append("then cut")
        return " ".join(words)


Round = tuple[Fault, ...]


class Scenario(StrEnum):
    """Named schedules, which draw nothing."""

    BLACK_HOLE = "black-hole"


SCENARIOS: Mapping[Scenario, tuple[Round, ...]] = MappingProxyType(
    {Scenario.BLACK_HOLE: ((Fault(Kind.BLACK_HOLE, FIRST_AFTER_S, 30.0, BOTH),),)}
)


def drawn(seed: int, rounds: int) -> tuple[Round, ...]:
    """The first `rounds` rounds of a seed; a longer schedule begins with the shorter one."""
    return tuple(_round(Random(f"{seed}/{number}")) for number in range(1, rounds + 1))  # noqa: S311  no secret


def gap_limit_s(faults: Round) -> float:
    """The longest gap a round may leave: that of all its faults one after the other."""
    return sum(GAP_LIMITS_S.get(fault.kind, 0.0) for fault in faults)


def _round(random: Random) -> Round:
    first = random.choice(list(Kind))
    faults = [_fault(first, random)]
    if random.random() < TWO_FAULTS_SHARE:
        others = [kind for kind in Kind if kind is not first and not {kind, first} <= LINK]
        faults.append(_fault(random.choice(others), random))
    return tuple(faults)


def _fault(kind: Kind, random: Random) -> Fault:
    at_s = round(random.uniform(FIRST_AFTER_S, LAST_AFTER_S), 2)
    for_s = round(random.uniform(SHORTEST_S, LONGEST_S), 2)
    match kind:
        case Kind.REFUSED:
            return Fault(kind, at_s, for_s)
        case Kind.BLACK_HOLE:
            ways = random.choice([BOTH, frozenset({Way.UP}), frozenset({Way.DOWN})])
            return Fault(kind, at_s, for_s, ways, ends_in_cut=random.random() < CUT_SHARE)
        case Kind.SLOW:
            delay_s, rate = round(random.uniform(0.1, 1.0), 2), round(random.uniform(500, 10_000))
            return Fault(kind, at_s, for_s, delay_s=delay_s, bytes_per_s=rate)
        case _:
            return Fault(kind, at_s)
