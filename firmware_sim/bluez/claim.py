"""Making room for a unix socket: a file left by a killed run is removed, a bus that still listens is not disturbed."""

import os
import socket
import stat
from pathlib import Path

from contract.errors import Fault, Misconfigured, Refused

MAX_PATH_BYTES = 107
"""sockaddr_un holds 108 with the closing zero."""


def claim(path: Path) -> None:
    """Leave nothing at `path`. Misconfigured when no socket can be there, Refused when somebody listens on it."""
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        cause = f"the path of a unix socket holds at most {MAX_PATH_BYTES} bytes"
        raise Misconfigured(Fault(str(path), 0, cause, "Choose a folder with a shorter name"))
    try:
        is_socket = stat.S_ISSOCK(path.stat().st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise Misconfigured(Fault(str(path), 0, "there is a file here that is no socket", "Move it or name another"))
    if _is_listening(path):
        raise Refused(f"another bus listens on {path}")
    path.unlink()


def _is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        try:
            sock.connect(str(path))
        except BlockingIOError:  # its queue of newcomers is full, so somebody does listen
            return True
        except OSError:
            return False
        return True
