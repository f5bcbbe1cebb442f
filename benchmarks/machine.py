"""On what a run was measured: machine, versions, load and date."""

import os
import platform
import shutil
import sqlite3
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import Detail

PROGRAM_LIMIT_S = 10.0


def described(folder: Path) -> dict[str, Detail]:
    """The machine now; `folder` is where the measured files lie."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "filesystem": filesystem(folder),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "postgresql": _said("postgres", "--version"),
        "nats": _nats(),
    }


def filesystem(folder: Path) -> str:
    """The type of the file system that `folder` lies on, as the kernel names it (proc(5), mountinfo)."""
    target, best, kind = folder.resolve(), -1, "unknown"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        mounted = Path(fields.split()[4].replace("\\040", " "))
        if target.is_relative_to(mounted) and len(mounted.parts) > best:
            best, kind = len(mounted.parts), rest.split()[0]
    return kind


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return "unknown"


def _nats() -> str | None:
    from hub.nats_server import executable

    return _said(str(executable(os.environ)), "--version")


def _said(program: str, *arguments: str) -> str | None:
    """The version in what a program says, None when there is none."""
    found = shutil.which(program) or next(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{program}")), None)
    if found is None:
        return None
    answer = subprocess.run([found, *arguments], capture_output=True, text=True, check=False, timeout=PROGRAM_LIMIT_S)
    words = [word for word in answer.stdout.split() if word.lstrip("v")[:1].isdigit()]
    return words[0].lstrip("v") if words else None
