"""The web server on a real socket, asked by a plain client that keeps its connection."""

import asyncio
import http.client
import time

import pytest
from starlette.responses import JSONResponse

from hub.web import WebServer, listen

ANSWERS = 8
DELAYED_ACKNOWLEDGEMENT_S = 0.04


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_answers_on_a_kept_connection_do_not_wait_for_a_delayed_acknowledgement(host: str) -> None:
    """Two thousand small answers take seconds, not minutes: head and body of each leave at once."""
    listening = listen(host, 0)
    server = WebServer(JSONResponse({"items": []}), listening)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve())
        await server.is_ready()
        took_s = await asyncio.to_thread(ask, host, listening.getsockname()[1])
        server.stop()
    assert min(took_s) < DELAYED_ACKNOWLEDGEMENT_S / 2


def ask(host: str, port: int) -> list[float]:
    """Seconds that each answer but the first took."""
    connection = http.client.HTTPConnection(host, port, timeout=10)
    took_s = []
    for _ in range(ANSWERS):
        began = time.perf_counter()
        connection.request("GET", "/", headers={"Host": "localhost"})
        assert connection.getresponse().read() == b'{"items":[]}'
        took_s.append(time.perf_counter() - began)
    connection.close()
    return took_s[1:]
