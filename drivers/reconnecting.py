"""Samples of a device for ever: a fresh driver after each loss, back-off between tries, each outage said once."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from random import Random
from typing import Protocol

from contract.device import LinkState
from contract.errors import Unreachable
from contract.sample import Sample
from drivers.base import Driver


class Delays(Protocol):
    """How long to wait before a try; `cloud_sync.backoff.Backoff` is one, which drivers do not import."""

    def delay_s(self, attempt: int, random: Random) -> float:
        """Seconds to wait before attempt number `attempt` (from 1)."""
        ...


async def samples(
    open_driver: Callable[[], Driver],
    backoff: Delays,
    random: Random,
    on_state: Callable[[LinkState, str], None],
) -> AsyncGenerator[Sample, None]:
    """Everything the device says, across outages; ends only by being closed (`contextlib.aclosing`).

    `on_state` hears CONNECTING once at the beginning, UP when a driver was entered, LOST with the reason once per
    outage. The back-off starts anew only after a sample: a device that accepts and hangs up is no cause for haste.
    Misconfigured passes through.
    """
    on_state(LinkState.CONNECTING, "")
    state = LinkState.CONNECTING
    attempt = 0
    before = _cancellations()
    while True:
        try:
            async with open_driver() as driver:
                _resume_cancellation(before)
                on_state(state := LinkState.UP, "")
                async for sample in driver:
                    _resume_cancellation(before)
                    attempt = 0
                    yield sample
            reason = "the device ended its stream"
        except Unreachable as error:
            reason = str(error)
        if state is not LinkState.LOST:
            on_state(state := LinkState.LOST, reason)
        attempt += 1
        await asyncio.sleep(backoff.delay_s(attempt, random))


def _cancellations() -> int:
    """How often this task was asked to end. A TaskGroup of Python 3.11 leaves one behind when a child fails late."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _resume_cancellation(before: int) -> None:
    """Raise CancelledError when this task was cancelled since and a library in the driver swallowed that.

    asyncio.wait_for of Python 3.11 returns a result that is ready at the moment of cancellation as if nothing had
    happened (python/cpython issue 86296, mended in 3.12). At a thousand requests a second that moment comes often.
    """
    if _cancellations() > before:
        raise asyncio.CancelledError
