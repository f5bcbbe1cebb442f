"""The event stream over a real server: everything first, then what changed, never too often, ended with the feed."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from hub.console.event_stream import SHORTEST_INTERVAL_S, event
from hub.feed import Change, Feed
from hub.store.store import Store
from support.console_town import GATEWAY, PERSON, RESEARCH_SUBJECT, RIVER, Town, console_app, served
from support.waiting import until

OVERVIEW = "/events?page=overview&lang=en"
Event = tuple[str, str]


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with Store(tmp_path / "hub.sqlite") as store:
        yield Town(store, Feed())


class Stream:
    """The events of one connection as a browser reads them."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def next(self) -> Event:
        name, data = "message", []
        async with asyncio.timeout(8):
            async for line in self._lines:
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    data.append(line.removeprefix("data: "))
                elif not line and data:
                    return name, "\n".join(data)
        raise EOFError

    async def find(self, name: str, text: str = "") -> str:
        while True:
            found, data = await self.next()
            if found == name and text in data:
                return data


@asynccontextmanager
async def listening(url: str, address: str = OVERVIEW) -> AsyncIterator[Stream]:
    async with httpx.AsyncClient(base_url=url, timeout=10) as client, client.stream("GET", address) as answer:
        yield Stream(answer)


def test_an_event_keeps_its_lines() -> None:
    assert event("points", "[]") == b"event: points\ndata: []\n\n"
    assert event(None, "<p>\n\nx</p>\n") == b"data: <p>\ndata: \ndata: x</p>\n\n"


async def test_a_new_connection_is_told_everything(town: Town) -> None:
    await town.furnish()
    async with served(console_app(town.store, town.feed, town)) as url, listening(url) as stream:
        assert stream.answer.headers["Content-Type"].startswith("text/event-stream")
        assert stream.answer.headers["Content-Security-Policy"]
        page = await stream.find("message")
        for section in ("alerts", "river", "vehicles", "stations", "people", "gateways", "gaps"):
            assert f'hx-target="#{section}"' in page
        (curve,) = json.loads(await stream.find("points"))
        assert curve["whole"] is True
        assert len(curve["points"][0]) == len(curve["points"][1]) == 300
        assert [line["level"] for line in curve["stages"]] == [1, 2]
        station, bus = json.loads(await stream.find("places"))
        assert len(bus["trail"]) > 100
        assert (bus["kind"], bus["label"]) == ("vehicle", "bus-1")
        shown = {"kind": "station", "label": RIVER, "icon": "wave", "value": "2.36 m"}
        assert station == {"id": f"{GATEWAY}--{RIVER}", "at": [34.0842, 131.0326], **shown}
        assert PERSON not in page
        assert RESEARCH_SUBJECT not in page


async def test_a_change_is_told_alone_and_at_once(town: Town) -> None:
    await town.furnish()
    async with served(console_app(town.store, town.feed, town)) as url, listening(url) as stream:
        await stream.find("places")
        await town.pulse(133)
        page = await stream.find("message")
        assert 'hx-target="#people"' in page
        assert "133" in page
        assert 'hx-target="#stations"' not in page
        await town.river(2.41, town.now)
        assert "2.41" in await stream.find("message", 'hx-target="#stations"')
        (curve,) = json.loads(await stream.find("points"))
        assert curve["whole"] is False
        assert curve["points"][1] == [2.41]


async def test_a_first_reading_after_the_page_opened_brings_its_chart(town: Town) -> None:
    async with served(console_app(town.store, town.feed, town)) as url, listening(url) as stream:
        assert json.loads(await stream.find("points")) == []
        await town.river(1.0)
        (curve,) = json.loads(await stream.find("points", RIVER))
        assert curve["whole"] is True


async def test_the_device_and_alert_pages_have_streams_of_their_own(town: Town) -> None:
    await town.furnish()
    async with served(console_app(town.store, town.feed, town)) as url:
        about = f"gateway={GATEWAY}&device={RIVER}&quantity=humidity"
        async with listening(url, f"/events?page=device&lang=en&{about}") as stream:
            assert 'hx-target="#latest"' in await stream.find("message")
            assert "humidity" in await stream.find("points")
        async with listening(url, "/events?page=alerts&lang=en") as stream:
            assert 'hx-target="#alerts"' in await stream.find("message")


async def test_messages_are_coalesced(town: Town) -> None:
    """However fast readings come, a browser hears at most four times a second."""
    await town.river(1.0)
    async with served(console_app(town.store, town.feed, town)) as url, listening(url) as stream:
        await stream.find("clock")
        loop = asyncio.get_running_loop()
        begun = loop.time()
        async with asyncio.TaskGroup() as group:
            noise = group.create_task(_noise(town.feed))
            for _ in range(4):
                await stream.find("clock")
            noise.cancel()
        assert loop.time() - begun >= 3.5 * SHORTEST_INTERVAL_S


async def _noise(feed: Feed) -> None:
    while True:
        feed.publish(Change("reading", GATEWAY, RIVER, "water_level"))
        await asyncio.sleep(0.005)


async def test_a_quiet_stream_is_refreshed_so_that_it_stays_open(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.console.event_stream.REFRESH_S", 0.05)
    await town.furnish()
    async with served(console_app(town.store, town.feed, town)) as url, listening(url) as stream:
        await stream.find("places")
        assert 'hx-target="#gateways"' in await stream.find("message")


async def test_the_stream_ends_at_once_when_the_feed_closes(town: Town) -> None:
    async with served(console_app(town.store, town.feed, town)) as url, listening(url) as stream:
        await stream.find("clock")
        town.feed.close()
        with pytest.raises(EOFError):
            await stream.find("never")


async def test_a_browser_that_leaves_is_forgotten(town: Town) -> None:
    async with served(console_app(town.store, town.feed, town)) as url:
        async with listening(url) as stream:
            await stream.find("clock")
            assert len(town.feed._watchers) == 1
        await until(lambda: not town.feed._watchers)


async def test_an_unknown_page_has_no_stream(town: Town) -> None:
    app = console_app(town.store, town.feed, town)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        assert (await client.get("/events?page=secrets")).status_code == 422
