"""The control socket of the real agent: any bytes, any number of clients, and the next question is answered."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from support.processes import Gateway, running
from support.waiting import until

SETTINGS = """
[gateway]
id = "gw-1"
[hub]
urls = ["mqtt://127.0.0.1:1"]
password_file = "password"
[[person]]
id = "resident-1"
"""
CLIENTS = 300
LOG_LINES_MOST = 20


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    (tmp_path / "password").touch(0o600)
    (tmp_path / "password").write_text("canary-password")
    gateway = Gateway(tmp_path, SETTINGS)
    async with running(gateway):
        yield gateway


async def say(gateway: Gateway, data: bytes) -> list[dict]:
    """What is answered to `data`, where the connection lives long enough."""
    reader, writer = await asyncio.open_unix_connection(gateway.state / "control.sock", limit=2**22)
    try:
        writer.write(data)
        writer.write_eof()
        return [json.loads(line) for line in (await asyncio.wait_for(reader.read(), 10)).splitlines()]
    except ConnectionError:
        return []
    finally:
        writer.close()


REQUESTS = (
    b"",
    b"\n",
    b"null\n",
    b"[]\n",
    b"{}\n",
    b"[" * 60_000 + b"\n",
    b'{"do":' + b"[" * 30_000 + b"\n",
    b'{"do":[]}\n',
    b'{"do":{}}\n',
    b'{"do":null}\n',
    b'{"do":"status","x":1}\n',
    b'{"do":"none such"}\n',
    b'{"do":"\\ud800"}\n',
    b'{"do":"consent.set"}\n',
    b'{"do":"consent.set","person":"nobody","purpose":"research","on":true}\n',
    b'{"do":"consent.set","person":"resident-1","purpose":"x","on":true}\n',
    b'{"do":"consent.set","person":"resident-1","purpose":"research","on":true,"made_on":%d}\n' % 10**30,
    b'{"do":"consent.set","person":"resident-1","purpose":"research","on":true,"made_on":-%d}\n' % 10**30,
    b'{"do":"consent.set","person":"resident-1","purpose":"research","on":true,"actor":"\\ud800"}\n',
    b'{"do":"consent.set","person":"resident-1","purpose":"research","on":true,"actor":"' + b"x" * 60_000 + b'"}\n',
    b'{"do":"consent.list","x":' + b"9" * 60_000 + b"}\n",
    b"x" * 2**20,
    b"\xff\xfe" * 1000 + b"\n",
)


async def test_every_request_gets_an_answer_and_none_ends_the_agent(gateway: Gateway) -> None:
    random = Random(11)
    for request in (*REQUESTS, *(random.randbytes(random.randrange(1, 3000)) for _ in range(50))):
        for answer in await say(gateway, request):
            assert set(answer) >= {"ok"}, request[:80]
    consents = (await gateway.ask(do="consent.list"))["consents"]
    assert not [consent for consent in consents if consent["person"] != "resident-1"]
    assert (await gateway.status())["pid"] == gateway.pid
    said = gateway.log.read_text()
    assert "Traceback" not in said, said
    assert "canary-password" not in said
    assert len(said.splitlines()) < LOG_LINES_MOST, said


async def test_clients_that_never_end_their_request_or_never_read(gateway: Gateway) -> None:
    with ExitStack() as stack:
        for number in range(CLIENTS):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(gateway.state / "control.sock"))
            client.sendall((b"", b'{"do":', b'{"do":"watch"}\n')[number % 3])
            await asyncio.sleep(0)
        assert (await gateway.status())["pid"] == gateway.pid
        await gateway.agree("resident-1", "research")
    assert (await gateway.status())["pid"] == gateway.pid
    await until(lambda: descriptors(gateway) < CLIENTS / 2, 20)
    said = gateway.log.read_text()
    assert "Traceback" not in said, said
    assert len(said.splitlines()) < LOG_LINES_MOST, said


def descriptors(gateway: Gateway) -> int:
    return len(list(Path(f"/proc/{gateway.pid}/fd").iterdir()))
