"""The web server inside the hub's TaskGroup: uvicorn on a socket of ours, stopped by us and not by signals."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from ipaddress import ip_address

import uvicorn
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp

from hub.nats_server import port_taken

_NAMES = ["127.0.0.1", "localhost", "[::1]"]
"""Host names under which it answers: a page elsewhere whose name points to loopback is refused."""
_GRACE_S = 1


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: the hub's own handlers end it in order."""
        with nullcontext():
            yield


class WebServer:
    """One application on one listening socket."""

    def __init__(self, app: ASGIApp, listening: socket.socket) -> None:
        config = uvicorn.Config(
            TrustedHostMiddleware(app, allowed_hosts=_NAMES, www_redirect=False),
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
        self._listening = listening
        self._server = _Server(config)

    async def serve(self) -> None:
        """Serve until `stop`."""
        await self._server.serve(sockets=[self._listening])

    def stop(self) -> None:
        """Take no more, finish what is under way."""
        self._server.should_exit = True

    async def is_ready(self) -> None:
        """Return once requests are answered."""
        while not self._server.started:  # noqa: ASYNC110  # uvicorn tells nobody that it has started
            await asyncio.sleep(0.01)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; Misconfigured when the port is taken."""
    family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
    # The protocol is named because asyncio looks for it before it sets TCP_NODELAY: without, head and body of an answer
    # leave one after the other, and the body waits 40 ms for a delayed acknowledgement.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise port_taken("HTTP", port, error) from error
    return listening
