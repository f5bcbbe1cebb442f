"""Alerts and declared gaps."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from hub.api import shapes
from hub.api.asking import Asker, Cursor, Limit, Listing, StoreOf, readable
from hub.policy import Resource

router = APIRouter(tags=["incidents"])
_Open = Annotated[bool, Query(alias="open", description="Only the latest event of each alert not cleared.")]


@router.get("/alerts", response_model=Listing[shapes.Alert])
async def alerts(
    store: StoreOf, asker: Asker, open_only: _Open = False, limit: Limit = 100, cursor: Cursor = None
) -> JSONResponse:
    """Alert events, newest first."""
    allowed = readable(asker, Resource.ALERT)
    return shapes.listing(await store.alerts(open_only, limit, cursor, allowed), shapes.alert)


@router.get("/gaps", response_model=Listing[shapes.Gap])
async def gaps(store: StoreOf, asker: Asker, limit: Limit = 100, cursor: Cursor = None) -> JSONResponse:
    """Declared gaps, newest first."""
    return shapes.listing(await store.gaps(limit, cursor, readable(asker, Resource.GAP)), shapes.gap)
