"""The repeater on a real hub's broker: what was said comes again, in another order, or in place of what waited."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import nats
import pytest
from nats.aio.client import Client

from contract.errors import Unreachable
from firmware_sim.repeater import Repeater, all_answer, repeater
from support.processes import Hub, running
from support.waiting import until

SUBJECT = "kanmon.gw-1.up.data"
STREAM = "KANMON_UP"
BYTES = 64 * 2**10


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    """A hub that stands still, so that what is said to it waits."""
    hub = Hub(tmp_path, settings=f"[broker]\nstream_bytes = {BYTES}\n")
    async with running(hub):
        os.kill(hub.pid, signal.SIGSTOP)
        yield hub
        os.kill(hub.pid, signal.SIGCONT)


def reach(hub: Hub) -> tuple[list[str], str, str]:
    password = (hub.state / "credentials" / "hub.password").read_text().strip()
    return [f"nats://127.0.0.1:{hub.nats_port}"], "hub", password


async def say(client: Client, repeater: Repeater, count: int) -> None:
    """Messages that wait, and that the repeater has heard."""
    for number in range(count):
        await client.jetstream().publish(SUBJECT, bytes([number]) * 100)
    await until(lambda: repeater.heard == count)


async def waiting(client: Client) -> list[int]:
    """What waits, by its content."""
    state = (await client.jetstream().stream_info(STREAM)).state
    messages = [await client.jetstream().get_msg(STREAM, n) for n in range(state.first_seq, state.last_seq + 1)]
    return [(message.data or b"")[0] for message in messages]


async def test_what_was_said_comes_again_in_another_order_or_instead(hub: Hub) -> None:
    urls, user, password = reach(hub)
    client = await nats.connect(urls, user=user, password=password)
    try:
        async with repeater(urls, user, password) as again:
            await say(client, again, 8)
            assert await waiting(client) == list(range(8))
            said = await again.repeat(Random(1), 0.1)
            assert said > 0
            await until(lambda: again.heard == 8 + said)
            assert len(await waiting(client)) == 8 + said
            await again.replace(Random(1))
            instead = await waiting(client)
            assert len(instead) == 2 * (8 + said)
            assert set(instead) == set(range(8))
            assert instead[:8] != list(range(8))
    finally:
        await client.close()


async def test_a_flood_throws_away_all_that_waited(hub: Hub) -> None:
    urls, user, password = reach(hub)
    client = await nats.connect(urls, user=user, password=password)
    try:
        async with repeater(urls, user, password) as again:
            await say(client, again, 3)
            await again.flood(Random(1), 10.0)
            state = (await client.jetstream().stream_info(STREAM)).state
            assert state.first_seq > 3
            assert state.bytes <= BYTES
    finally:
        await client.close()


async def test_a_broker_that_is_not_there_is_unreachable() -> None:
    with pytest.raises(Unreachable):
        async with repeater(["nats://127.0.0.1:1"], "hub", "secret"):
            pass
    assert not await all_answer(["nats://127.0.0.1:1"], "hub", "secret")
