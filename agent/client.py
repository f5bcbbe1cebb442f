"""The other end of the control socket: what the command line asks a running agent."""

import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agent.control import SOCKET_NAME
from contract.errors import ProtocolError, Refused, Unreachable

TIMEOUT_S = 10.0


def ask(state: Path, request: Mapping[str, object]) -> dict[str, Any]:
    """The answer to one request. Unreachable when no agent runs on `state`, Refused when it says no."""
    answer = next(iter(listen(state, request, TIMEOUT_S)), None)
    if answer is None:
        raise Unreachable("the agent closed the connection without an answer")
    if not answer.get("ok"):
        family = Refused if answer.get("family") == "Refused" else ProtocolError
        raise family(str(answer.get("error")))
    return answer


def listen(state: Path, request: Mapping[str, object], timeout_s: float | None = None) -> Iterator[dict[str, Any]]:
    """Answer after answer, until the agent stops."""
    path = state / SOCKET_NAME
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as lines:
                for line in lines:
                    yield json.loads(line)
    except OSError as error:
        raise Unreachable(f"no agent answers at {path}: {error.strerror or error}; is kanmon-agent running?") from error
