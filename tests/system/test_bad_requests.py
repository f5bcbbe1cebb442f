"""Every parameter of the hub's API and pages, made bad: a problem or a page of the 400s, and never an error of ours."""

import itertools
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from random import Random
from urllib.parse import quote

import httpx
import pytest

from support.processes import Hub, running

IS_LONG = os.environ.get("KANMON_TEST_LONG") == "1"
ROUNDS = 2000 if IS_LONG else 6
"""Requests of random bytes to each path, beside those of the list."""
HOSTILE = (
    *("", " ", "x", "0", "-1", "1", "1e9", "NaN", "9" * 30, "9" * 5000, "true", "null", "[]", "{}", "\0", "\ud800"),
    *(
        "２",
        "唐戸",
        "🫀" * 50,
        "a" * 100_000,
        "../../etc/passwd",
        "'; DROP TABLE telemetry; --",
        "%",
        "%00",
        "\r\nX: y",
    ),
    *("<script>alert(1)</script>", "{{7*7}}", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-22"),
    *(
        "2026-11-22T00:00:00",
        "2026-11-22T00:00:00Z",
        "1e400",
        "-1e18",
        "W10",
        "WzFd",
        "W10" * 80,
        "urn:ngsi-ld:Device:x",
    ),
    *("urn:ngsi-ld:*", "Device,,", "Device|(Device", "keyValues", "research", "keep_hub", "alert_self", "*", "a&b=c"),
)
LANGUAGES = (
    *("", ",", ";", "q=", "ja;q=NaN", "ja;q=" + "9" * 400, "ja;q=-1,en;q=1e400", "x" * 10_000, "*;q=0", "en-" * 500),
    *("ja,en;q=0.5;q=0.7", "\xff", "日".encode().decode("latin-1")),
)
CONSOLE = ("/", "/alerts", "/devices/gw-1/river-1", "/events", "/static/none.css")
CONSOLE_PARAMETERS = ("lang", "cursor", "quantity", "span", "until", "page", "gateway", "device")
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hub]:
    hub = Hub(tmp_path_factory.mktemp("requests"))
    async with running(hub):
        yield hub


@pytest.fixture
async def browser(hub: Hub) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=hub.url, timeout=20) as client:
        yield client


def hostile(seed: str) -> tuple[str, ...]:
    """All of them at full length; in a quick run some, others for each parameter."""
    return HOSTILE if IS_LONG else tuple(Random(seed).sample(HOSTILE, 3))


def encoded(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


async def described(browser: httpx.AsyncClient) -> dict[str, list[str]]:
    """Path -> names of its query parameters, of everything that openapi.json tells of."""
    paths = (await browser.get("/openapi.json")).raise_for_status().json()["paths"]
    return {
        path: [one["name"] for one in operations["get"].get("parameters", []) if one["in"] == "query"]
        for path, operations in paths.items()
    }


def check(answer: httpx.Response, asked: str) -> None:
    assert answer.status_code < 500, (answer.status_code, asked[:300])
    if answer.status_code < 400:
        return
    kind = answer.headers["content-type"].partition(";")[0]
    # NGSI-LD words its errors in plain JSON (GS CIM 009, 5.5.3).
    assert kind in ({PROBLEM, "application/json"} if "/ngsi-ld/" in asked else {PROBLEM}), (kind, asked[:300])
    assert answer.json()["status"] == answer.status_code


async def test_every_parameter_made_bad_is_a_problem(browser: httpx.AsyncClient) -> None:
    for path, parameters in (await described(browser)).items():
        for name, value in ((one, value) for one in [*parameters, "unknown"] for value in hostile(path + one)):
            needed = "device=river-1&" if path.endswith("/readings") and name != "device" else ""
            needed += "type=Device&" if path.endswith("/entities") and name != "type" else ""
            asked = path.replace("{entity_id}", "urn:ngsi-ld:Device:x") + f"?{needed}{name}={encoded(value)}"
            if len(asked) < 60_000:
                check(await browser.get(asked), asked)


async def test_bad_paths_and_methods_are_problems(browser: httpx.AsyncClient) -> None:
    paths = [*await described(browser), "/api/v1/none", "/api/v1/", "/ngsi-ld/v1/none"]
    for path, method in itertools.product(paths, ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")):
        check(await browser.request(method, path, content=b"\xff" * 1000), f"{method} {path}")
    for value in HOSTILE:
        asked = f"/ngsi-ld/v1/entities/{encoded(value)}"
        if len(asked) < 60_000:
            check(await browser.get(asked), asked)


async def test_random_queries_and_headers_are_answered(browser: httpx.AsyncClient) -> None:
    random = Random(12)
    for path, parameters in (await described(browser)).items():
        for _ in range(ROUNDS):
            pairs = [
                f"{random.choice([*parameters, 'x'])}={encoded(random.choice(HOSTILE)[:300])}"
                if random.random() < 0.7
                else quote(random.randbytes(random.randrange(40)))
                for _ in range(random.randrange(6))
            ]
            headers = [(b"Accept", encoded(random.choice(HOSTILE)[:300]).encode() or b"*/*")]
            headers.append((b"Link", quote(random.randbytes(30), safe='<>;="').encode()))
            asked = path.replace("{entity_id}", "x") + "?" + "&".join(pairs)
            check(await browser.get(asked, headers=headers), asked)


async def test_pages_take_any_query_and_any_language(browser: httpx.AsyncClient) -> None:
    for path, name in itertools.product(CONSOLE, CONSOLE_PARAMETERS):
        for value in hostile(path + name):
            asked = f"{path}?{name}={encoded(value)}"
            if len(asked) > 60_000:
                continue
            async with browser.stream("GET", asked) as answer:
                assert answer.status_code < 500, asked[:300]
                if path != "/events":
                    page = (await answer.aread()).decode()
                    assert "<script>alert" not in page
    for path, language in itertools.product(("/", "/alerts"), LANGUAGES):
        for header in (b"Accept-Language", b"Cookie", b"Accept-Encoding", b"If-None-Match"):
            answer = await browser.get(path, headers=[(header, language.encode("latin-1"))])
            assert answer.status_code < 500, (header, language[:100])


async def test_a_foreign_host_and_a_huge_header_are_refused(hub: Hub, browser: httpx.AsyncClient) -> None:
    assert (await browser.get("/", headers={"Host": "evil.example"})).status_code == 400
    with suppress(httpx.TransportError):  # hung up on in the middle of it, which is as well
        assert (await browser.get("/api/v1/health", headers={"X": "y" * 200_000})).status_code in (400, 431)
    assert await hub.answers()


async def test_the_log_stays_empty_but_for_the_start(hub: Hub, browser: httpx.AsyncClient) -> None:
    """After all of the above. Last in this file."""
    said = hub.log.read_text()
    assert "Traceback" not in said, said[-3000:]
    assert len(said) < 2000, said[-2000:]
