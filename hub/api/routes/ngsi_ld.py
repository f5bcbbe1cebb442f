"""NGSI-LD, read only: entities of things by query and by id, and the @context they are written in."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse

from contract.ids import DeviceId
from hub.api.asking import Asker, StoreOf, may_read
from hub.city import ngsi_context
from hub.city.ngsi_mapping import Entity, Json, entities, normalized, simplified
from hub.city.ngsi_query import (
    CONTEXT_REL,
    JSON_LD,
    EntityQuery,
    ErrorType,
    NgsiError,
    check_context,
    parse_accept,
    parse_id,
    parse_query,
    parse_retrieval,
)
from hub.policy import Resource

router = APIRouter(tags=["NGSI-LD"])

_ERRORS = "https://uri.etsi.org/ngsi-ld/errors/"


def _parameters(described: Mapping[str, str]) -> dict[str, Any]:
    """Parameters for the API's description: they are parsed by hub.city, whose errors are the specification's."""
    one = [
        {"name": name, "in": "query", "required": False, "schema": {"type": "string"}, "description": text}
        for name, text in described.items()
    ]
    return {"parameters": one}


_FORMAT = {
    "attrs": "Attributes to show, separated by commas.",
    "options": "keyValues or simplified: values only.",
    "format": "normalized (default), simplified or keyValues.",
}
_QUERY = _parameters(
    {
        "type": "Entity types, separated by commas; this or attrs is needed.",
        "id": "Entity ids, separated by commas.",
        "limit": "Most entities in one answer, 20 unless told.",
        "offset": "Entities to skip.",
        "count": "true: NGSILD-Results-Count says how many there are.",
        **_FORMAT,
    }
)


@router.get("/ngsi-ld/v1/entities/", include_in_schema=False)
@router.get("/ngsi-ld/v1/entities", openapi_extra=_QUERY)
async def query_entities(request: Request, store: StoreOf, asker: Asker) -> JSONResponse:
    """Entities of the types asked for, by id."""
    may_read(asker, Resource.DEVICE)
    media = _media(request)
    query = parse_query(request.query_params.multi_items())
    found = [entity for entity in entities(await store.latest()) if _matches(entity, query)]
    shown = found[query.offset : query.offset + query.limit]
    answer = _answer(request, media, [_written(entity, query) for entity in shown])
    if query.is_counted:
        answer.headers["NGSILD-Results-Count"] = str(len(found))
    for rel, offset in _neighbours(query, len(found)):
        kept = [pair for pair in request.query_params.multi_items() if pair[0] != "offset"]
        url = f"{request.url.path}?{urlencode([*kept, ('offset', str(offset))])}"
        answer.headers.append("Link", f'<{url}>; rel="{rel}"')
    return answer


@router.get("/ngsi-ld/v1/entities/{entity_id}/", include_in_schema=False)
@router.get("/ngsi-ld/v1/entities/{entity_id}", openapi_extra=_parameters(_FORMAT))
async def retrieve_entity(request: Request, entity_id: str, store: StoreOf, asker: Asker) -> JSONResponse:
    """One entity."""
    may_read(asker, Resource.DEVICE)
    media = _media(request)
    query = parse_retrieval(request.query_params.multi_items())
    device = DeviceId(parse_id(entity_id).rsplit(":", 1)[-1])
    for entity in entities(await store.latest(device)):
        if entity.id == entity_id and _matches(entity, query):
            return _answer(request, media, _written(entity, query))
    raise NgsiError(ErrorType.RESOURCE_NOT_FOUND, "no entity has this id and what else is asked for")


@router.get(ngsi_context.PATH)
async def core_context(asker: Asker) -> JSONResponse:
    """The @context of the entities: served from here, so that nothing needs to be fetched elsewhere."""
    may_read(asker, Resource.DESCRIPTION)
    return JSONResponse(ngsi_context.document(), media_type=JSON_LD)


def install(app: FastAPI) -> None:
    """Make `app` answer errors of NGSI-LD requests as the specification words them."""

    @app.exception_handler(NgsiError)
    async def _wrong(_: Request, error: NgsiError) -> JSONResponse:
        name, status, title = error.kind.value
        # GS CIM 009, 5.5.3: the plain JSON type, although the body is RFC 7807's.
        return JSONResponse({"type": _ERRORS + name, "title": title, "detail": str(error), "status": status}, status)


def _matches(entity: Entity, query: EntityQuery) -> bool:
    if query.types is not None and entity.type not in map(ngsi_context.short, query.types):
        return False
    if query.ids is not None and entity.id not in query.ids:
        return False
    return query.attributes is None or any(name in entity.attributes for name in _attributes(query))


def _attributes(query: EntityQuery) -> list[str]:
    return [ngsi_context.short(name) for name in query.attributes or ()]


def _written(entity: Entity, query: EntityQuery) -> Json:
    write = simplified if query.is_simplified else normalized
    return write(entity, None if query.attributes is None else _attributes(query))


def _media(request: Request) -> str:
    check_context(request.headers.getlist("link"), _context_url(request))
    return parse_accept(request.headers.get("accept"))


def _answer(request: Request, media: str, body: Json | list[Json]) -> JSONResponse:
    url = _context_url(request)
    if media == JSON_LD:
        several = [{"@context": url, **one} for one in body] if isinstance(body, list) else {"@context": url, **body}
        return JSONResponse(several, media_type=JSON_LD)
    return JSONResponse(body, headers={"Link": f'<{url}>; rel="{CONTEXT_REL}"; type="{JSON_LD}"'})


def _neighbours(query: EntityQuery, count: int) -> Iterable[tuple[str, int]]:
    if query.limit and query.offset + query.limit < count:
        yield "next", query.offset + query.limit
    if query.limit and query.offset:
        yield "prev", max(0, query.offset - query.limit)


def _context_url(request: Request) -> str:
    return str(request.base_url).rstrip("/") + ngsi_context.PATH
