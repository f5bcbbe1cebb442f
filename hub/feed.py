"""What has just been committed, told to whoever watches: pages over SSE. No values, only what to ask the store for."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from contract.ids import GatewayId

MAX_WAITING = 256
"""Changes that wait for one slow client; beyond it the oldest is dropped, since a newer one says to look again."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something new about `subject`; of a person's records `gateway` is None, as in the store."""

    kind: Literal["reading", "released", "alert", "gap", "gateway"]
    gateway: GatewayId | None
    subject: str
    quantity: str | None = None


@dataclass(slots=True, eq=False)
class _Watcher:
    waiting: deque[Change] = field(default_factory=lambda: deque(maxlen=MAX_WAITING))
    stirred: asyncio.Event = field(default_factory=asyncio.Event)


class Feed:
    """Fan-out of changes to any number of subscribers; publishing never waits."""

    def __init__(self) -> None:
        self._watchers: set[_Watcher] = set()
        self._is_closed = False

    def publish(self, change: Change) -> None:
        """Tell every subscriber; a client that already has the same change waiting hears of it once."""
        for watcher in self._watchers:
            if change not in watcher.waiting:
                watcher.waiting.append(change)
            watcher.stirred.set()

    def close(self) -> None:
        """End every subscription, so that open connections do not hold the hub up when it stops."""
        self._is_closed = True
        for watcher in self._watchers:
            watcher.stirred.set()

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[AsyncIterator[Change]]:
        """Changes published from now on, oldest first, until the feed closes."""
        watcher = _Watcher()
        self._watchers.add(watcher)
        try:
            async with aclosing(self._changes(watcher)) as changes:
                yield changes
        finally:
            self._watchers.discard(watcher)

    async def _changes(self, watcher: _Watcher) -> AsyncGenerator[Change, None]:
        while not self._is_closed:
            watcher.stirred.clear()
            for change in _drain(watcher.waiting):
                yield change
            if not self._is_closed:
                await watcher.stirred.wait()


def _drain(waiting: deque[Change]) -> Iterator[Change]:
    while waiting:
        yield waiting.popleft()
