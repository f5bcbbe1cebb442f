"""Nothing a device or its driver does ends the process; losses and faults are said, but not again and again."""

import asyncio
import logging
from datetime import UTC, datetime
from random import Random

from agent import supervisor
from agent.supervisor import DeviceHealth, DeviceTask
from cloud_sync.backoff import Backoff
from contract.device import LinkState
from contract.errors import Fault, Misconfigured, ProtocolError, StoreFull, Unreachable
from contract.ids import DeviceId
from contract.sample import ClockQuality, Sample, Stamp
from support.waiting import until

DEVICE = DeviceId("river-1")
AT = datetime(2026, 11, 22, tzinfo=UTC)


class Taking:
    """A pipeline as the supervisor sees it."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.links: list[LinkState] = []
        self.is_full = False

    def accept(self, sample: Sample) -> None:
        if self.is_full:
            raise StoreFull("full")
        self.samples.append(sample)

    async def keep_pace(self) -> None:
        pass

    def link(self, device: DeviceId, state: LinkState, at: datetime) -> None:
        self.links.append(state)


class Scripted:
    """A driver that does what its script says: samples, then an error."""

    def __init__(self, *script: Sample | Exception) -> None:
        self._script = iter(script)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def __aiter__(self):
        return self

    async def __anext__(self) -> Sample:
        await asyncio.sleep(0)
        step = next(self._script, None)
        if step is None:
            await asyncio.Event().wait()
        if isinstance(step, Exception):
            raise step
        return step


def stamp() -> Stamp:
    return Stamp(AT, 5.0, ClockQuality.SYNCHRONISED)


def sample() -> Sample:
    return Sample(DEVICE, stamp(), ())


def device_task(pipeline: Taking, drivers, contexts=None) -> DeviceTask:
    def open_driver(context):
        if contexts is not None:
            contexts.append(context)
        return next(drivers)

    health = DeviceHealth(DEVICE, "test", LinkState.CONNECTING, AT)
    return DeviceTask(health, open_driver, pipeline, stamp, Backoff(0.001, 0.001, 0.0))


async def run_until(task: DeviceTask, condition) -> None:
    running = asyncio.ensure_future(task.run(Random(1)))
    try:
        await until(condition)
    finally:
        running.cancel()


async def test_a_lost_device_is_said_once_and_again_when_it_is_back(caplog):
    caplog.set_level(logging.INFO, supervisor.__name__)
    pipeline = Taking()
    refused = [_Refusing(Unreachable("refused")) for _ in range(5)]
    drivers = iter([Scripted(sample(), Unreachable("gone")), *refused, Scripted(sample())])
    await run_until(device_task(pipeline, drivers), lambda: len(pipeline.samples) == 2)
    assert [record.getMessage() for record in caplog.records] == [
        "device river-1: lost: gone",
        "device river-1: back",
    ]
    assert pipeline.links == [LinkState.CONNECTING, LinkState.UP, LinkState.LOST, LinkState.UP]


class _Refusing(Scripted):
    async def __aenter__(self):
        await self.__anext__()


async def test_a_bug_in_a_driver_costs_its_device_a_restart(caplog):
    pipeline = Taking()
    drivers = iter([Scripted(sample(), ZeroDivisionError("bug")), Scripted(sample())])
    await run_until(device_task(pipeline, drivers), lambda: len(pipeline.samples) == 2)
    assert "its driver failed" in caplog.text
    assert LinkState.LOST in pipeline.links


async def test_a_device_that_refuses_everything_says_why_once_and_is_asked_again(caplog):
    """A station that boots more slowly than its gateway must not stay lost until somebody comes."""
    caplog.set_level(logging.INFO, supervisor.__name__)
    fault = Misconfigured(Fault("map.toml", 3, "register 7 is not there", "Remove it"))
    pipeline = Taking()
    task = device_task(pipeline, iter([_Refusing(fault), _Refusing(fault), _Refusing(fault), Scripted(sample())]))
    await run_until(task, lambda: pipeline.samples)
    assert task.health.state is LinkState.UP
    assert [record.getMessage() for record in caplog.records] == [
        f"device river-1: lost: {fault}",
        "device river-1: back",
    ]


async def test_faults_are_counted_and_logged_at_most_once_a_minute(caplog):
    contexts = []
    pipeline = Taking()
    task = device_task(pipeline, iter([Scripted(sample())]), contexts)
    await run_until(task, lambda: pipeline.samples)
    for _ in range(100):
        contexts[0].on_fault(ProtocolError("checksum differs"))
    assert task.health.faults == 100
    assert caplog.text.count("checksum differs") == 1


async def test_a_full_store_does_not_stop_the_device():
    pipeline = Taking()
    pipeline.is_full = True
    task = device_task(pipeline, iter([Scripted(*[sample()] * 3)]))
    await run_until(task, lambda: task.health.samples == 3)
    assert task.health.state is LinkState.UP
