"""What every driver keeps to, each at its bench (tests/support/driver_bench.py)."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from random import Random

import pytest

from cloud_sync.backoff import Backoff
from contract.device import LinkState
from contract.errors import Unreachable
from contract.sample import Sample
from drivers.base import Driver
from drivers.reconnecting import samples
from support.driver_bench import BENCHES, Bench
from support.driving import START, Noted

RECONNECTS = 60
QUIET_LIMIT_S = 0.3
"""So long a babbling peer is listened to."""
HASTY = Backoff(first_s=0.005, limit_s=0.01, floor_s=0.001)


@pytest.fixture(params=sorted(BENCHES))
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with BENCHES[request.param](tmp_path) as found:
        yield found


async def next_of(driver: Driver) -> Sample:
    async with asyncio.timeout(5):
        return await anext(aiter(driver))


async def all_of(driver: Driver) -> None:
    """Everything it still has; a driver's samples have no end, so this ends by an error."""
    async with asyncio.timeout(5):
        async for _ in driver:
            pass


async def test_samples_come_stamped_and_in_order(bench: Bench) -> None:
    async with bench.open(Noted()) as driver:
        found = [await next_of(driver) for _ in range(3)]
    assert all(sample.members and sample.device == "device-1" for sample in found)
    assert START < found[0].stamp.at < found[1].stamp.at < found[2].stamp.at


async def test_a_peer_that_goes_away_is_unreachable_and_a_fresh_driver_finds_it_again(bench: Bench) -> None:
    async with bench.open(Noted()) as driver:
        await next_of(driver)
        await bench.go_away()
        with pytest.raises(Unreachable):
            await all_of(driver)
    await bench.come_back()
    async with bench.open(Noted()) as driver:
        await next_of(driver)


async def test_an_absent_peer_is_unreachable_at_once_or_within_the_drivers_limit(bench: Bench) -> None:
    await bench.go_away()
    async with asyncio.timeout(10):
        with pytest.raises(Unreachable) as caught:
            await bench.open(Noted()).__aenter__()
    assert str(caught.value)
    await bench.come_back()


async def test_closing_twice_and_closing_what_is_gone_is_harmless(bench: Bench) -> None:
    driver = bench.open(Noted())
    await driver.__aexit__(None, None, None)
    driver = bench.open(Noted())
    await driver.__aenter__()
    await driver.__aexit__(None, None, None)
    await driver.__aexit__(None, None, None)
    lost = bench.open(Noted())
    await lost.__aenter__()
    await bench.go_away()
    await lost.__aexit__(None, None, None)
    await bench.come_back()


async def test_reconnecting_many_times_leaves_nothing_open(bench: Bench) -> None:
    async def once() -> None:
        async with bench.open(Noted()) as driver:
            await next_of(driver)

    for _ in range(3):  # what is opened once and kept, like the event loop's own threads
        await once()
    before = open_files()
    for _ in range(RECONNECTS):
        await once()
    assert open_files() <= before + 1  # a peer of ours may be one step behind in closing its own end


async def test_an_attempt_that_fails_leaves_nothing_open(bench: Bench) -> None:
    async def once() -> None:
        with pytest.raises(Unreachable):
            await bench.open(Noted()).__aenter__()

    await bench.go_away()
    await once()
    before = open_files()
    for _ in range(20):
        await once()
    assert open_files() <= before
    await bench.come_back()


async def test_a_cancelled_wait_leaves_the_device_free(bench: Bench) -> None:
    driver = bench.open(Noted())
    async with driver:
        while True:
            waiting = asyncio.ensure_future(anext(aiter(driver)))
            await asyncio.sleep(0)
            if waiting.done():
                continue
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            break
    async with bench.open(Noted()) as again:
        await next_of(again)


async def test_garbage_never_raises_anything_but_unreachable(bench: Bench) -> None:
    noted = Noted()
    bench.babble()
    for _ in range(5):
        try:
            async with bench.open(noted) as driver, asyncio.timeout(QUIET_LIMIT_S):
                while True:
                    await anext(aiter(driver))
        except (Unreachable, TimeoutError):
            continue
    assert noted.faults, "bytes that mean nothing were not counted"
    bench.talk_sense()
    async with bench.open(Noted()) as driver:
        await next_of(driver)


async def test_garbage_in_the_middle_does_not_end_the_device(bench: Bench) -> None:
    noted = Noted()
    said: list[LinkState] = []
    random = Random(1)
    stream = samples(lambda: bench.open(noted), HASTY, random, lambda state, _: said.append(state))
    async with asyncio.timeout(20), aclosing(stream):
        await anext(stream)
        bench.babble()
        waiting = asyncio.ensure_future(anext(stream))
        while not noted.faults:
            await asyncio.wait([waiting], timeout=0.02)
            if waiting.done():  # it had sense left to tell
                waiting = asyncio.ensure_future(anext(stream))
        bench.talk_sense()
        await waiting


async def test_an_outage_is_said_once_and_its_end_once(bench: Bench) -> None:
    said: list[LinkState] = []
    random = Random(1)
    stream = samples(lambda: bench.open(Noted()), HASTY, random, lambda state, _: said.append(state))
    async with asyncio.timeout(20), aclosing(stream):
        await anext(stream)
        await bench.go_away()
        waiting = asyncio.ensure_future(anext(stream))
        while LinkState.LOST not in said:
            await asyncio.wait([waiting], timeout=0.05)
            if waiting.done():
                waiting = asyncio.ensure_future(anext(stream))
        await asyncio.wait([waiting], timeout=0.2)  # several tries
        await bench.come_back()
        await waiting
    assert said == [LinkState.CONNECTING, LinkState.UP, LinkState.LOST, LinkState.UP]


def open_files() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))
