"""Who may do what: one pure function that every route, live delivery and export asks. What it does not name is denied.

Purposes narrow what is shown: to the local operator pseudonymous and aggregate records, and alerts to those who act
on them (health centre, emergency). Records that identify a resident are nobody's to read here.
"""

from dataclasses import dataclass
from enum import StrEnum

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
    ALERT = "alert"
    GAP = "gap"


_THINGS = frozenset(Resource) - {Resource.RELEASED}
"""What holds records of things; `released` holds persons' alone."""
_TO_OPERATOR = {
    Resource.RELEASED: frozenset({Purpose.RESEARCH}),
    Resource.AGGREGATE: frozenset({Purpose.RESEARCH, Purpose.STATISTICS}),
    Resource.ALERT: frozenset({Purpose.HEALTH_CENTRE, Purpose.EMERGENCY}),
    Resource.GAP: frozenset({Purpose.RESEARCH, Purpose.STATISTICS, Purpose.HEALTH_CENTRE, Purpose.EMERGENCY}),
}
"""The purposes under which the operator may read of persons."""


def decide(principal: Principal, action: Action, resource: Resource, purpose: Purpose | None = None) -> bool:
    """True when `principal` may do `action` to `resource`, of a person's records those released for `purpose`."""
    if principal.role is not Role.OPERATOR or action is not Action.READ:
        return False
    if purpose is None:
        return resource in _THINGS
    return purpose in _TO_OPERATOR.get(resource, frozenset())


def audience(principal: Principal, action: Action, resource: Resource) -> frozenset[Purpose | None]:
    """The purposes `decide` grants, None among them when it grants the records of things."""
    return frozenset(one for one in (None, *Purpose) if decide(principal, action, resource, one))
