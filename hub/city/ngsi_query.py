"""The question in an NGSI-LD request: its parameters and headers, parsed and checked. Pure.

ETSI GS CIM 009 V1.9.1: an unknown parameter is InvalidRequest, a wrong one BadRequestData, one that we know but do
not offer OperationNotSupported.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from contract.errors import KanmonError

LIMIT_DEFAULT, LIMIT_MOST = 20, 1000
JSON, JSON_LD = "application/json", "application/ld+json"
CONTEXT_REL = "http://www.w3.org/ns/json-ld#context"

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]+")
_CORE = re.compile(r"https?://uri\.etsi\.org/ngsi-ld/v1/ngsi-ld-core-context(-v\d+\.\d+)?\.jsonld")
_CONTEXT_LINK = re.compile(r'<([^>]*)>\s*;\s*rel="?' + re.escape(CONTEXT_REL) + r'"?')
_DIGITS = re.compile(r"[0-9]{1,9}")
_SIMPLE, _NORMALIZED = frozenset({"keyValues", "simplified"}), "normalized"
_KNOWN_ELSEWHERE = frozenset(
    {
        *("q", "idPattern", "georel", "geometry", "coordinates", "geoproperty", "geometryProperty", "scopeQ", "csf"),
        *(
            "lang",
            "pick",
            "omit",
            "orderBy",
            "collation",
            "join",
            "joinLevel",
            "containedBy",
            "datasetId",
            "expandValues",
        ),
        *("entityMap", "splitEntities", "local", "via", "jsonKeys"),
    }
)


class ErrorType(Enum):
    """Error types of the specification with their status and title."""

    INVALID_REQUEST = ("InvalidRequest", 400, "The request is not understood")
    BAD_REQUEST_DATA = ("BadRequestData", 400, "A parameter is wrong")
    OPERATION_NOT_SUPPORTED = ("OperationNotSupported", 422, "This is not offered")
    RESOURCE_NOT_FOUND = ("ResourceNotFound", 404, "There is no such entity")
    NOT_ACCEPTABLE = ("InvalidRequest", 406, "None of the accepted media types is offered")
    CONTEXT_NOT_AVAILABLE = ("LdContextNotAvailable", 504, "The @context cannot be fetched")


class NgsiError(KanmonError):
    """A request that is answered with an error of the specification."""

    def __init__(self, kind: ErrorType, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class EntityQuery:
    """What is asked for; None where anything will do."""

    types: frozenset[str] | None = None
    ids: frozenset[str] | None = None
    attributes: tuple[str, ...] | None = None
    limit: int = LIMIT_DEFAULT
    offset: int = 0
    is_simplified: bool = False
    is_counted: bool = False


def parse_query(parameters: Iterable[tuple[str, str]]) -> EntityQuery:
    """The query for entities. A query that names neither type nor attributes is too wide."""
    given = _once(parameters, {"type", "id", "attrs", "limit", "offset", "count", "options", "format"})
    if "type" not in given and "attrs" not in given:
        raise NgsiError(ErrorType.BAD_REQUEST_DATA, "name type or attrs")
    options, is_counted = _options(given), given.get("count", "false")
    if is_counted not in ("true", "false"):
        raise NgsiError(ErrorType.BAD_REQUEST_DATA, "count is true or false")
    query = EntityQuery(
        types=frozenset(_names(re.sub(r"[()]", "", given["type"]).replace("|", ","), "type"))
        if "type" in given
        else None,
        ids=frozenset(map(parse_id, given["id"].split(","))) if "id" in given else None,
        attributes=_names(given["attrs"], "attrs") if "attrs" in given else None,
        limit=_number(given.get("limit", str(LIMIT_DEFAULT)), "limit", LIMIT_MOST),
        offset=_number(given.get("offset", "0"), "offset", 10**9),
        is_simplified=not options.isdisjoint(_SIMPLE),
        is_counted=is_counted == "true" or "count" in options,
    )
    if query.limit == 0 and not query.is_counted:
        raise NgsiError(ErrorType.BAD_REQUEST_DATA, "limit is 0 only together with count")
    return query


def parse_retrieval(parameters: Iterable[tuple[str, str]]) -> EntityQuery:
    """How one entity, named in the path, is asked for."""
    given = _once(parameters, {"type", "attrs", "options", "format"})
    return EntityQuery(
        types=frozenset(_names(given["type"], "type")) if "type" in given else None,
        attributes=_names(given["attrs"], "attrs") if "attrs" in given else None,
        is_simplified=not _options(given).isdisjoint(_SIMPLE),
    )


def parse_id(text: str) -> str:
    """`text` when it is a URI."""
    if not _URI.fullmatch(text):
        raise NgsiError(ErrorType.BAD_REQUEST_DATA, "an id is a URI")
    return text


def parse_accept(accept: str | None) -> str:
    """JSON or JSON_LD, whichever the Accept header prefers."""
    if not accept:
        return JSON
    weights: dict[str, float] = {}
    for entry in accept.split(","):
        media, _, rest = entry.strip().partition(";")
        quality = re.search(r"q\s*=\s*([0-9.]+)", rest)
        weights[media.strip().lower()] = float(quality[1]) if quality and quality[1].count(".") <= 1 else 1.0
    any_weight = max(weights.get("*/*", 0.0), weights.get("application/*", 0.0))
    json_weight, ld_weight = weights.get(JSON, any_weight), weights.get(JSON_LD, 0.0)
    if max(json_weight, ld_weight) <= 0:
        raise NgsiError(ErrorType.NOT_ACCEPTABLE, f"{JSON} and {JSON_LD} are offered")
    return JSON_LD if ld_weight > json_weight else JSON


def check_context(links: Sequence[str], own_url: str) -> None:
    """Refuse a @context in the Link headers that this hub does not hold: it fetches none."""
    for url in (found[1] for link in links for found in _CONTEXT_LINK.finditer(link)):
        if url != own_url and not _CORE.fullmatch(url):
            raise NgsiError(ErrorType.CONTEXT_NOT_AVAILABLE, "only the core @context and this hub's own are held")


def _once(parameters: Iterable[tuple[str, str]], known: set[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, text in parameters:
        if name in _KNOWN_ELSEWHERE:
            raise NgsiError(ErrorType.OPERATION_NOT_SUPPORTED, f"parameter {name} is not offered")
        if name not in known:
            raise NgsiError(ErrorType.INVALID_REQUEST, "there is a parameter that the specification does not know here")
        if name in given:
            raise NgsiError(ErrorType.BAD_REQUEST_DATA, f"{name} is given twice")
        given[name] = text
    return given


def _options(given: dict[str, str]) -> frozenset[str]:
    options = frozenset(word for word in given.get("options", "").split(",") if word)
    formats = frozenset(word for word in (given.get("format"),) if word is not None)
    allowed = {*_SIMPLE, _NORMALIZED}
    if not formats <= allowed or not options <= {*allowed, "count"}:
        raise NgsiError(ErrorType.BAD_REQUEST_DATA, "format is normalized, simplified or keyValues")
    return options | formats


def _names(text: str, parameter: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise NgsiError(ErrorType.BAD_REQUEST_DATA, f"{parameter} holds an empty name")
    return names


def _number(text: str, parameter: str, most: int) -> int:
    if not _DIGITS.fullmatch(text) or int(text) > most:
        raise NgsiError(ErrorType.BAD_REQUEST_DATA, f"{parameter} is a number from 0 to {most}")
    return int(text)
