"""Gateways, devices, readings."""

from itertools import groupby

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from contract.ids import DeviceId
from hub.api import shapes
from hub.api.asking import Asker, Cursor, From, Limit, Listing, Name, StoreOf, To, may_read
from hub.policy import Resource
from hub.store.rows import Page

router = APIRouter(tags=["things"])


@router.get("/gateways", response_model=Listing[shapes.Gateway])
async def gateways(store: StoreOf, asker: Asker) -> JSONResponse:
    """Every gateway that has spoken."""
    may_read(asker, Resource.GATEWAY)
    return shapes.listing(Page(await store.gateways(), None), shapes.gateway)


@router.get("/devices", response_model=Listing[shapes.Device])
async def devices(store: StoreOf, asker: Asker) -> JSONResponse:
    """Every thing, with the newest value of each quantity. A wearable of a person is no device here."""
    may_read(asker, Resource.DEVICE)
    # Both are ordered by gateway and device.
    newest = {key: list(rows) for key, rows in groupby(await store.latest(), lambda row: (row.gateway, row.device))}
    page = Page(await store.devices(), None)
    return shapes.listing(page, lambda row: shapes.device(row, newest.get((row.gateway, row.id), [])))


@router.get("/readings", response_model=Listing[shapes.Reading])
async def readings(
    store: StoreOf,
    asker: Asker,
    device: Name,
    quantity: Name | None = None,
    start: From = None,
    end: To = None,
    limit: Limit = 1000,
    cursor: Cursor = None,
) -> JSONResponse:
    """History of one thing, oldest first."""
    may_read(asker, Resource.READING)
    page = await store.readings(DeviceId(device), quantity, start, end, limit, cursor)
    return shapes.listing(page, shapes.reading)
