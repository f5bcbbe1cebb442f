"""Who may do what: one pure function that every route, live delivery and export asks. What it does not name is denied.

Purposes narrow what is shown: to the local operator pseudonymous records, statistics of many persons together, and
alerts to those who act on them (health centre, emergency). Records that identify a resident, and one person's
statistics, are nobody's to read here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from contract.consent import Purpose


class Role(StrEnum):
    """As what somebody asks."""

    OPERATOR = "operator"
    RESIDENT = "resident"
    HELPER = "helper"
    CLIENT = "client"
    READER = "reader"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks."""

    role: Role
    name: str


LOCAL_OPERATOR = Principal(Role.OPERATOR, "local")
"""Whoever reaches the hub's loopback address: it is served nowhere else."""


class Action(StrEnum):
    """What is asked for."""

    READ = "read"
    COUNT = "count"
    """Learn how much there is, and from when to when, without any value."""


class Resource(StrEnum):
    """Of what it is asked."""

    HEALTH = "health"
    DESCRIPTION = "description"
    """The API's own description and JSON-LD contexts."""
    GATEWAY = "gateway"
    DEVICE = "device"
    READING = "reading"
    RELEASED = "released"
    AGGREGATE = "aggregate"
    """One person's statistics."""
    STATISTICS = "statistics"
    """Many persons' together, as hub.suppression lets them through."""
    ALERT = "alert"
    GAP = "gap"


_THINGS = frozenset(Resource) - {Resource.RELEASED, Resource.AGGREGATE, Resource.STATISTICS}
"""What holds records of things; the others hold persons' alone."""
_ALARMING = frozenset({Purpose.HEALTH_CENTRE, Purpose.EMERGENCY})
_TO_OPERATOR: Mapping[tuple[Action, Resource], frozenset[Purpose]] = MappingProxyType(
    {
        (Action.READ, Resource.RELEASED): frozenset({Purpose.RESEARCH}),
        (Action.COUNT, Resource.AGGREGATE): frozenset({Purpose.STATISTICS}),
        (Action.READ, Resource.STATISTICS): frozenset({Purpose.STATISTICS}),
        (Action.READ, Resource.ALERT): _ALARMING,
        (Action.READ, Resource.GAP): _ALARMING | {Purpose.RESEARCH, Purpose.STATISTICS},
    }
)
"""The purposes under which the operator may do it to records of persons."""


def decide(principal: Principal, action: Action, resource: Resource, purpose: Purpose | None = None) -> bool:
    """True when `principal` may do `action` to `resource`, of a person's records those released for `purpose`."""
    if principal.role is not Role.OPERATOR:
        return False
    if purpose is None:
        return action is Action.READ and resource in _THINGS
    return purpose in _TO_OPERATOR.get((action, resource), frozenset())


def audience(principal: Principal, action: Action, resource: Resource) -> frozenset[Purpose | None]:
    """The purposes `decide` grants, None among them when it grants the records of things."""
    return frozenset(one for one in (None, *Purpose) if decide(principal, action, resource, one))
