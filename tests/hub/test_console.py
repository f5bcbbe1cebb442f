"""The console over HTTP, with a real store: whole without JavaScript, in two languages, and nobody is named."""

import gzip
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from contract.alert import Transition
from contract.consent import Purpose
from contract.record import Aggregate
from contract.sample import Flag, Reading
from hub.api.app import create_app
from hub.console.sight import Sight
from hub.console.static import assets
from hub.feed import Feed
from hub.policy import Principal, Role
from hub.settings import Settings
from hub.store.store import Store
from support.console_town import (
    GATEWAY,
    OTHER_SUBJECT,
    PERSON,
    RESEARCH_SUBJECT,
    RIVER,
    STATION,
    STATISTICS_SUBJECT,
    Town,
    console_app,
    measured,
)

MOST_PAGE_BYTES = 120_000
MOST_WITHOUT_MAP_BYTES = 60_000


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with Store(tmp_path / "hub.sqlite") as store:
        yield Town(store, Feed())


@pytest.fixture
async def browser(town: Town) -> AsyncIterator[httpx.AsyncClient]:
    """A browser of a reader who has chosen nothing, before the console alone."""
    transport = httpx.ASGITransport(console_app(town.store, town.feed, town))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


async def test_the_overview_holds_every_value_in_its_html(town: Town, browser: httpx.AsyncClient) -> None:
    await town.furnish()
    await town.river(2.346)
    page = (await browser.get("/?lang=en")).text
    for text in ("Flood caution level reached", "Stage 2", "Threshold 2.00 m", "Pulse high at rest for 20 seconds"):
        assert text in page
    assert re.search(r'<span class="number">2\.35</span> <span class="unit">m</span>', page)
    assert re.search(r'<span class="number">128</span> <span class="unit">bpm</span>', page)
    for text in (
        "Water level",
        "Air temperature",
        "bus-1",
        "33.969",
        "gw-karato",
        "Heard",
        "The gateway was restarted",
    ):
        assert text in page


async def test_no_page_names_a_person(town: Town, browser: httpx.AsyncClient) -> None:
    """Pseudonyms by their first eight characters, a shared alert by its purpose, a person's id never."""
    await town.furnish()
    for address in ("/", "/alerts", "/?lang=en"):
        page = (await browser.get(address)).text
        for secret in (PERSON, RESEARCH_SUBJECT, OTHER_SUBJECT, STATISTICS_SUBJECT):
            assert secret not in page
    assert RESEARCH_SUBJECT[:8] in page


async def test_statistics_wait_for_ten_people(town: Town, browser: httpx.AsyncClient) -> None:
    """Of nine nothing is shown, not even that they are there."""
    waiting = "Shown once at least 10 people share"
    assert waiting in (await browser.get("/?lang=en")).text
    assert "10人以上が共有すると表示されます" in (await browser.get("/?lang=ja")).text
    start = town.now.replace(second=0, microsecond=0) - timedelta(minutes=3)
    shares = [Aggregate(f"s{n}", "heart_rate", start, 60, 58, 61.0 + n, 43, 187, 60) for n in range(10)]
    await town.say(*shares[:9], purpose=Purpose.STATISTICS)
    assert waiting in (await browser.get("/?lang=en")).text
    await town.say(*shares[9:], purpose=Purpose.STATISTICS)
    page = (await browser.get("/?lang=en")).text
    assert waiting not in page
    assert re.search(r"66 bpm</td>\s*<td[^>]*>10</td>\s*<td[^>]*>580</td>", page)
    assert "187" not in page


async def test_an_empty_hub_says_what_it_waits_for(browser: httpx.AsyncClient) -> None:
    page = (await browser.get("/?lang=en")).text
    for text in ("No open alerts", "No gateway has been heard yet", "No gaps declared"):
        assert text in page


async def test_a_cleared_alert_leaves_the_overview_and_stays_in_the_list(
    town: Town, browser: httpx.AsyncClient
) -> None:
    await town.stage(1, 1.52)
    await town.stage(0, 1.2, Transition.CLEARED)
    assert "No open alerts" in (await browser.get("/?lang=en")).text
    listed = (await browser.get("/alerts?lang=en")).text
    assert "Raised" in listed
    assert "Cleared" in listed


async def test_the_language_asked_for_is_remembered(browser: httpx.AsyncClient) -> None:
    browser.headers["Accept-Language"] = "ja"
    assert '<html lang="ja">' in (await browser.get("/")).text
    assert '<html lang="en">' in (await browser.get("/?lang=en")).text
    assert '<html lang="en">' in (await browser.get("/")).text
    assert '<html lang="ja">' in (await browser.get("/?lang=ja")).text
    assert dict(browser.cookies) == {"kanmon_language": "ja"}


async def test_the_link_to_the_other_language_keeps_the_rest_of_the_address(
    town: Town, browser: httpx.AsyncClient
) -> None:
    await town.furnish()
    page = (await browser.get(f"/devices/{GATEWAY}/{RIVER}?quantity=humidity&lang=en")).text
    assert 'href="?quantity=humidity&amp;lang=ja"' in page


async def test_every_answer_has_the_security_headers(town: Town, browser: httpx.AsyncClient) -> None:
    await town.furnish()
    for address in (
        "/",
        "/alerts",
        f"/devices/{GATEWAY}/{RIVER}",
        "/static/live.js",
        "/static/none.js",
        "/devices/a/b",
    ):
        headers = (await browser.get(address)).headers
        policy = headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "http" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"


async def test_a_station_is_no_vehicle_and_its_marker_tells_no_old_value(
    town: Town, browser: httpx.AsyncClient
) -> None:
    async def markers() -> list[dict[str, object]]:
        found = re.search(r"data-places='([^']*)'", (await browser.get("/?lang=en")).text)
        assert found
        told: list[dict[str, object]] = json.loads(found[1])
        return told

    await town.say(measured(RIVER, town.now, [STATION]), measured("lamp-1", town.now, [STATION]))
    await town.river(2.0)
    page = (await browser.get("/?lang=en")).text
    assert "No vehicle has reported a position yet" in page
    assert "Water level" in page
    lamp, river = await markers()
    assert (lamp["kind"], lamp["label"], lamp["icon"], lamp["value"]) == ("station", "lamp-1", "gauge", "")
    assert (river["label"], river["icon"], river["value"]) == (RIVER, "wave", "2.00 m")
    town.now += timedelta(seconds=61)
    assert [marker["value"] for marker in await markers()] == ["", "Not current"]
    assert "34.08420, 131.03260" in (await browser.get(f"/devices/{GATEWAY}/{RIVER}?lang=en")).text


async def test_a_device_page_lists_every_value_and_a_stretch_of_history(town: Town, browser: httpx.AsyncClient) -> None:
    await town.furnish()
    page = (await browser.get(f"/devices/{GATEWAY}/{RIVER}?lang=en")).text
    assert "Device counter" in page
    assert page.count(">Synchronised<") == 60  # one each 2 s for 2 min
    older = re.search(r'href="(\?quantity=[^"]*until=[^"]*)"', page)
    assert older
    earlier = await browser.get(f"/devices/{GATEWAY}/{RIVER}{older[1].replace('&amp;', '&')}")
    assert earlier.text.count(">Synchronised<") == 60
    assert (await browser.get(f"/devices/{GATEWAY}/bus-1?lang=en")).status_code == 200


async def test_a_stretch_with_more_values_than_are_listed_says_so(town: Town, browser: httpx.AsyncClient) -> None:
    start = town.now - timedelta(seconds=110)
    fast = [measured(RIVER, start + timedelta(milliseconds=100 * n), [Reading("humidity", 50.0)]) for n in range(1001)]
    await town.say(*fast)
    page = (await browser.get(f"/devices/{GATEWAY}/{RIVER}?lang=en")).text
    assert "more than 1,000 values" in page


@pytest.mark.parametrize(
    "address",
    [
        "/devices/gw-karato/none",
        "/devices/other/river-1",
        "/devices/gw-karato/river-1?quantity=none",
        "/devices/gw-karato/river-1?span=1y",
        "/devices/%3Cscript%3E/river-1",
        "/alerts?cursor=nonsense",
        "/static/vendored.toml",
        "/static/..%2Flanguage.py",
    ],
)
async def test_what_is_not_there_is_a_page_that_says_so(town: Town, browser: httpx.AsyncClient, address: str) -> None:
    await town.furnish()
    answer = await browser.get(address, params={"lang": "en"} if "?" not in address else None)
    assert answer.status_code == 404
    if answer.headers["Content-Type"].startswith("text/html"):
        assert "<h1>" in answer.text
    assert "<script>" not in answer.text


async def test_a_value_that_nobody_believes_is_marked(town: Town, browser: httpx.AsyncClient) -> None:
    await town.say(
        measured(RIVER, town.now, [Reading("water_level", 49.0, Flag.SUSPECT), Reading("humidity", None, Flag.MISSING)])
    )
    page = (await browser.get("/?lang=en")).text
    assert "Suspect" in page
    assert "No value" in page


async def test_an_old_value_and_a_silent_gateway_are_told_with_their_age(
    town: Town, browser: httpx.AsyncClient
) -> None:
    await town.river(1.0)
    town.now += timedelta(minutes=3)
    page = (await browser.get("/?lang=en")).text
    assert "Silent" in page
    assert "is-old" in page
    assert "3 min ago" in page


async def test_every_address_on_the_overview_answers(town: Town) -> None:
    """Pages, lists as data, files: nothing leads nowhere."""
    await town.furnish()
    app = create_app(town.store, town.feed, Settings(), lambda: town.now)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        pages = [(await client.get(address)).text for address in ("/", "/alerts", f"/devices/{GATEWAY}/{RIVER}")]
        found = {address for page in pages for address in re.findall(r'(?:href|src|data-coast)="(/[^"]*)"', page)}
        assert len(found) > 15
        for address in found:
            answer = await client.get(address.replace("&amp;", "&"))
            assert answer.status_code == 200, address
        unknown = await client.get("/nothing/here")
        assert unknown.headers["Content-Type"] == "application/problem+json"


async def test_files_are_served_compressed_and_only_when_changed(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/static/leaflet.js")
    assert answer.headers["Content-Encoding"] == "gzip"
    again = await browser.get("/static/leaflet.js", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    plain = await browser.get("/static/leaflet.js", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert plain.content == answer.content


async def test_a_page_stays_light(town: Town, browser: httpx.AsyncClient) -> None:
    """At most 120 kB compressed, 60 kB without the map."""
    await town.furnish()
    for address, most in (("/", MOST_PAGE_BYTES), ("/alerts", MOST_WITHOUT_MAP_BYTES)):
        page = (await browser.get(address)).text
        names = set(re.findall(r'"/static/([^"#]+)', page))
        assert names
        total = len(gzip.compress(page.encode())) + sum(len(assets()[name].zipped) for name in names)
        assert total <= most, (address, total)


async def test_somebody_else_sees_nothing(town: Town) -> None:
    """The policy is asked at each question, and denies by default."""
    await town.furnish()
    for role in set(Role) - {Role.OPERATOR}:
        sight = Sight(town.store, Principal(role, "somebody"))
        since = town.now - timedelta(hours=1)
        assert await sight.gateways() == ()
        assert await sight.latest() == ()
        assert await sight.readings(GATEWAY, RIVER, "water_level", since) == ()
        assert await sight.released_latest() == ()
        assert await sight.statistics("heart_rate", since, town.now) == ()
        assert await sight.open_alerts() == ()
        assert (await sight.alerts()).items == ()
        assert await sight.gaps(10) == ()
