"""A disk whose every fsync takes 10 ms more: a library of ours, compiled when needed and preloaded into a process."""

import os
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("fsync_delay.c")
DELAY_MS = 10.0
COMPILE_LIMIT_S = 60.0
NO_COMPILER = "no C compiler (cc) is here, so fsync cannot be made slow; Debian: apt install gcc libc6-dev"


def compiled(folder: Path) -> Path | None:
    """The library, made in `folder`; None without a C compiler that can."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    library = folder / "fsync_delay.so"
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=COMPILE_LIMIT_S)
    if done.returncode:
        return None
    # A database server may run as another user.
    folder.chmod(0o755)
    library.chmod(0o755)
    return library


def environment(library: Path, delay_ms: float = DELAY_MS) -> dict[str, str]:
    """This process's environment, with the slow disk in it."""
    return {**os.environ, "LD_PRELOAD": str(library), "KANMON_FSYNC_DELAY_US": str(round(delay_ms * 1000))}
