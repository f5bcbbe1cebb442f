"""A stream of server-sent events (WHATWG HTML, 9.2) to one browser: told of changes, coalesced, ended with the feed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from fastapi import Response
from starlette.types import Receive, Scope, Send

from hub.feed import Change, Feed

SHORTEST_INTERVAL_S = 0.25
"""At most four messages a second to one browser, however fast readings come."""
REFRESH_S = 5.0
"""Everything is looked at again after this long: ages and states change without a reading, and it keeps alive."""

Message = Callable[[frozenset[str] | None], Awaitable[bytes]]
"""The bytes that tell of the kinds of change given; None asks for everything."""


def event(name: str | None, data: str) -> bytes:
    """One event; without a name its data is swapped into the page by hx-sse."""
    lines = [f"event: {name}"] if name else []
    lines += [f"data: {line}" for line in data.splitlines()]
    return ("\n".join(lines) + "\n\n").encode()


class EventStream(Response):
    """Sends everything at once, then what changed, until the browser leaves or the feed closes."""

    media_type = "text/event-stream"

    def __init__(self, feed: Feed, message: Message, headers: Mapping[str, str]) -> None:
        # No ETag, no length: the body is open-ended.
        super().__init__(headers={**headers, "Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["Content-Length"]
        self._feed = feed
        self._message = message
        self._kinds: set[str] = set()
        self._stirred = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        del scope
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with self._feed.subscribe() as changes, asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._write(send)),
                group.create_task(self._listen(changes)),
                group.create_task(_left(receive)),
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write(self, send: Send) -> None:
        kinds: frozenset[str] | None = None
        while True:
            body = await self._message(kinds)
            await send({"type": "http.response.body", "body": body, "more_body": True})
            await asyncio.sleep(SHORTEST_INTERVAL_S)
            kinds = await self._next()

    async def _next(self) -> frozenset[str] | None:
        """Kinds that changed since last asked; None when nothing did for the refresh interval."""
        try:
            async with asyncio.timeout(REFRESH_S):
                await self._stirred.wait()
        except TimeoutError:
            return None
        self._stirred.clear()
        kinds, self._kinds = frozenset(self._kinds), set()
        return kinds

    async def _listen(self, changes: AsyncIterator[Change]) -> None:
        async for change in changes:
            self._kinds.add(change.kind)
            self._stirred.set()


async def _left(receive: Receive) -> None:
    """Returns when the browser has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
