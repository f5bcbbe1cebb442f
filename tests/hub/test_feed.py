"""The feed tells every watcher, never waits for one, and ends with the hub."""

import asyncio

from contract.ids import GatewayId
from hub.feed import MAX_WAITING, Change, Feed


def change(number: int) -> Change:
    return Change("reading", GatewayId("gw-1"), f"device-{number}", "water_level")


async def test_every_watcher_hears_what_is_published_after_it_came() -> None:
    feed = Feed()
    feed.publish(change(0))
    async with feed.subscribe() as first, feed.subscribe() as second:
        feed.publish(change(1))
        feed.publish(change(2))
        assert [await anext(first), await anext(first)] == [change(1), change(2)]
        assert await anext(second) == change(1)


async def test_a_slow_watcher_loses_the_oldest_and_the_same_change_waits_once() -> None:
    feed = Feed()
    async with feed.subscribe() as changes:
        for number in range(MAX_WAITING + 10):
            feed.publish(change(number))
            feed.publish(change(number))
        heard = [await anext(changes) for _ in range(MAX_WAITING)]
    assert heard == [change(number) for number in range(10, MAX_WAITING + 10)]


async def test_a_waiting_watcher_is_woken_and_ends_when_the_feed_closes() -> None:
    feed = Feed()

    async def watch() -> list[Change]:
        async with feed.subscribe() as changes:
            return [one async for one in changes]

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    feed.publish(change(1))
    await asyncio.sleep(0)
    feed.close()
    assert await asyncio.wait_for(watching, 5) == [change(1)]
    async with feed.subscribe() as changes:
        assert [one async for one in changes] == []
