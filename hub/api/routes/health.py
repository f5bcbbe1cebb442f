"""Is the hub well: answered from the store, so that a hub whose disk is gone does not say that it is."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel

from hub.api.asking import Asker, Clock, StoreOf, may_read
from hub.instant import instant
from hub.policy import Resource

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The hub answers, and so does its store."""

    status: Literal["ok"]
    time: str
    gateways: int


@router.get("/health", response_model=Health)
async def health(request: Request, store: StoreOf, asker: Asker) -> Health:
    """The hub's state and time."""
    may_read(asker, Resource.HEALTH)
    now: Clock = request.app.state.now
    return Health(status="ok", time=instant(now()), gateways=len(await store.gateways()))
