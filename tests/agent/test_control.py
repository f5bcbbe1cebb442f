"""The control socket: the owner's alone, bounded, and no bytes end the agent."""

import asyncio
import json
from contextlib import asynccontextmanager

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.control import MAX_REQUEST_BYTES, ConsentSet, Control
from contract.errors import Refused
from support.waiting import until


async def greet(request):
    return {"hello": request.get("name")}


async def refuse(_):
    raise Refused("no")


async def check(request):
    return {"purpose": ConsentSet.model_validate(request).purpose}


async def numbers():
    for number in range(3):
        yield {"number": number}


@asynccontextmanager
async def control_at(path):
    control = Control({"greet": greet, "refuse": refuse, "check": check}, {"count": numbers})
    task = asyncio.ensure_future(control.serve(path))
    try:
        await until(path.exists)
        yield
    finally:
        task.cancel()


async def say(path, data: bytes) -> list[dict]:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(data)
        writer.write_eof()
        return [json.loads(line) for line in (await reader.read()).splitlines()]
    except ConnectionError:
        return []
    finally:
        writer.close()


async def test_requests_are_answered_and_streams_stream(tmp_path):
    path = tmp_path / "control.sock"
    async with control_at(path):
        assert path.stat().st_mode & 0o777 == 0o600
        assert await say(path, b'{"do":"greet","name":"x"}\n') == [{"ok": True, "hello": "x"}]
        assert await say(path, b'{"do":"count"}\n') == [{"number": 0}, {"number": 1}, {"number": 2}]


async def test_a_refusal_names_its_family_and_a_wrong_request_its_place_but_not_its_value(tmp_path):
    path = tmp_path / "control.sock"
    async with control_at(path):
        assert await say(path, b'{"do":"refuse"}\n') == [{"ok": False, "family": "Refused", "error": "no"}]
        (answer,) = await say(path, b'{"do":"check","person":"p","purpose":"canary","on":true}\n')
        assert answer["family"] == "ProtocolError"
        assert "purpose" in answer["error"]
        assert "canary" not in answer["error"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.just(b"x" * (2 * MAX_REQUEST_BYTES)) | st.just(b'"text"\n') | st.just(b"[1]\n"))
async def test_any_bytes_get_an_error_or_silence_and_the_next_client_an_answer(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("s") / "c.sock"
    async with control_at(path):
        for answer in await say(path, data):
            assert answer["ok"] is False
        assert await say(path, b'{"do":"greet"}\n') == [{"ok": True, "hello": None}]
