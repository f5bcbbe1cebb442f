"""The console in a real Chromium: live without a reload, drawn, quiet, alone with its server, and accessible."""

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Route, expect

from contract.sample import Flag, Reading
from hub.feed import Feed
from hub.store.store import Store
from support.browser import DESKTOP, PHONE, chromium, watched
from support.console_town import BUS, GATEWAY, RIVER, Town, console_app, measured, served

AXE = (Path(__file__).parents[1] / "assets" / "axe.min.js").read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
ADDRESSES = ["/", "/alerts", f"/devices/{GATEWAY}/{RIVER}", "/devices/nobody/nothing"]


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as opened:
        yield opened


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with Store(tmp_path / "hub.sqlite") as store:
        town = Town(store, Feed())
        await town.furnish()
        yield town


@pytest.fixture
async def url(town: Town) -> AsyncIterator[str]:
    async with served(console_app(town.store, town.feed)) as address:
        yield address


async def drawn(page: Page) -> None:
    await expect(page.locator("#map.has-coast canvas").first).to_be_attached()
    await expect(page.locator(".plot.is-drawn canvas").first).to_be_visible()
    await expect(page.locator("#link.link-live")).to_be_visible()


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("language", ["ja", "en"])
async def test_values_arrive_without_a_reload(
    browser: Browser, town: Town, url: str, size: dict[str, int], language: str
) -> None:
    async with watched(browser, size, language) as seen:
        page = seen.page
        await page.goto(url)
        await drawn(page)
        await page.evaluate("window.notReloaded = true")
        await town.river(3.21, datetime.now(UTC))
        await expect(page.locator("#stations .number").first).to_have_text("3.21")
        await expect(page.locator("#river .u-legend")).to_contain_text("3.21")
        await town.pulse(137, at=datetime.now(UTC))
        await expect(page.locator("#people")).to_contain_text("137")
        await expect(page.locator(".bus-label")).to_contain_text("bus-1")
        assert await page.evaluate("window.notReloaded")
        assert await page.evaluate("document.documentElement.lang") == language
        assert await page.evaluate("document.documentElement.scrollWidth") == size["width"]
        assert seen.complaints == []
        assert seen.hosts == {url.removeprefix("http://")}


async def test_the_chart_and_the_map_hold_ink(browser: Browser, url: str) -> None:
    """More than an empty canvas: the river's curve and the coastline are there."""
    async with watched(browser, DESKTOP) as seen:
        await seen.page.goto(url)
        await drawn(seen.page)
        for canvas in (".plot canvas", "#map canvas"):
            colours = await seen.page.locator(canvas).first.evaluate(
                """canvas => {
                    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                    const seen = new Set();
                    for (let i = 0; i < data.length; i += 4) seen.add(data.slice(i, i + 4).join());
                    return seen.size;
                }"""
            )
            assert colours > 10, canvas


async def test_the_axis_is_in_japan_standard_time(browser: Browser, town: Town, url: str) -> None:
    """The browser stands in New York; the city does not."""
    async with watched(browser, DESKTOP, "en") as seen:
        await seen.page.goto(url)
        await drawn(seen.page)
        page_time = await seen.page.locator("#river .u-legend .u-value").first.text_content()
        table_time = await seen.page.locator("#river tbody td").first.text_content()
        assert page_time
        assert table_time
        assert page_time[:2] == table_time[:2]


async def test_everything_can_be_read_without_javascript(browser: Browser, url: str) -> None:
    async with watched(browser, PHONE, "en", javascript=False) as seen:
        page = seen.page
        await page.goto(url)
        for text in (
            "Flood caution level reached",
            "Pulse high at rest",
            "hPa",
            "bus-1",
            "gw-karato",
            "Reload the page",
        ):
            await expect(page.get_by_text(text).first).to_be_visible()
        await page.locator("#river summary").click()
        await expect(page.locator("#river tbody tr").first).to_be_visible()
        await page.get_by_role("link", name="日本語").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("概況")
        assert seen.complaints == []


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("address", ADDRESSES)
async def test_axe_finds_no_violation(browser: Browser, url: str, address: str, size: dict[str, int]) -> None:
    async with watched(browser, size) as seen:
        page = seen.page
        await page.goto(url + address)
        if address == "/":
            await drawn(page)
        # Twins are part of the page.
        await page.evaluate("document.querySelectorAll('details').forEach(twin => { twin.open = true; })")
        await page.evaluate(AXE)
        result = await page.evaluate("rules => axe.run(document, { runOnly: rules })", RULES)
        told = [(one["id"], [node["target"] for node in one["nodes"]]) for one in result["violations"]]
        assert told == []
        assert len(result["passes"]) > 20


async def test_a_table_that_was_opened_stays_open_and_keeps_its_focus(browser: Browser, town: Town, url: str) -> None:
    """A swap neither closes what the reader opened nor takes the keyboard away."""
    async with watched(browser, DESKTOP) as seen:
        page = seen.page
        await page.goto(url)
        await drawn(page)
        summary = page.locator("#river summary")
        await summary.focus()
        await page.keyboard.press("Enter")
        await town.stage(3, 2.7)
        await expect(page.locator("#alerts .level-3")).to_be_visible()
        await expect(page.locator("#river details")).to_have_attribute("open", "")
        assert await page.evaluate("document.activeElement.tagName") == "SUMMARY"


async def test_a_vehicle_out_of_service_leaves_the_map(browser: Browser, town: Town, url: str) -> None:
    async with watched(browser, DESKTOP, "en") as seen:
        page = seen.page
        await page.goto(url)
        await drawn(page)
        await expect(page.locator(".bus-label")).to_have_count(1)
        await town.say(measured(BUS, datetime.now(UTC), [Reading("mesh_cell", 503033931.0, Flag.GOOD)]))
        await expect(page.locator(".bus-label")).to_have_count(0)
        await expect(page.locator("#vehicles")).to_contain_text("503033931")


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_a_station_stands_on_the_map_with_its_name_and_level(
    browser: Browser, town: Town, url: str, size: dict[str, int]
) -> None:
    """A marker of its own form, in view, whose words are told anew; no row among the vehicles."""
    async with watched(browser, size, "en") as seen:
        page = seen.page
        await page.goto(url)
        await drawn(page)
        marker = page.locator(".station-label > div")
        await expect(marker).to_have_text("river-12.36 m")
        await expect(marker.locator("use")).to_have_attribute("href", "/static/icons.svg#wave")
        await expect(page.locator("#vehicles tbody th")).to_have_text(["bus-1"])
        await town.river(2.71, datetime.now(UTC))
        await expect(marker).to_have_text("river-12.71 m")
        box, frame = await marker.bounding_box(), await page.locator("#map").bounding_box()
        assert box
        assert frame
        assert frame["x"] <= box["x"]
        assert box["x"] + box["width"] <= frame["x"] + frame["width"]
        assert frame["y"] <= box["y"]
        assert box["y"] + box["height"] <= frame["y"] + frame["height"]
        assert seen.complaints == []


async def test_values_are_read_aloud_on_request_only(browser: Browser, town: Town, url: str) -> None:
    async with watched(browser, DESKTOP, "en") as seen:
        page = seen.page
        await page.goto(url)
        await drawn(page)
        assert await page.locator("#stations").get_attribute("aria-live") is None
        assert await page.locator("#alerts").get_attribute("aria-live") == "polite"
        assert await page.locator("#read-aloud").text_content() == ""
        await page.get_by_role("button", name="Read the values now").click()
        await expect(page.locator("#read-aloud")).to_contain_text("Air pressure 1,002.4 hPa")


async def test_the_page_says_that_the_hub_is_lost_and_comes_back_by_itself(browser: Browser, town: Town) -> None:
    """Live again within 5 s of the hub's return; until then no state is shown as if it were known."""
    port = free_port()
    async with watched(browser, DESKTOP, "en") as seen:
        page = seen.page
        async with served(console_app(town.store, town.feed), port) as url:
            await page.goto(url)
            await drawn(page)
        await expect(page.locator("#link.link-lost")).to_be_visible()
        await expect(page.locator("#gateways .state-now")).to_be_hidden()
        await expect(page.locator("#gateways .state-unknown")).to_be_visible()
        age = page.locator("#stations .age").first
        shown = await age.text_content()
        await expect(age).not_to_have_text(shown or "")
        back = Town(town.store, Feed(), _next=town._next)
        async with served(console_app(back.store, back.feed), port):
            await expect(page.locator("#link.link-live")).to_be_visible(timeout=5000)
            await back.river(2.99)
            await expect(page.locator("#stations .number").first).to_have_text("2.99")
            assert await page.locator("body.is-lost").count() == 0


async def test_a_first_connection_that_fails_is_tried_again(browser: Browser, url: str) -> None:
    """The hub may die between the page and its stream."""
    async with watched(browser, DESKTOP, "en") as seen:
        page = seen.page
        await page.route("**/events?*", lambda route: route.abort(), times=2)
        await page.goto(url)
        await expect(page.locator("#link.link-lost")).to_be_visible()
        await expect(page.locator("#link.link-live")).to_be_visible()


async def test_a_late_extension_is_still_used(browser: Browser, url: str) -> None:
    """Htmx starts with the document, so hx-sse has to hold the document up, however slow its file comes."""
    async with watched(browser, DESKTOP, "en") as seen:
        page = seen.page

        async def late(route: Route) -> None:
            await page.wait_for_timeout(700)
            await route.continue_()

        await page.route("**/hx-sse.min.js", late)
        await page.goto(url)
        await expect(page.locator("#link.link-live")).to_be_visible()


async def test_the_server_stops_at_once_with_a_page_open(browser: Browser, town: Town) -> None:
    loop = asyncio.get_running_loop()
    async with watched(browser, DESKTOP) as seen:
        async with served(console_app(town.store, town.feed)) as url:
            await seen.page.goto(url)
            await drawn(seen.page)
            begun = loop.time()
        assert loop.time() - begun < 1.0


def free_port() -> int:
    """A port that was free a moment ago: the second server has to stand where the first one did."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        number: int = one.getsockname()[1]
        return number
