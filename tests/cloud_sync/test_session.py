"""A connection ends when it is to: at once when it is closed before the answer, and with its socket."""

import asyncio

import pytest

from cloud_sync.link_settings import LinkSettings
from cloud_sync.session import Broker, connect
from contract.errors import Unreachable
from contract.ids import GatewayId
from support.broker_door import (
    Play,
    broker_door,
    closes,
    closes_after_connack,
    closes_after_connect,
    never_answers,
    polite,
)
from support.waiting import until


@pytest.mark.parametrize("play", [closes, closes_after_connect, closes_after_connack], ids=lambda play: play.__name__)
@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
async def test_a_close_before_the_answer_is_told_at_once(play: Play, reset: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await play(reader, writer)
        await writer.drain()
        if reset:
            writer.transport.abort()
        else:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        broker = Broker(f"mqtt://127.0.0.1:{port}", GatewayId("gw-1"), "secret")
        async with asyncio.timeout(LinkSettings().publish_timeout_s / 2):
            with pytest.raises(Unreachable):
                async with connect(broker, LinkSettings()):
                    pytest.fail("a session without a broker")


@pytest.mark.parametrize("play", [never_answers, polite], ids=lambda play: play.__name__)
async def test_a_connection_that_was_given_up_or_cancelled_leaves_no_socket(play: Play) -> None:
    """A broker that never answers is tried for days."""
    impatient = LinkSettings(publish_timeout_s=0.05)
    async with broker_door(0) as door:
        door.play = play

        async def visit() -> None:
            async with connect(Broker(f"mqtt://127.0.0.1:{door.port}", GatewayId("gw-1"), "secret"), impatient):
                await asyncio.Event().wait()

        for number in range(5):
            task = asyncio.create_task(visit())
            await until(lambda number=number: door.connections > number)
            await asyncio.wait([task], timeout=0.1)
            task.cancel()
            await asyncio.wait([task])
        await until(lambda: door.open == 0)
