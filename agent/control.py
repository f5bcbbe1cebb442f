"""The control socket of a running agent: JSON lines on `<state>/control.sock`, readable by the owner only."""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract.consent import Purpose
from contract.errors import KanmonError, StoreFull

SOCKET_NAME = "control.sock"
MAX_REQUEST_BYTES = 64 * 2**10
REQUEST_TIMEOUT_S = 10.0

log = logging.getLogger(__name__)
Answer = Mapping[str, object]


class ConsentSet(BaseModel):
    """The request to switch one purpose of one person. `made_on` None: on the latest version."""

    model_config = ConfigDict(extra="forbid")
    person: str
    purpose: Purpose
    on: bool
    made_on: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    actor: Annotated[str, Field(max_length=200)] = "installer"


class Control:
    """Answers requests by name: `calls` answer once, `streams` answer line after line until the client goes."""

    def __init__(
        self,
        calls: Mapping[str, Callable[[dict[str, Any]], Awaitable[Answer]]],
        streams: Mapping[str, Callable[[], AsyncIterator[Answer]]],
    ) -> None:
        self._calls = calls
        self._streams = streams
        self._faults = 0

    async def serve(self, path: Path) -> None:
        """Listen until cancelled."""
        before = os.umask(0o177)
        try:
            path.unlink(missing_ok=True)
            server = await asyncio.start_unix_server(self._connected, path, limit=MAX_REQUEST_BYTES)
        except OSError as error:
            raise StoreFull(f"control socket {path} cannot be made: {error.strerror or error}") from error
        finally:
            os.umask(before)
        try:
            await asyncio.Event().wait()
        finally:
            # Not serve_forever: from Python 3.12 on its end waits until the last client has gone.
            server.close()
            path.unlink(missing_ok=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                line = await reader.readline()
            async for answer in self._answers(line):
                writer.write(json.dumps(answer, ensure_ascii=False).encode() + b"\n")
                await writer.drain()
        except (TimeoutError, ValueError, ConnectionError):
            self._faults += 1
            if self._faults & (self._faults - 1) == 0:  # at 1, 2, 4, 8...: clients do not fill the log
                log.info("control: a client sent no request that ends, or went away (%d so far)", self._faults)
        finally:
            writer.close()

    async def _answers(self, line: bytes) -> AsyncIterator[Answer]:
        try:
            request = json.loads(line)
            name = request.pop("do")
            hash(name)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            yield _error("ProtocolError", 'a request is one line of JSON with "do"')
            return
        if name in self._streams:
            async for answer in self._streams[name]():
                yield answer
        elif name in self._calls:
            yield await self._call(name, request)
        else:
            yield _error("ProtocolError", f"no such request; known: {', '.join([*self._calls, *self._streams])}")

    async def _call(self, name: str, request: dict[str, Any]) -> Answer:
        try:
            return {"ok": True, **await self._calls[name](request)}
        except ValidationError as error:
            places = sorted({".".join(map(str, e["loc"])) for e in error.errors()})
            return _error("ProtocolError", f"the request is wrong at: {', '.join(places)}")
        except KanmonError as error:
            return _error(type(error).__name__, str(error))


def _error(family: str, text: str) -> Answer:
    return {"ok": False, "family": family, "error": text}
