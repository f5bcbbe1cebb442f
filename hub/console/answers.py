"""Answers of the console: HTML and assets, compressed where the browser takes it, always with the security headers."""

import gzip
from collections.abc import Mapping
from types import MappingProxyType

from fastapi import Request, Response

from hub.console.static import assets
from pages.environment import template
from pages.language import Language, choose

LANGUAGE_COOKIE = "kanmon_language"
_YEAR_S = 365 * 24 * 3600

# 'self' is enough for uPlot and Leaflet: both set styles through the CSSOM, which the policy leaves alone.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SECURITY_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": CONTENT_POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "geolocation=(), camera=(), microphone=()",
    }
)


def language_of(request: Request) -> Language:
    """The reader's language: `?lang=`, then the cookie, then Accept-Language."""
    cookie = request.cookies.get(LANGUAGE_COOKIE)
    return choose(request.query_params.get("lang"), cookie, request.headers.get("Accept-Language"))


def html(request: Request, name: str, values: Mapping[str, object], status: int = 200) -> Response:
    """The named template, filled, in the reader's language; a language asked for by `?lang=` is remembered."""
    language = language_of(request)
    body = template(language, name).render(asked=dict(request.query_params), **values).encode()
    headers = {**SECURITY_HEADERS, "Cache-Control": "no-store", "Vary": "Accept-Language, Cookie, Accept-Encoding"}
    if _takes_gzip(request):
        body = gzip.compress(body, compresslevel=5)
        headers["Content-Encoding"] = "gzip"
    answer = Response(body, status, headers, media_type="text/html; charset=utf-8")
    if request.query_params.get("lang") == language.value:
        answer.set_cookie(LANGUAGE_COOKIE, language.value, max_age=_YEAR_S, httponly=True, samesite="lax")
    return answer


def asset(request: Request, name: str) -> Response | None:
    """The file of pages/static; None where there is none of this name."""
    found = assets().get(name)
    if found is None:
        return None
    headers = {**SECURITY_HEADERS, "Cache-Control": "no-cache", "ETag": found.etag, "Vary": "Accept-Encoding"}
    if request.headers.get("If-None-Match") == found.etag:
        return Response(status_code=304, headers=headers)
    if _takes_gzip(request):
        return Response(found.zipped, 200, {**headers, "Content-Encoding": "gzip"}, media_type=found.media_type)
    return Response(found.content, 200, headers, media_type=found.media_type)


def _takes_gzip(request: Request) -> bool:
    return "gzip" in request.headers.get("Accept-Encoding", "")
