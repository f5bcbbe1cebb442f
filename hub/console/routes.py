"""The console's routes: pages, their event stream and their static files. Each page is whole without JavaScript."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime

from contract.errors import ProtocolError
from contract.ids import DeviceId, GatewayId
from contract.quantity import QUANTITIES, Shape
from hub.console.answers import SECURITY_HEADERS, asset, html, language_of
from hub.console.event_stream import EventStream
from hub.console.history import DEFAULT_SPAN, SPANS, history
from hub.console.live_page import PAGES, LivePage, places
from hub.console.sections import Look, Subject, latest, rendered
from hub.console.sight import Sight
from hub.policy import LOCAL_OPERATOR
from pages.wording import Wording

router = APIRouter(include_in_schema=False)

EVENTS_A_PAGE = 100
_RESOLUTION = timedelta(milliseconds=1)
_Name = Annotated[str, Query(max_length=63)]
_Cursor = Annotated[str, Query(max_length=200)]


def look_of(request: Request) -> Look:
    """The reader's look at the store, now, in his language."""
    now: Callable[[], datetime] = request.app.state.now
    return Look(Sight(request.app.state.store, LOCAL_OPERATOR), now(), Wording(language_of(request)))


_Look = Annotated[Look, Depends(look_of)]


@router.get("/")
async def overview(request: Request, look: _Look) -> Response:
    """What happens in the city now."""
    return await _page(request, look, "overview", map_places=await places(look, is_whole=True))


@router.get("/alerts")
async def alerts(request: Request, look: _Look, cursor: _Cursor | None = None) -> Response:
    """Open alerts, and every event of every alert, newest first."""
    try:
        page = await look.sight.alerts(EVENTS_A_PAGE, cursor)
    except ProtocolError:
        return _not_found(request, look)
    return await _page(request, look, "alerts", page=page)


@router.get("/devices/{gateway}/{device}")
async def device(
    request: Request,
    look: _Look,
    gateway: GatewayId,
    device: DeviceId,
    quantity: _Name | None = None,
    span: _Name = DEFAULT_SPAN,
    until: AwareDatetime | None = None,
) -> Response:
    """One device: its newest values, and a stretch of the history of one quantity."""
    look = replace(look, subject=Subject(gateway, device, quantity or ""))
    rows = await latest(look)
    drawn = next((row for row in rows if quantity in (None, row.quantity)), None)
    if drawn is None or span not in SPANS:
        return _not_found(request, look)
    subject = Subject(gateway, device, drawn.quantity)
    stretch = await history(look.sight, subject, until or drawn.at + _RESOLUTION, SPANS[span])
    chosen = {"quantity": drawn.quantity, "span": span}
    return await _page(
        request,
        replace(look, subject=subject),
        "device",
        gateway=gateway,
        device=device,
        quantity=drawn.quantity,
        span=span,
        rows=rows,
        has_chart=drawn.quantity not in QUANTITIES or QUANTITIES[drawn.quantity].shape is Shape.SCALAR,
        history=stretch,
        earlier="?" + urlencode({**chosen, "until": stretch.start.isoformat()}),
        newest="?" + urlencode(chosen),
    )


@router.get("/events")
async def events(
    request: Request,
    look: _Look,
    page: Literal["overview", "device", "alerts"],
    gateway: _Name = "",
    device: _Name = "",
    quantity: _Name = "",
) -> Response:
    """What an open page is told from now on, beginning with everything it shows."""
    if page == "device":
        look = replace(look, subject=Subject(GatewayId(gateway), DeviceId(device), quantity))
    live = LivePage(PAGES[page], look, request.app.state.now)
    return EventStream(request.app.state.feed, live.message, SECURITY_HEADERS)


@router.get("/static/{name}")
async def static(request: Request, look: _Look, name: str) -> Response:
    """A file of pages/static."""
    return asset(request, name) or _not_found(request, look)


async def _page(request: Request, look: Look, name: str, **values: object) -> Response:
    """The named page with its sections as they are now, and the address of its event stream."""
    sections = {section: await rendered(look, section) for section in PAGES[name].sections}
    about = {"page": name, "lang": look.wording.language.value}
    if look.subject is not None:
        subject = look.subject
        about |= {"gateway": subject.gateway, "device": subject.device, "quantity": subject.quantity}
    shared = {"now": look.now, "here": name, "sections": sections, "events": f"/events?{urlencode(about)}"}
    return html(request, f"{name}.html", shared | values)


def _not_found(request: Request, look: Look) -> Response:
    say = look.wording.say
    texts = {"title": say("Not found"), "text": say("The hub knows no such page, device or file.")}
    return html(request, "message.html", {"now": look.now, "here": "", **texts}, 404)
