"""What the kernel says of a process, and how the measured programs are started, found and ended."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SCRIPTS = Path(sys.executable).parent
STOP_LIMIT_S = 20.0


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, user and system (proc(5), stat fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    """Resident memory in MiB."""
    return _status_mib(pid, "VmRSS:")


def peak_rss_mib(pid: int) -> float:
    """The most resident memory so far, in MiB."""
    return _status_mib(pid, "VmHWM:")


def written_bytes(pid: int) -> int:
    """Bytes a process caused to be written to disks so far (proc(5), io, write_bytes)."""
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    raise ProcessLookupError(pid)


def _status_mib(pid: int, key: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key):
            return round(int(line.split()[1]) / 1024, 1)
    raise ProcessLookupError(pid)


@contextlib.contextmanager
def child(*command: object, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours, ended with SIGTERM; killed when it does not end by that. Its output is in `log`."""
    with log.open("ab") as output:
        process = subprocess.Popen(list(map(str, command)), stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_LIMIT_S)
