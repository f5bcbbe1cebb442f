"""What processes of this machine use while a run lasts, read from proc(5); and how many files they may open."""

import asyncio
import os
import resource
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from contract.errors import Fault, Misconfigured

LOOK_EVERY_S = 0.5
"""The kernel keeps the peak of a process that lives; what one gained in the last half second before SIGKILL is lost."""
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one process and those that took its place: largest resident set, and processor time of all."""

    rss_max_mib: float
    cpu_s: float


class Meter:
    """Follows processes by name; `pids` tells the present process id of each, None while there is none."""

    def __init__(self, pids: Mapping[str, Callable[[], int | None]]) -> None:
        self._pids = pids
        self._seen: dict[str, dict[int, Usage]] = {name: {} for name in pids}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        """Take one sample of each process that lives."""
        for name, pid_of in self._pids.items():
            pid = pid_of()
            with suppress(OSError, LookupError, ValueError):  # gone, or a zombie, which has no memory any more
                if pid is not None:
                    self._seen[name][pid] = usage(pid)

    def total(self) -> Mapping[str, Usage]:
        """Of each name of which a process was seen."""
        return {
            name: Usage(max(u.rss_max_mib for u in lives.values()), sum(u.cpu_s for u in lives.values()))
            for name, lives in self._seen.items()
            if lives
        }


def usage(pid: int) -> Usage:
    """Of a process that lives; OSError or LookupError when there is none."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    # proc(5): after the name in parentheses, which may hold anything; utime and stime are fields 14 and 15 of the line.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Usage(int(status["VmHWM"].split()[0]) / 1024, (int(fields[11]) + int(fields[12])) / _TICKS_PER_S)


def allow_open_files(count: int) -> None:
    """Raise this process's limit of open files, which children inherit, to `count`. Misconfigured when it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        if hard != resource.RLIM_INFINITY and hard < count:
            cause = f"{count} files are needed, a connection each, and this user may open {hard}"
            fix = f"Raise it (ulimit -Hn {count}, or LimitNOFILE= in a unit) or take fewer --gateways"
            raise Misconfigured(Fault("open files", 0, cause, fix))
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
