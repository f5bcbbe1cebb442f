"""The JSON API over a real store: shapes, paging, refusals, and that the answers are what the description says."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import TypeAdapter

from cloud_sync import blob
from cloud_sync.envelope import Hello, Part, encode_envelope, encode_hello
from contract.alert import Alert, Transition
from contract.consent import Purpose
from contract.ids import AlertId, Epoch
from contract.record import Aggregate, AlertRecord, Gap, GapReason, Measured, Range, Record, Stream, records_in
from contract.sample import ClockQuality, Flag, Position, Reading, Series
from hub.api import shapes
from hub.api.app import create_app
from hub.api.asking import Listing
from hub.arrival import read
from hub.feed import Feed
from hub.settings import Settings
from hub.store.store import Store

NOW = datetime(2026, 11, 22, 3, 0, 0, 123456, tzinfo=UTC)
EPOCH = Epoch("00000000000000d1")
WINDOW_START = datetime(2026, 11, 22, 2, 30, tzinfo=UTC)


def measured(subject: str, seconds: float, *members: Reading | Position | Series) -> Measured:
    return Measured(subject, NOW + timedelta(seconds=seconds), ClockQuality.SYNCHRONISED, members)


def alert(purpose_subject: str, name: str, transition: Transition = Transition.RAISED) -> AlertRecord:
    told = Alert(
        *(AlertId(name * 32), "river_stage", "2026", transition, NOW, "water_level", 2.5, 2.0, 3, "名", "name"),
        (("window_s", 10.0),),
    )
    return AlertRecord(purpose_subject, told)


RECORDS: list[tuple[Purpose | None, list[Record]]] = [
    (None, [measured("river-1", n, Reading("water_level", 1.0 + n / 8, Flag.GOOD)) for n in range(10)]),
    (None, [measured("bus-1", 0, Position(33.95, 130.94, 7.5, 90.0, Flag.GOOD))]),
    (None, [alert("river-1", "a"), alert("river-1", "b"), alert("river-1", "b", Transition.CLEARED)]),
    (None, [Gap("river-1", None, NOW, NOW + timedelta(seconds=1), GapReason.RESTART)]),
    (Purpose.RESEARCH, [measured("p1", 0, Reading("heart_rate", 61.0), Series("rr_interval", (0.98,), (0.0,)))]),
    (Purpose.KEEP_HUB, [measured("resident-9", 0, Reading("heart_rate", 99.0))]),
    (Purpose.STATISTICS, [Aggregate("p2", "heart_rate", NOW, 60.0, 60, 70.0, 60.0, 80.0, 60)]),
    (Purpose.HEALTH_CENTRE, [alert("resident-1", "c")]),
    (Purpose.ALERT_FAMILY, [alert("resident-2", "d")]),
]


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[FastAPI]:
    async with Store(tmp_path / "hub.sqlite") as store:
        parts, first = [], 1
        for purpose, records in RECORDS:
            last = first + sum(map(records_in, records)) - 1
            parts.append(Part(Range(EPOCH, Stream.DATA, first, last), purpose, blob.encode(records)))
            first = last + 1
        hello = read("kanmon.gw-1.up.hello", encode_hello(Hello("kanmon 0.1", EPOCH)), NOW)
        outcome = await store.commit([hello, read("kanmon.gw-1.up.data", encode_envelope(parts), NOW)])
        assert not outcome.faults
        yield create_app(store, Feed(), Settings(), lambda: NOW)


@pytest.fixture
async def api(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


async def items(api: httpx.AsyncClient, path: str, **query: object) -> list[Any]:
    answer = await api.get(f"/api/v1{path}", params=query)
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()["items"]
    return found


@pytest.mark.parametrize(
    ("path", "shape", "count"),
    [
        ("/gateways", shapes.Gateway, 1),
        ("/devices", shapes.Device, 2),
        ("/readings?device=river-1", shapes.Reading, 10),
        ("/readings?device=bus-1&quantity=position", shapes.Reading, 1),
        ("/released", shapes.Released, 2),
        ("/aggregates?from=2026-11-22T02:00:00Z", shapes.Statistics, 60),
        ("/alerts", shapes.Alert, 4),
        ("/alerts?open=true", shapes.Alert, 2),
        ("/gaps", shapes.Gap, 1),
    ],
)
async def test_answers_are_what_the_description_says(
    api: httpx.AsyncClient, path: str, shape: type[Any], count: int
) -> None:
    answer = await api.get(f"/api/v1{path}")
    TypeAdapter(Listing[shape]).validate_python(answer.json(), strict=False)  # type: ignore[valid-type]  # by parameter
    assert len(answer.json()["items"]) == count
    for item in answer.json()["items"]:
        assert set(item) == set(shape.model_fields)


async def test_a_reading_tells_its_identity_and_its_time_in_utc(api: httpx.AsyncClient) -> None:
    first = (await items(api, "/readings", device="river-1"))[0]
    who = {"gateway": "gw-1", "device": "river-1", "quantity": "water_level", "at": "2026-11-22T03:00:00.123Z"}
    said = {"value": 1.0, "flag": 1, "clock": "synchronised"}
    assert first == {**who, **said, "epoch": EPOCH, "stream": "data", "sequence": 1}
    (fix,) = await items(api, "/readings", device="bus-1")
    assert fix["value"] == {"lat": 33.95, "lon": 130.94, "speed_mps": 7.5, "course_deg": 90.0}
    intervals = (await items(api, "/released", quantity="rr_interval"))[0]
    assert intervals["value"] == {"values": [0.98], "offsets_s": [0.0]}


async def test_from_is_included_and_to_is_not(api: httpx.AsyncClient) -> None:
    start, end = "2026-11-22T12:00:02.123+09:00", "2026-11-22T03:00:05.123Z"
    found = await items(api, "/readings", device="river-1", **{"from": start, "to": end})
    assert [item["value"] for item in found] == [1.25, 1.375, 1.5]


@pytest.mark.parametrize("path", ["/readings?device=river-1", "/released", "/alerts", "/gaps"])
async def test_pages_join_to_the_whole_list(api: httpx.AsyncClient, path: str) -> None:
    whole = (await api.get(f"/api/v1{path}")).json()["items"]
    found, cursor, join = [], "", "&" if "?" in path else "?"
    while cursor is not None:
        answer = (await api.get(f"/api/v1{path}{join}limit=1{cursor}")).json()
        found += answer["items"]
        cursor = None if answer["next"] is None else f"&cursor={answer['next']}"
    assert found == whole


async def test_records_of_identified_purposes_are_not_served(api: httpx.AsyncClient) -> None:
    for purpose in ("keep_hub", "alert_family", "health_centre", "emergency", "statistics"):
        answer = await api.get("/api/v1/released", params={"purpose": purpose})
        assert answer.status_code == 403
        assert answer.headers["content-type"] == "application/problem+json"
    for path in ("/released", "/alerts", "/alerts?open=true", "/readings?device=resident-9", "/devices", "/gaps"):
        text = (await api.get(f"/api/v1{path}")).text
        assert "resident-9" not in text
        assert "resident-2" not in text
        assert "99.0" not in text


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("/readings", "device"),
        ("/readings?device=", "device"),
        ("/readings?device=x&limit=0", "limit"),
        ("/readings?device=x&limit=1000000", "limit"),
        ("/readings?device=x&from=yesterday", "from"),
        ("/readings?device=x&from=2026-11-22T00:00:00", "from"),
        ("/readings?device=x&cursor=nonsense", "cursor"),
        ("/released?purpose=spying", "purpose"),
        ("/alerts?open=perhaps", "open"),
        ("/gaps?cursor=W10", "cursor"),
        ("/aggregates?limit=1441", "limit"),
        ("/aggregates?cursor=nonsense", "cursor"),
        ("/aggregates?cursor=WzQ2MTE2ODYwMTg0MjczODc5MDRd", "cursor"),
        ("/statistics/received", "subject"),
    ],
)
async def test_a_wrong_parameter_is_a_problem_that_names_it(api: httpx.AsyncClient, path: str, parameter: str) -> None:
    answer = await api.get(f"/api/v1{path}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["parameter"] for error in answer.json()["errors"]] == [parameter]


async def test_errors_of_the_framework_are_problems_too(api: httpx.AsyncClient) -> None:
    missing, method = await api.get("/api/v1/nothing"), await api.post("/api/v1/readings")
    assert (missing.status_code, method.status_code) == (404, 405)
    for answer in (missing, method):
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code


async def test_the_description_is_openapi_and_no_page_loads_anything_from_elsewhere(api: httpx.AsyncClient) -> None:
    description = (await api.get("/openapi.json")).json()
    assert description["openapi"].startswith("3.1")
    names = ("gateways", "devices", "readings", "released", "aggregates", "alerts", "gaps", "health")
    paths = {f"/api/v1/{name}" for name in (*names, "statistics/received")}
    assert paths | {"/ngsi-ld/v1/entities", "/ngsi-ld/v1/entities/{entity_id}"} <= set(description["paths"])
    parameters = description["paths"]["/api/v1/readings"]["get"]["parameters"]
    assert [one["name"] for one in parameters] == ["device", "quantity", "from", "to", "limit", "cursor"]
    assert (await api.get("/docs")).status_code == (await api.get("/redoc")).status_code == 404


def windows_of(count: int, mean: float = 70.0) -> list[Record]:
    """One window of `count` persons."""
    return [Aggregate(f"q{n}", "heart_rate", WINDOW_START, 60.0, 60, mean + n, 41.25, 187.5, 57) for n in range(count)]


async def say(app: FastAPI, first: int, records: list[Record], purpose: Purpose | None) -> None:
    part = Part(Range(EPOCH, Stream.ALERT, first, first + len(records) - 1), purpose, blob.encode(records))
    outcome = await app.state.store.commit([read("kanmon.gw-1.up.alert", encode_envelope([part]), NOW)])
    assert not outcome.faults


async def test_statistics_of_nobody_one_and_nine_persons_are_the_same_bytes(
    app: FastAPI, api: httpx.AsyncClient
) -> None:
    query = "/api/v1/aggregates?from=2026-11-22T02:00:00Z"
    nobody = (await api.get(query)).content
    records = windows_of(10)
    await say(app, 1, records[:1], Purpose.STATISTICS)
    assert (await api.get(query)).content == nobody
    await say(app, 2, records[1:9], Purpose.STATISTICS)
    assert (await api.get(query)).content == nobody
    await say(app, 10, records[9:], Purpose.STATISTICS)
    shown = [item for item in await items(api, "/aggregates", **{"from": "2026-11-22T02:00:00Z"}) if item["count"]]
    window = {"quantity": "heart_rate", "start": "2026-11-22T02:30:00.000Z", "window_s": 60.0}
    assert shown == [{**window, "suppressed": False, "persons": 10, "count": 600, "mean": pytest.approx(74.5)}]


async def test_statistics_are_paged_over_every_window_and_end_before_now(api: httpx.AsyncClient) -> None:
    start = {"from": "2026-11-22T02:00:30.000+00:00", "to": "2030-01-01T00:00:00Z"}
    whole = await items(api, "/aggregates", **start)
    assert (whole[0]["start"], whole[-1]["start"]) == ("2026-11-22T02:01:00.000Z", "2026-11-22T02:59:00.000Z")
    found: list[Any] = []
    answer = (await api.get("/api/v1/aggregates", params={**start, "limit": 7})).json()
    while answer["next"]:
        found += answer["items"]
        answer = (await api.get("/api/v1/aggregates", params={**start, "limit": 7, "cursor": answer["next"]})).json()
    assert found + answer["items"] == whole
    assert await items(api, "/aggregates") == whole  # the last hour
    assert await items(api, "/aggregates", to="0001-01-01T00:00:00Z") == []
    assert len(await items(api, "/aggregates", **{"from": "0001-01-01T00:00:00+14:00"})) == 60


async def test_what_arrived_of_one_person_is_told_without_a_value(app: FastAPI, api: httpx.AsyncClient) -> None:
    await say(app, 1, windows_of(1), Purpose.STATISTICS)
    answer = await api.get("/api/v1/statistics/received", params={"subject": "q0"})
    span = {"start": "2026-11-22T02:30:00.000Z", "end": "2026-11-22T02:31:00.000Z"}
    assert answer.json() == {"samples": 57, "windows": 1, **span}
    nobody = (await api.get("/api/v1/statistics/received", params={"subject": "q99"})).json()
    assert nobody == {"samples": 0, "windows": 0, "start": None, "end": None}
    shapes.Received.model_validate(nobody)
    assert set(nobody) == set(shapes.Received.model_fields)


async def test_health_says_the_hubs_time(api: httpx.AsyncClient) -> None:
    answer = await api.get("/api/v1/health")
    assert answer.json() == {"status": "ok", "time": "2026-11-22T03:00:00.123Z", "gateways": 1}
