"""The folder of one run: a fresh temporary one that goes at the end, or a given one that stays. One run at a time."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.errors import KanmonError

MAX_SOCKET_PATH_BYTES = 107
"""sun_path of a unix socket, less the closing NUL (unix(7))."""
_LONGEST_SOCKET = Path("gateway") / "control.sock"


class StateUnusable(KanmonError):
    """The state folder cannot be used; the text says why."""


@contextmanager
def state_folder(path: Path | None, keep: bool) -> Iterator[Path]:
    """The absolute path of a folder for this run alone. Without `path` a new one, removed at the end unless `keep`.

    Raises StateUnusable: it cannot be written, another run uses it, or its path is too long for the sockets in it.
    """
    try:
        root = Path(tempfile.mkdtemp(prefix="kanmon-")) if path is None else path.absolute()
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (root / "lock").open("w")
    except OSError as error:
        raise StateUnusable(f"The state folder cannot be written: {path}: {error.strerror}.") from error
    with lock:
        _check_length(root)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StateUnusable(f"Another kanmon-sim runs on {root}; end it or name another --state.") from error
        try:
            yield root
        finally:
            if path is None and not keep:
                shutil.rmtree(root, ignore_errors=True)


@contextmanager
def opening(root: Path) -> Iterator[None]:
    """Make the folder and open what lies in it. StateUnusable, with the system's reason, for what cannot be opened."""
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise StateUnusable(f"Cannot open {error.filename or 'the port'}: {error.strerror or error}.") from error


def _check_length(root: Path) -> None:
    size = len(bytes(root / _LONGEST_SOCKET))
    if size > MAX_SOCKET_PATH_BYTES:
        excess = size - MAX_SOCKET_PATH_BYTES
        raise StateUnusable(f"The path of the state folder is {excess} bytes too long for the sockets in it: {root}.")
