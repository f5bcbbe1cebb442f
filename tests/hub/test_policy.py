"""Nobody reads what no row of the policy grants, and no route forgets to ask."""

import inspect
import re

import pytest
from fastapi.routing import APIRoute

from contract.consent import PURPOSES, Form, Purpose
from hub.api.routes import health, incidents, ngsi_ld, persons, things
from hub.policy import LOCAL_OPERATOR, Action, Principal, Resource, Role, audience, decide

IDENTIFIED = [purpose for purpose, rule in PURPOSES.items() if rule.form in (Form.IDENTIFIED, Form.LOCAL)]


@pytest.mark.parametrize("resource", Resource)
@pytest.mark.parametrize("role", [role for role in Role if role is not Role.OPERATOR])
def test_only_the_operator_reads_anything(role: Role, resource: Resource) -> None:
    for action in Action:
        assert audience(Principal(role, "someone"), action, resource) == frozenset()


@pytest.mark.parametrize("resource", Resource)
def test_measurements_of_identified_persons_are_nobodys_to_read(resource: Resource) -> None:
    """What the operator sees of a purpose that names its resident is its alerts and gaps, for two purposes."""
    assert not any(decide(LOCAL_OPERATOR, Action.COUNT, resource, purpose) for purpose in IDENTIFIED)
    seen = {purpose for purpose in IDENTIFIED if decide(LOCAL_OPERATOR, Action.READ, resource, purpose)}
    assert seen <= {Purpose.HEALTH_CENTRE, Purpose.EMERGENCY}
    if resource not in (Resource.ALERT, Resource.GAP):
        assert seen == set()


def test_pseudonymous_records_and_statistics_are_shown_and_nothing_of_a_purpose_is_a_thing() -> None:
    assert audience(LOCAL_OPERATOR, Action.READ, Resource.RELEASED) == {Purpose.RESEARCH}
    assert audience(LOCAL_OPERATOR, Action.READ, Resource.STATISTICS) == {Purpose.STATISTICS}
    assert audience(LOCAL_OPERATOR, Action.READ, Resource.READING) == {None}


def test_one_persons_statistics_are_counted_and_never_read() -> None:
    assert audience(LOCAL_OPERATOR, Action.READ, Resource.AGGREGATE) == frozenset()
    assert audience(LOCAL_OPERATOR, Action.COUNT, Resource.AGGREGATE) == {Purpose.STATISTICS}
    for resource in set(Resource) - {Resource.AGGREGATE}:
        assert audience(LOCAL_OPERATOR, Action.COUNT, resource) == frozenset()


def test_every_route_asks_the_policy() -> None:
    """Each route function takes the asker and hands it to may_read, may_count or readable before it answers."""
    routes = [
        route
        for module in (health, incidents, ngsi_ld, persons, things)
        for route in module.router.routes
        if isinstance(route, APIRoute)
    ]
    assert len(routes) >= 13
    for route in routes:
        source = inspect.getsource(route.endpoint)
        assert "asker: Asker" in source, route.path
        assert re.search(r"(may_read|may_count|readable)\(asker, Resource\.", source), route.path
