"""A connection that is closed before the broker answered is a failure at once, not after the publish time-out."""

import asyncio

import pytest

from cloud_sync.link_settings import LinkSettings
from cloud_sync.session import Broker, connect
from contract.errors import Unreachable
from contract.ids import GatewayId
from support.broker_door import Play, closes, closes_after_connack, closes_after_connect


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
