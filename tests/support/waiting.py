"""Waiting for a condition instead of sleeping for a guess."""

import asyncio
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], object | Awaitable[object]], limit_s: float = 5.0) -> None:
    """Return once `condition()` is true, looking every 10 ms; AssertionError after `limit_s` seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + limit_s
    while True:
        result = condition()
        if isinstance(result, Awaitable):
            result = await result
        if result:
            return
        assert loop.time() < end, f"condition not met within {limit_s} s"
        await asyncio.sleep(0.01)
