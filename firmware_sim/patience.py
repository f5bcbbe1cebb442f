"""Waiting for what other processes do, which set no event of ours, each time with a limit."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from contract.errors import KanmonError

LOOK_EVERY_S = 0.1
ALIVE_LIMIT_S = 20.0
"""How long to wait for a process that a fault is for and that is just being started again."""


class ChaosFailed(KanmonError):
    """A round could not be played to its end; the text says what did not come back."""


async def until(is_so: Callable[[], bool], name: str, limit_s: float = ALIVE_LIMIT_S) -> None:
    """Return once `is_so`. Raises ChaosFailed, naming `name`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            while not is_so():  # noqa: ASYNC110  another process sets no event of ours
                await asyncio.sleep(LOOK_EVERY_S)
            return
    raise ChaosFailed(f"After {limit_s:.0f} s {name} is not there")
