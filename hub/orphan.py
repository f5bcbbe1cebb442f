"""Ending a server that an earlier hub left behind: two servers would open one store folder without an error."""

import os
import select
import signal
from pathlib import Path

_PATIENCE_S = 3.0


def is_ours(pid: int, executable: Path, config: Path) -> bool:
    """True when process `pid` runs `executable` with our `config`: the number may have been given away since."""
    try:
        is_same = Path(f"/proc/{pid}/exe").resolve().samefile(executable)
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return is_same and os.fsencode(config) in arguments


def read_pid(path: Path) -> int | None:
    """The process id in a pid file; None when there is none."""
    try:
        text = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if text.isdigit() else None


def end(pid_file: Path, executable: Path, config: Path) -> bool:
    """End the server named in `pid_file` and wait for its end; returns whether there was one."""
    pid = read_pid(pid_file)
    if pid is None or not is_ours(pid, executable, config):
        return False
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(handle, sign)
            if select.select([handle], [], [], _PATIENCE_S)[0]:
                break
    except ProcessLookupError:
        return True
    finally:
        os.close(handle)
    return True
