"""What persons released: pseudonymous measurements and aggregates. Identified records are not served."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from contract.consent import Purpose
from hub.api import shapes
from hub.api.asking import Asker, Cursor, From, Limit, Listing, Name, StoreOf, To, readable
from hub.policy import Resource

router = APIRouter(tags=["persons"])


@router.get("/released", response_model=Listing[shapes.Released])
async def released(
    store: StoreOf,
    asker: Asker,
    *,
    purpose: Purpose | None = None,
    subject: Name | None = None,
    quantity: Name | None = None,
    start: From = None,
    end: To = None,
    limit: Limit = 1000,
    cursor: Cursor = None,
) -> JSONResponse:
    """Pseudonymous records, oldest first."""
    allowed = readable(asker, Resource.RELEASED, purpose)
    page = await store.released(purpose, subject, quantity, start, end, limit, cursor, allowed)
    return shapes.listing(page, shapes.released)


@router.get("/aggregates", response_model=Listing[shapes.Aggregate])
async def aggregates(
    store: StoreOf,
    asker: Asker,
    *,
    purpose: Purpose | None = None,
    subject: Name | None = None,
    limit: Limit = 1000,
    cursor: Cursor = None,
) -> JSONResponse:
    """Statistics over windows, oldest first."""
    allowed = readable(asker, Resource.AGGREGATE, purpose)
    return shapes.listing(await store.aggregates(purpose, subject, limit, cursor, allowed), shapes.aggregate)
