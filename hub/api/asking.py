"""What every route needs: the store, who asks, and the parameters that lists share."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Generic, TypeVar

from fastapi import Depends, Query, Request
from pydantic import AwareDatetime, BaseModel

from contract.consent import Purpose
from contract.errors import Refused
from hub.policy import LOCAL_OPERATOR, Action, Principal, Resource, audience, decide
from hub.store.store import Store

MOST_ROWS = 10_000
ItemT = TypeVar("ItemT")


class Listing(BaseModel, Generic[ItemT]):
    """One page of a list; `next` is the cursor of the following page, null at the end."""

    items: list[ItemT]
    next: str | None


def store_of(request: Request) -> Store:
    """The hub's store."""
    store: Store = request.app.state.store
    return store


def principal_of(_: Request) -> Principal:
    """Who asks. The hub is served on loopback only, so it is the local operator."""
    return LOCAL_OPERATOR


def may_read(principal: Principal, resource: Resource, purpose: Purpose | None = None) -> None:
    """Raise Refused unless the policy lets `principal` read `resource`."""
    if not decide(principal, Action.READ, resource, purpose):
        raise Refused(f"reading {resource} is not granted" + (f" for purpose {purpose}" if purpose else ""))


def may_count(principal: Principal, resource: Resource, purpose: Purpose) -> None:
    """Raise Refused unless the policy lets `principal` learn how much of `resource` there is."""
    if not decide(principal, Action.COUNT, resource, purpose):
        raise Refused(f"counting {resource} is not granted for purpose {purpose}")


def readable(principal: Principal, resource: Resource, purpose: Purpose | None = None) -> frozenset[Purpose | None]:
    """The purposes that may be shown; Refused when one was asked for by name and may not, or none may."""
    if purpose is not None:
        may_read(principal, resource, purpose)
    allowed = audience(principal, Action.READ, resource)
    if not allowed:
        raise Refused(f"reading {resource} is not granted")
    return allowed


Clock = Callable[[], datetime]
StoreOf = Annotated[Store, Depends(store_of)]
Asker = Annotated[Principal, Depends(principal_of)]
Name = Annotated[str, Query(min_length=1, max_length=128)]
Limit = Annotated[int, Query(ge=1, le=MOST_ROWS, description="Most items in one answer.")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before.")]
From = Annotated[AwareDatetime | None, Query(alias="from", description="Included; ISO 8601 with zone.")]
To = Annotated[AwareDatetime | None, Query(alias="to", description="Not included; ISO 8601 with zone.")]
