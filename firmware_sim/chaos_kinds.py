"""The faults of chaos as one table: where each can happen, what it touches, and which gaps it may leave. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from contract.record import GapReason


class Setup(StrEnum):
    """What stands behind the gateway's link."""

    EMBEDDED = "embedded"
    """One hub with SQLite and the broker as its child."""
    POSTGRES = "postgres"
    """One hub with PostgreSQL and the broker as its child."""
    CLUSTER = "cluster"
    """Three broker nodes, PostgreSQL, one hub process for the API and two for ingest."""


class Kind(StrEnum):
    """What goes wrong."""

    KILL_AGENT = "kill agent"
    KILL_WORKER = "kill hub worker"
    KILL_API = "kill hub api"
    KILL_BROKER = "kill broker"
    KILL_NODE = "kill node"
    KILL_POSTGRES = "kill postgres"
    KILL_TOWN = "kill town"
    CUT = "link cut"
    REFUSED = "link refused"
    BLACK_HOLE = "black hole"
    SLOW = "slow link"
    LOSSY = "lossy link"
    STORAGE_LOST = "broker storage lost"
    STREAM_FULL = "stream full"
    GATEWAY_DISK_FULL = "gateway disk full"
    HUB_DISK_FULL = "hub disk full"
    CLOCK_AHEAD = "clock +1 day"
    CLOCK_BACK = "clock -1 day"
    CLOCK_1970 = "clock 1970"
    OUTBOX_DELETED = "outbox deleted"
    OUTBOX_LOST = "outbox lost while dead"
    OUTBOX_RESTORED = "outbox restored"
    REPEATED = "repeated delivery"
    REORDERED = "reordered delivery"


class Touched(StrEnum):
    """A part that only one fault of a round may touch: two on it would be a third fault, with a limit of its own."""

    LINK = "link"
    AGENT = "agent"
    WORKER = "worker"
    API = "api"
    BROKER = "broker"
    DATABASE = "database"
    TOWN = "town"


RESTART_GAP_S = 10.0
"""The longest gap that the death of agent or town may leave: a period of the device before it and 1 s after it (2 s),
1 s until it is started again, 3 s of start on a busy machine of two cores, and one wait of a device's back-off, which
has reached 4 s after that."""

WITNESS_S = 60.0
"""A gateway notes so often, beside its outbox, how that stood; a gap for a lost file begins at the last such note."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """The longest gap a fault may leave, and the reasons it may be declared with.

    `with_duration`: what was told while the fault lasted is lost as well, and may be added.
    """

    gap_s: float = 0.0
    reasons: frozenset[GapReason] = frozenset()
    with_duration: bool = False


NONE = Allowance()
"""Beyond the outbox nothing is lost."""
_RESTART = Allowance(RESTART_GAP_S, frozenset({GapReason.RESTART, GapReason.UNREACHABLE}))
"""A device whose link was just being made when its gateway died is away for either reason."""
_FILE_LOST = Allowance(WITNESS_S + RESTART_GAP_S, _RESTART.reasons | {GapReason.DAMAGED})
"""What had no receipt is lost with the file; the gateway knows since when only by its witness."""
_FILE_RESTORED = Allowance(RESTART_GAP_S, _RESTART.reasons | {GapReason.DAMAGED}, with_duration=True)
"""What came after the copy and had no receipt is lost."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What a kind of fault is like."""

    touches: frozenset[Touched]
    allowance: Allowance = NONE
    setups: frozenset[Setup] = frozenset(Setup)


_EMBEDDED_BROKER = frozenset({Setup.EMBEDDED, Setup.POSTGRES})
_DATABASE_SERVER = frozenset({Setup.POSTGRES, Setup.CLUSTER})


def _touches(*parts: Touched) -> frozenset[Touched]:
    return frozenset(parts)


TRAITS: Mapping[Kind, Traits] = MappingProxyType(
    {
        Kind.KILL_AGENT: Traits(_touches(Touched.AGENT), _RESTART),
        Kind.KILL_WORKER: Traits(_touches(Touched.WORKER)),
        Kind.KILL_API: Traits(_touches(Touched.API), setups=frozenset({Setup.CLUSTER})),
        Kind.KILL_BROKER: Traits(_touches(Touched.BROKER), setups=_EMBEDDED_BROKER),
        Kind.KILL_NODE: Traits(_touches(Touched.BROKER), setups=frozenset({Setup.CLUSTER})),
        Kind.KILL_POSTGRES: Traits(_touches(Touched.DATABASE), setups=_DATABASE_SERVER),
        Kind.KILL_TOWN: Traits(_touches(Touched.TOWN), _RESTART),
        Kind.CUT: Traits(_touches(Touched.LINK)),
        Kind.REFUSED: Traits(_touches(Touched.LINK)),
        Kind.BLACK_HOLE: Traits(_touches(Touched.LINK)),
        Kind.SLOW: Traits(_touches(Touched.LINK)),
        Kind.LOSSY: Traits(_touches(Touched.LINK)),
        Kind.STORAGE_LOST: Traits(_touches(Touched.BROKER, Touched.WORKER)),
        Kind.STREAM_FULL: Traits(_touches(Touched.BROKER, Touched.WORKER)),
        Kind.GATEWAY_DISK_FULL: Traits(_touches(Touched.AGENT)),
        # A broker started meanwhile by a hub without room would have none either.
        Kind.HUB_DISK_FULL: Traits(_touches(Touched.WORKER, Touched.BROKER), setups=frozenset({Setup.EMBEDDED})),
        Kind.CLOCK_AHEAD: Traits(_touches(Touched.AGENT)),
        Kind.CLOCK_BACK: Traits(_touches(Touched.AGENT)),
        Kind.CLOCK_1970: Traits(_touches(Touched.AGENT)),
        Kind.OUTBOX_DELETED: Traits(_touches(Touched.AGENT)),
        Kind.OUTBOX_LOST: Traits(_touches(Touched.AGENT), _FILE_LOST),
        Kind.OUTBOX_RESTORED: Traits(_touches(Touched.AGENT), _FILE_RESTORED),
        Kind.REPEATED: Traits(_touches(Touched.BROKER)),
        Kind.REORDERED: Traits(_touches(Touched.BROKER, Touched.WORKER)),
    }
)

CLOCKS = frozenset({Kind.CLOCK_AHEAD, Kind.CLOCK_BACK, Kind.CLOCK_1970})
"""Kinds that need libfaketime."""


def kinds_of(setup: Setup) -> Iterator[Kind]:
    """The faults that can happen there."""
    return (kind for kind in Kind if setup in TRAITS[kind].setups)


def are_apart(one: Kind, other: Kind) -> bool:
    """True when both may come in one round."""
    return not TRAITS[one].touches & TRAITS[other].touches
