"""What the kernel says of a process, and how the measured programs are found."""

import asyncio
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

SCRIPTS = Path(sys.executable).parent
START_LIMIT_S = 30.0


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, user and system (proc(5), stat fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    """Resident memory in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    raise ProcessLookupError(pid)


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago; all are held until the last is known."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


async def answers(http_port: int) -> None:
    """Return once the hub's health route answers."""
    end = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end:
        try:
            await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{http_port}/api/v1/health", timeout=2)
        except (urllib.error.URLError, OSError):
            await asyncio.sleep(0.1)
        else:
            return
    raise TimeoutError("the hub does not answer")
