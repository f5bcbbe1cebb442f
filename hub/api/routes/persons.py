"""What persons released: pseudonymous measurements, and statistics of many. Identified records are not served."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from cloud_sync.blob import from_ms, to_ms
from contract.consent import Purpose
from hub.api import shapes
from hub.api.asking import (
    Asker,
    Clock,
    Cursor,
    From,
    Limit,
    Listing,
    Name,
    StoreOf,
    To,
    may_count,
    may_read,
    readable,
)
from hub.policy import Resource
from hub.store.paging import from_cursor, to_cursor
from hub.store.rows import Page
from hub.suppression import WINDOW, combined, windows

router = APIRouter(tags=["persons"])

_HOUR = timedelta(hours=1)
Windows = Annotated[int, Query(ge=1, le=1440, description="Most windows in one answer.")]


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


@router.get("/aggregates", response_model=Listing[shapes.Statistics])
async def aggregates(
    request: Request,
    store: StoreOf,
    asker: Asker,
    *,
    quantity: Name = "heart_rate",
    start: From = None,
    end: To = None,
    limit: Windows = 60,
    cursor: Cursor = None,
) -> JSONResponse:
    """Statistics of persons together, one row a minute, oldest first; of the last hour when `from` is not given."""
    may_read(asker, Resource.STATISTICS, Purpose.STATISTICS)
    now: Clock = request.app.state.now
    begin = _start(cursor) if cursor else start or now() - _HOUR
    starts = windows(begin, min(end or now(), now()), limit + 1)
    shown = starts[:limit]
    rows = await store.aggregates(Purpose.STATISTICS, quantity, shown[0], shown[-1] + WINDOW) if shown else ()
    following = to_cursor((to_ms(starts[limit]),)) if len(starts) > limit else None
    return shapes.listing(Page(tuple(combined(rows, quantity, shown)), following), shapes.statistics)


@router.get("/statistics/received", response_model=shapes.Received)
async def received(store: StoreOf, asker: Asker, subject: Name) -> JSONResponse:
    """How much has arrived under a pseudonym, for who balances what a gateway sent: no value, nor whose it is."""
    may_count(asker, Resource.AGGREGATE, Purpose.STATISTICS)
    return JSONResponse(shapes.received(await store.received(Purpose.STATISTICS, subject)))


def _start(cursor: str) -> datetime:
    (at_ms,) = from_cursor(cursor, 1)
    return from_ms(at_ms)
