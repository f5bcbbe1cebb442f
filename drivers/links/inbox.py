"""A bounded place between a callback and the coroutine that takes what it brought: what no longer fits is refused."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Inbox(Generic[Item]):
    """First in, first out, within one event loop. What waits is still given out after `close`."""

    def __init__(self, capacity: int) -> None:
        self._items: deque[tuple[Item, bool]] = deque()
        self._capacity = capacity
        self._wake = asyncio.Event()
        self._is_closed = self._has_refused = False
        self.follows_loss = False
        """True when something was refused between the item last taken and the one before it."""

    def offer(self, item: Item) -> bool:
        """Put `item` last; false when the inbox is full or closed and the item is dropped."""
        if self._is_closed or len(self._items) >= self._capacity:
            self._has_refused = True
            return False
        self._items.append((item, self._has_refused))
        self._has_refused = False
        self._wake.set()
        return True

    def close(self) -> None:
        """Nothing more will come."""
        self._is_closed = True
        self._wake.set()

    async def take(self) -> Item | None:
        """The oldest item, waiting for one; None once the inbox is closed and empty."""
        while not self._items:
            if self._is_closed:
                return None
            self._wake.clear()
            await self._wake.wait()
        item, self.follows_loss = self._items.popleft()
        return item
