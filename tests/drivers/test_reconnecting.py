"""A device's outages: said once each, tried again with back-off, never the end of the process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from random import Random
from typing import Self

import pytest

from cloud_sync.backoff import Backoff
from contract.device import LinkState
from contract.errors import Fault, Misconfigured, Unreachable
from contract.ids import DeviceId
from contract.sample import ClockQuality, Reading, Sample, Stamp
from drivers.reconnecting import samples
from support.waiting import until

HASTY = Backoff(first_s=0.001, limit_s=0.002, floor_s=0.001)


def sample(value: float) -> Sample:
    stamp = Stamp(datetime(2026, 11, 22, tzinfo=UTC), 1.0, ClockQuality.SYNCHRONISED)
    return Sample(DeviceId("d-1"), stamp, (Reading("raw_value", value),))


class ScriptedDriver:
    """One life of a device: what entering raises, or what iterating gives before the loss."""

    def __init__(self, life: list[float] | Exception) -> None:
        self.life = life
        self.open = 0

    async def __aenter__(self) -> Self:
        if isinstance(self.life, Exception):
            raise self.life
        self.open += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self.open -= 1

    async def __aiter__(self) -> AsyncIterator[Sample]:
        assert isinstance(self.life, list)
        for value in self.life:
            yield sample(value)
        raise Unreachable("d-1 went away")


class Lives:
    """Gives a fresh driver for each life, and remembers what was said and which drivers were made."""

    def __init__(self, *lives: list[float] | Exception) -> None:
        self.drivers = [ScriptedDriver(life) for life in lives]
        self.left = iter(self.drivers)
        self.said: list[tuple[LinkState, str]] = []

    def open(self) -> ScriptedDriver:
        return next(self.left)

    async def values(self, count: int, backoff: Backoff = HASTY) -> list[float]:
        found: list[float] = []
        random = Random(1)
        stream = samples(self.open, backoff, random, lambda state, reason: self.said.append((state, reason)))
        async with asyncio.timeout(5), aclosing(stream):
            async for each in stream:
                member = each.members[0]
                assert isinstance(member, Reading)
                assert member.value is not None
                found.append(member.value)
                if len(found) == count:
                    break
        return found


async def test_a_lost_device_is_opened_afresh_and_each_outage_is_said_once() -> None:
    lives = Lives([1.0, 2.0], Unreachable("refused"), Unreachable("refused"), [3.0], [4.0])
    assert await lives.values(4) == [1.0, 2.0, 3.0, 4.0]
    assert lives.said == [
        (LinkState.CONNECTING, ""),
        (LinkState.UP, ""),
        (LinkState.LOST, "d-1 went away"),
        (LinkState.UP, ""),
        (LinkState.LOST, "d-1 went away"),
        (LinkState.UP, ""),
    ]


async def test_a_device_absent_from_the_start_is_said_once() -> None:
    lives = Lives(*[Unreachable("no such port")] * 20, [1.0])
    assert await lives.values(1) == [1.0]
    assert lives.said == [(LinkState.CONNECTING, ""), (LinkState.LOST, "no such port"), (LinkState.UP, "")]


async def test_a_wrong_configuration_ends_the_stream_with_its_faults() -> None:
    fault = Fault("map.toml", 3, "address 1 does not exist", "Correct the map")
    with pytest.raises(Misconfigured) as caught:
        await Lives(Misconfigured(fault)).values(1)
    assert caught.value.faults == (fault,)


async def test_closing_the_stream_closes_the_driver() -> None:
    lives = Lives([1.0, 2.0])
    await lives.values(1)
    assert lives.drivers[0].open == 0


async def test_delays_grow_until_a_sample_comes() -> None:
    """A device that accepts and hangs up is no reason to hurry: only a sample starts the back-off anew."""
    asked: list[int] = []

    class Noting(Backoff):
        __slots__ = ()

        def delay_s(self, attempt: int, random: Random) -> float:
            asked.append(attempt)
            return 0.0

    await Lives([], Unreachable("gone"), [], [1.0], Unreachable("gone"), [2.0]).values(2, Noting())
    assert asked == [1, 2, 3, 1, 2]


async def test_a_cancellation_that_a_library_swallows_ends_the_stream_all_the_same() -> None:
    """A gateway that is told to stop stops, also at a thousand requests a second."""

    class Swallowing(ScriptedDriver):
        async def __aiter__(self) -> AsyncIterator[Sample]:
            while True:
                try:
                    await asyncio.sleep(0.001)
                except asyncio.CancelledError:
                    pass  # what asyncio.wait_for of Python 3.11 does when its result is just ready
                yield sample(1.0)

    async def serve() -> None:
        stream = samples(lambda: Swallowing([]), Backoff(), Random(1), lambda *_: None)
        async with aclosing(stream):
            async for taken in stream:
                seen.append(taken)

    seen: list[Sample] = []
    task = asyncio.ensure_future(serve())
    await until(lambda: seen)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)
