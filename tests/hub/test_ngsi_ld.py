"""Read-only NGSI-LD: what ETSI GS CIM 009 asks of queries, retrieval, errors, paging and contexts."""

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud_sync import blob
from cloud_sync.envelope import Part, encode_envelope
from contract.consent import Purpose
from contract.ids import Epoch
from contract.record import Measured, Range, Record, Stream, records_in
from contract.sample import ClockQuality, Flag, Position, Reading
from hub.api.app import create_app
from hub.arrival import read
from hub.city.ngsi_query import JSON, JSON_LD
from hub.feed import Feed
from hub.settings import Settings
from hub.store.store import Store
from support.corpus import corpus

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
BASE = "http://127.0.0.1"
ENTITIES = "/ngsi-ld/v1/entities"
CONTEXT = f"{BASE}/ngsi-ld/contexts/core.jsonld"
STATION = (
    Reading("water_level", 2.5, Flag.GOOD),
    Reading("rainfall", 12.5, Flag.GOOD),
    Reading("air_temperature", 11.25, Flag.SUSPECT),
    Reading("humidity", 62.5, Flag.GOOD),
    Reading("pressure", 1012.5, Flag.GOOD),
    Reading("wind_speed", 3.5, Flag.GOOD),
    Reading("wind_direction", 270.0, Flag.GOOD),
    Reading("device_counter", 42.0, Flag.GOOD),
    Reading("irradiance", None, Flag.MISSING),
    Position(33.95, 130.94, flag=Flag.GOOD),
)


def part(first: int, record: Record, purpose: Purpose | None = None) -> Part:
    range_ = Range(Epoch("00000000000000e1"), Stream.DATA, first, first + records_in(record) - 1)
    return Part(range_, purpose, blob.encode([record]))


def sample(subject: str, *members: Reading | Position) -> Measured:
    return Measured(subject, NOW, ClockQuality.SYNCHRONISED, members)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with Store(tmp_path / "hub.sqlite") as store:
        parts = [
            part(1, sample("river-1", *STATION)),
            part(20, sample("bus-1", Position(33.951, 130.941, 10.0, 90.0, Flag.GOOD), Reading("battery_level", 80.0))),
            part(30, sample("bus-2", Position(33.952, 130.942, 0.0, 12.0, Flag.GOOD))),
            part(35, sample("lamp-1", Position(33.953, 130.943, flag=Flag.GOOD), Reading("raw_value", 1.0))),
            part(40, sample("p1", Reading("heart_rate", 61.0)), Purpose.RESEARCH),
        ]
        await store.commit([read("kanmon.gw-1.up.data", encode_envelope(parts), NOW)])
        transport = httpx.ASGITransport(app=create_app(store, Feed(), Settings(), lambda: NOW))
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
            yield client


async def entity(api: httpx.AsyncClient, type_: str, device: str, **query: str) -> dict[str, Any]:
    answer = await api.get(f"{ENTITIES}/urn:ngsi-ld:{type_}:gw-1:{device}", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_station_is_a_device_and_what_it_observes(api: httpx.AsyncClient) -> None:
    water = await entity(api, "WaterObserved", "river-1")
    assert water["waterLevel"] == {
        "type": "Property",
        "value": 2.5,
        "observedAt": "2026-11-22T03:00:00.000Z",
        "unitCode": "MTR",
        "qualityFlag": {"type": "Property", "value": 1},
    }
    assert water["refDevice"] == {"type": "Relationship", "object": "urn:ngsi-ld:Device:gw-1:river-1"}
    assert water["location"]["type"] == "GeoProperty"
    assert water["location"]["value"] == {"type": "Point", "coordinates": [130.94, 33.95]}
    weather = await entity(api, "WeatherObserved", "river-1", options="keyValues")
    assert weather == {
        "id": "urn:ngsi-ld:WeatherObserved:gw-1:river-1",
        "type": "WeatherObserved",
        "dateObserved": "2026-11-22T03:00:00.000Z",
        "refDevice": "urn:ngsi-ld:Device:gw-1:river-1",
        "precipitation": 12.5,
        "temperature": 11.25,
        "relativeHumidity": 0.625,
        "atmosphericPressure": 1012.5,
        "windSpeed": 3.5,
        "windDirection": 270.0,
        "location": {"type": "Point", "coordinates": [130.94, 33.95]},
    }
    device = await entity(api, "Device", "river-1", format="simplified")
    assert device["deviceCounter"] == 42.0
    assert "waterLevel" in device["controlledProperty"]


async def test_what_stands_and_observes_nothing_of_a_model_is_a_device_with_a_place(api: httpx.AsyncClient) -> None:
    assert (await api.get(f"{ENTITIES}/urn:ngsi-ld:Vehicle:gw-1:lamp-1")).status_code == 404
    for name, place in (("lamp-1", [130.943, 33.953]), ("river-1", [130.94, 33.95])):
        device = await entity(api, "Device", name, options="keyValues")
        assert device["location"] == {"type": "Point", "coordinates": place}


async def test_a_vehicle_tells_speed_and_heading_in_the_models_units(api: httpx.AsyncClient) -> None:
    moving = await entity(api, "Vehicle", "bus-1", options="keyValues")
    assert (moving["speed"], moving["heading"]) == (36.0, 90.0)
    standing = await entity(api, "Vehicle", "bus-2", options="keyValues")
    assert (standing["speed"], standing["heading"]) == (0.0, -1.0)
    assert (await entity(api, "Device", "bus-1", options="keyValues"))["batteryLevel"] == 0.8


async def test_no_person_is_an_entity(api: httpx.AsyncClient) -> None:
    answer = await api.get(ENTITIES, params={"type": "Device,Vehicle,WaterObserved,WeatherObserved", "limit": 1000})
    assert [one["id"].rsplit(":")[-1] for one in answer.json()] == [
        *("bus-1", "bus-2", "lamp-1", "river-1"),
        *("bus-1", "bus-2", "river-1", "river-1"),
    ]
    assert "p1" not in answer.text
    assert "heart" not in answer.text


@pytest.mark.parametrize(
    "type_", ["Vehicle", "(Vehicle|Ghost)", "https://smartdatamodels.org/dataModel.Transportation/Vehicle"]
)
async def test_types_are_named_short_or_written_out(api: httpx.AsyncClient, type_: str) -> None:
    answer = await api.get(ENTITIES, params={"type": type_})
    assert [one["id"] for one in answer.json()] == [f"urn:ngsi-ld:Vehicle:gw-1:bus-{n}" for n in (1, 2)]


async def test_attrs_choose_entities_and_what_is_shown_of_them(api: httpx.AsyncClient) -> None:
    answer = await api.get(ENTITIES, params={"attrs": "speed,batteryLevel", "options": "keyValues"})
    shown = {one["id"].removeprefix("urn:ngsi-ld:"): set(one) - {"id", "type"} for one in answer.json()}
    assert shown == {
        "Device:gw-1:bus-1": {"batteryLevel"},
        "Vehicle:gw-1:bus-1": {"speed"},
        "Vehicle:gw-1:bus-2": {"speed"},
    }


async def test_paging_counts_and_links(api: httpx.AsyncClient) -> None:
    first = await api.get(ENTITIES, params={"type": "Device", "limit": 3, "count": "true"})
    assert len(first.json()) == 3
    assert first.headers["NGSILD-Results-Count"] == "4"
    (following,) = re.findall(r'<([^>]+)>; rel="next"', first.headers["link"])
    second = await api.get(following)
    assert [one["id"] for one in second.json()] == ["urn:ngsi-ld:Device:gw-1:river-1"]
    assert 'rel="prev"' in second.headers["link"]
    assert 'rel="next"' not in second.headers["link"]
    counted = await api.get(ENTITIES, params={"type": "Device", "limit": 0, "count": "true"})
    assert (counted.json(), counted.headers["NGSILD-Results-Count"]) == ([], "4")
    nothing = await api.get(ENTITIES, params={"type": "Nothing"})
    assert (nothing.status_code, nothing.json()) == (200, [])


async def test_the_context_is_in_the_link_or_in_the_body(api: httpx.AsyncClient) -> None:
    plain = await api.get(ENTITIES, params={"type": "Device"})
    assert plain.headers["content-type"] == JSON
    assert f'<{CONTEXT}>; rel="http://www.w3.org/ns/json-ld#context"' in plain.headers["link"]
    assert all("@context" not in one for one in plain.json())
    linked = await api.get(ENTITIES, params={"type": "Device"}, headers={"Accept": JSON_LD})
    assert linked.headers["content-type"] == JSON_LD
    assert "link" not in linked.headers
    assert {one["@context"] for one in linked.json()} == {CONTEXT}
    document = (await api.get(CONTEXT.removeprefix(BASE))).json()["@context"]
    for one in linked.json():
        assert one["type"] in document
        assert {"controlledProperty", "dateLastValueReported"} <= set(document)


@pytest.mark.parametrize(
    ("query", "status", "kind"),
    [
        ("", 400, "BadRequestData"),
        ("id=urn:ngsi-ld:Device:gw-1:river-1", 400, "BadRequestData"),
        ("type=Device&page=1", 400, "InvalidRequest"),
        ("type=Device&limit=-1", 400, "BadRequestData"),
        ("type=Device&limit=0", 400, "BadRequestData"),
        ("type=Device&limit=99999", 400, "BadRequestData"),
        ("type=Device&offset=x", 400, "BadRequestData"),
        ("type=Device&id=river-1", 400, "BadRequestData"),
        ("type=Device&type=Vehicle", 400, "BadRequestData"),
        ("type=Device,", 400, "BadRequestData"),
        ("type=Device&format=xml", 400, "BadRequestData"),
        ("type=Device&options=sysAttrs", 400, "BadRequestData"),
        ("type=Device&q=speed>3", 422, "OperationNotSupported"),
    ],
)
async def test_a_wrong_query_is_told_in_the_specifications_words(
    api: httpx.AsyncClient, query: str, status: int, kind: str
) -> None:
    answer = await api.get(f"{ENTITIES}?{query}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == JSON
    told = answer.json()
    assert told["type"] == f"https://uri.etsi.org/ngsi-ld/errors/{kind}"
    assert told["status"] == status
    assert told["title"]
    assert told["detail"]


async def test_an_entity_that_is_not_there_and_an_id_that_is_none(api: httpx.AsyncClient) -> None:
    missing = await api.get(f"{ENTITIES}/urn:ngsi-ld:Device:gw-1:ghost")
    assert (missing.status_code, missing.json()["type"]) == (
        404,
        "https://uri.etsi.org/ngsi-ld/errors/ResourceNotFound",
    )
    assert (await api.get(f"{ENTITIES}/river-1")).status_code == 400
    assert (await api.get(f"{ENTITIES}/urn:ngsi-ld:Device:gw-1:river-1?attrs=speed")).status_code == 404
    assert (await api.get(f"{ENTITIES}/?type=Device")).status_code == 200


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/html, application/ld+json;q=0.8", JSON_LD),
        ("application/json;q=0.5, application/ld+json", JSON_LD),
        ("application/ld+json;q=0.5, */*;q=0.6", JSON),
        ("text/html", None),
        ("application/json;q=0", None),
        ("application/json;q=abc", JSON),
    ],
)
async def test_the_accepted_media_type_is_answered(api: httpx.AsyncClient, accept: str, media: str | None) -> None:
    answer = await api.get(f"{ENTITIES}?type=Device", headers={"Accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == ((200, media) if media else (406, JSON))


async def test_a_context_that_the_hub_does_not_hold_is_not_fetched(api: httpx.AsyncClient) -> None:
    async def asked(url: str) -> int:
        link = f'<{url}>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'
        return (await api.get(f"{ENTITIES}?type=Device", headers={"Link": link})).status_code

    assert await asked(CONTEXT) == 200
    assert await asked("https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context-v1.9.jsonld") == 200
    assert await asked("https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context-non-existing.jsonld") == 504
    assert await asked("http://example.org/context.jsonld") == 504


@pytest.mark.parametrize("type_", ["Device", "WaterObserved", "WeatherObserved", "Vehicle"])
async def test_entities_fit_the_published_models(api: httpx.AsyncClient, type_: str) -> None:
    """Required attributes are there, and each value is of the type, range and choice of the model's schema."""
    schema = json.loads(corpus(f"ngsi-ld/models/{type_}/schema.json").read_text())
    weather = json.loads(corpus("ngsi-ld/models/weather-schema.json").read_text())["definitions"]
    device = json.loads(corpus("ngsi-ld/models/device-schema.json").read_text())["definitions"]
    properties: dict[str, Any] = {}
    if type_ == "WeatherObserved":
        properties |= weather["Weather-Commons"]["properties"]
    if type_ == "Device":
        properties["controlledProperty"] = device["ControlledPropertyType"]
    for one in schema["allOf"]:
        properties |= one.get("properties", {})
    answer = await api.get(f"{ENTITIES}?type={type_}&options=keyValues")
    assert answer.json()
    for one in answer.json():
        assert set(schema["required"]) <= set(one)
        for name in set(one) & set(properties):
            assert fits(one[name], properties[name]), name


async def test_every_term_means_what_the_published_contexts_say(api: httpx.AsyncClient) -> None:
    ours = (await api.get(CONTEXT.removeprefix(BASE))).json()["@context"]
    core = json.loads(corpus("ngsi-ld/contexts/ngsi-ld-core-context-v1.9.jsonld").read_text())["@context"]
    prefixes = {name: iri for name, iri in core.items() if isinstance(iri, str) and iri.endswith(("/", "#"))}
    published: dict[str, set[str]] = {}
    for model in ("Device", "Environment", "Weather", "Transportation"):
        text = corpus(f"ngsi-ld/contexts/context-dataModel.{model}.jsonld").read_text()
        for name, iri in json.loads(text)["@context"].items():
            published.setdefault(name, set()).add(iri if isinstance(iri, str) else iri["@id"])
    assert ours["@vocab"] == core["@vocab"]
    for name, meaning in ours.items():
        iri = meaning["@id"] if isinstance(meaning, dict) else meaning
        if name in core:
            theirs = core[name]["@id"] if isinstance(core[name], dict) else core[name]
            assert iri == expanded(theirs, prefixes), name
        elif not name.startswith("@"):
            assert iri in published[name], name


def expanded(term: Any, prefixes: dict[str, str]) -> Any:
    if not isinstance(term, str) or term.startswith("@") or "://" in term:
        return term
    prefix, _, rest = term.partition(":")
    return prefixes[prefix] + rest


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """The part of JSON Schema that these models use for the attributes we have."""
    if "oneOf" in schema:
        return any(fits(value, one) for one in schema["oneOf"])
    kinds = {"number": (int, float), "string": str, "array": list, "object": dict, None: object}
    if not isinstance(value, kinds[schema.get("type")]):
        return False
    if isinstance(value, list):
        return all(fits(one, schema.get("items", {})) for one in value)
    if "enum" in schema and value not in schema["enum"]:
        return False
    return not isinstance(value, int | float) or (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
        and value < schema.get("exclusiveMaximum", value + 1)
    )
