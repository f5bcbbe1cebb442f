"""The ledger's sources read what hub and agent say in the agreed form, and refuse anything else by name."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from contract.errors import ProtocolError, Refused, Unreachable
from firmware_sim.ledger import Span, StoredSample, Window
from firmware_sim.sources import AgentStatus, HubApi, Subjects, agent_status, ask_agent

AT = "2026-11-22T03:00:00.123Z"
LATER = "2026-11-22T03:01:00.000Z"
STATUS = {
    "ok": True,
    "epoch": "0123456789abcdef",
    "started_at": AT,
    "withheld": 7,
    "open_windows": 3,
    "outbox": {"alert": 0, "data": 2},
    "downtime": [["2026-11-22T03:00:00+00:00", "2026-11-22T03:00:03+00:00"]],
    "devices": [
        {"id": "river-1", "state": "up", "since": AT, "last_sample_at": LATER, "subjects": {}},
        {"id": "strap-1", "state": "up", "since": LATER, "last_sample_at": AT, "subjects": {"research": "ab12"}},
        {"id": "strap-2", "state": "lost", "since": AT, "last_sample_at": None, "subjects": {"research": "cd34"}},
    ],
}


@asynccontextmanager
async def hub(answer: Callable[[httpx.Request], httpx.Response]) -> AsyncIterator[HubApi]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://hub") as client:
        yield HubApi(client)


def listing(*items: object, following: str | None = None) -> httpx.Response:
    return httpx.Response(200, json={"items": items, "next": following})


@asynccontextmanager
async def agent(path: Path, answer: bytes) -> AsyncIterator[list[bytes]]:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(answer)
        writer.close()

    async with await asyncio.start_unix_server(serve, path):
        yield asked


async def test_pages_are_followed_and_a_sample_is_what_lost_no_quantity_of_its_stamp() -> None:
    """A lost record is a lost sample: otherwise the ledger would balance without it."""

    def row(number: int, quantity: str, value: float) -> dict[str, object]:
        at = f"2026-11-22T03:00:0{number}.000Z"
        return {"at": at, "quantity": quantity, "value": value, "epoch": "e", "stream": "data", "sequence": number}

    def answer(request: httpx.Request) -> httpx.Response:
        query = request.url.params
        assert (request.url.path, query["device"]) == ("/api/v1/readings", "river-1")
        if query["quantity"] == "water_level":
            return listing(row(1, "water_level", 1.25), row(2, "water_level", 1.5))
        if "cursor" in query:
            return listing(row(2, "device_counter", 2), row(3, "device_counter", 3))
        return listing(row(1, "device_counter", 1), following="more")

    async with hub(answer) as api:
        samples = await api.things("river-1", ("device_counter", "water_level"))
    first, second = (datetime(2026, 11, 22, 3, 0, n, tzinfo=UTC) for n in (1, 2))
    assert samples == [
        StoredSample("river-1", first, {"device_counter": 1.0, "water_level": 1.25}, "e:data:1"),
        StoredSample("river-1", second, {"device_counter": 2.0, "water_level": 1.5}, "e:data:2"),
    ]


async def test_positions_and_released_values_are_read() -> None:
    fix = {"at": AT, "quantity": "position", "value": {"lat": 33.9, "lon": 130.9, "speed_mps": 8.0, "course_deg": None}}
    beat = {"at": AT, "purpose": "research", "subject": "ab12", "quantity": "heart_rate", "value": 72}
    intervals = {"values": [0.83, 0.84], "offsets_s": [-0.84, 0.0]}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("readings"):
            return listing(fix)
        is_rr = request.url.params["quantity"] == "rr_interval"
        return listing({**beat, "quantity": "rr_interval", "value": intervals}) if is_rr else listing(beat, beat)

    async with hub(answer) as api:
        assert [sample.values for sample in await api.things("bus-1", ("position",))] == [{"lat": 33.9, "lon": 130.9}]
        first, second = await api.released("strap-1", ["ab12"], "heart_rate", "rr_interval")
    assert second == StoredSample("strap-1", datetime.fromisoformat(AT), {"heart_rate": 72.0})
    assert (first.values, "0.84" in first.beside) == (second.values, True)


async def test_windows_gaps_and_alerts_are_given_to_their_devices() -> None:
    subjects = Subjects()
    subjects.learn(AgentStatus.model_validate(STATUS))
    answers: dict[str, list[object]] = {
        "/api/v1/gaps": [
            {"gateway": "gw", "subject": "river-1", "start": AT, "end": LATER},
            {"gateway": None, "subject": "ab12", "start": AT, "end": LATER},
            {"gateway": None, "subject": "unknown", "start": AT, "end": LATER},
        ],
        "/api/v1/alerts": [{"id": "a", "at": LATER}, {"id": "b", "at": AT}, {"id": "a", "at": LATER}],
        "/api/v1/devices": [{"id": "bus-1", "last_at": None}, {"id": "river-1", "last_at": LATER}],
    }
    received = {
        "ef56": {"samples": 58, "windows": 1, "start": AT, "end": LATER},
        "ff99": {"samples": 0, "windows": 1, "start": AT, "end": LATER},
        "0a0a": {"samples": 0, "windows": 0, "start": None, "end": None},
    }

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/statistics/received":
            return httpx.Response(200, json=received[request.url.params["subject"]])
        return listing(*answers[request.url.path])

    start, end = datetime.fromisoformat(AT), datetime.fromisoformat(LATER)
    async with hub(answer) as api:
        windows = await api.windows("strap-3", ["ef56", "ff99", "0a0a"])
        assert windows == [Window("strap-3", start, end, 58), Window("strap-3", start, end, 0)]
        assert await api.gaps(subjects) == [Span("river-1", start, end), Span("strap-1", start, end)]
        assert await api.alert_ids() == {"a", "b"}
        assert await api.first_alert_at() == datetime.fromisoformat(AT)
        assert await api.last_at("river-1") == datetime.fromisoformat(LATER)
        assert await api.last_at("bus-1") is None


@pytest.mark.parametrize("body", [b"no", b"[]", b'{"items": 1}', b'{"items": [{"at": "never"}]}', b'{"items": [1]}'])
async def test_an_answer_in_another_form_is_refused_without_its_values(body: bytes) -> None:
    async with hub(lambda _: httpx.Response(200, content=body)) as api:
        with pytest.raises(ProtocolError) as caught:
            await api.things("river-1", ("device_counter",))
        assert "never" not in str(caught.value)
        with pytest.raises(ProtocolError) as caught:
            await api.windows("strap-3", ["ef56"])
    assert "never" not in str(caught.value)


async def test_a_hub_that_fails_or_is_gone_is_unreachable() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    for answer in (refuse, lambda _: httpx.Response(503)):
        async with hub(answer) as api:
            with pytest.raises(Unreachable):
                await api.alert_ids()
            assert not await api.is_up()


async def test_the_agents_status_tells_what_waits_and_who_was_heard(tmp_path: Path) -> None:
    async with agent(tmp_path / "control.sock", json.dumps(STATUS).encode() + b"\n") as asked:
        status = await agent_status(tmp_path / "control.sock")
    assert asked == [b'{"do": "status"}\n']
    assert (status.withheld, status.open_windows, status.is_waiting) == (7, 3, True)
    assert [device.is_heard for device in status.devices] == [True, False, False]


async def test_pseudonyms_of_earlier_days_stay_known() -> None:
    subjects = Subjects()
    for pseudonym in ("ab12", "ff99"):
        device = {**STATUS["devices"][1], "subjects": {"statistics": pseudonym}}  # type: ignore[index]  # a JSON document
        subjects.learn(AgentStatus.model_validate({**STATUS, "devices": [device]}))
    assert subjects.of("strap-1", "statistics") == ["ab12", "ff99"]
    assert subjects.devices_of("ab12") == {"strap-1"}
    assert subjects.of("strap-9", "statistics") == []


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", Unreachable),
        (b'{"ok": true', Unreachable),
        (b"no\n", ProtocolError),
        (b"[]\n", ProtocolError),
        (b"x" * 5_000_000 + b"\n", ProtocolError),
        (b'{"ok": true}\n', ProtocolError),
        (b'{"ok": false, "family": "Refused", "error": "no such person"}\n', Refused),
    ],
)
async def test_an_agent_that_does_not_answer_as_agreed(tmp_path: Path, answer: bytes, error: type[Exception]) -> None:
    async with agent(tmp_path / "control.sock", answer):
        with pytest.raises(error):
            await agent_status(tmp_path / "control.sock")


async def test_an_agent_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(Unreachable):
        await ask_agent(tmp_path / "none.sock", {"do": "status"})
