"""What processes used is known also of those that are dead; too many connections are refused before any is made."""

import asyncio
import os
import resource
import sys

import pytest

from contract.errors import Misconfigured
from firmware_sim.fleet_meter import Meter, allow_open_files, usage

GROW = "import sys; held = bytearray(64 * 2**20); print('grown', flush=True); sys.stdin.read()"


async def grown() -> asyncio.subprocess.Process:
    """A process that holds 64 MiB."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", GROW, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"grown\n"
    return process


async def test_a_process_that_took_another_ones_place_adds_its_time_and_keeps_the_peak() -> None:
    pids: dict[str, int | None] = {"hub": None, "broker": None}
    meter = Meter({name: lambda name=name: pids[name] for name in pids})
    meter.look()
    assert meter.total() == {}
    first = await grown()
    pids["hub"] = first.pid
    meter.look()
    alone = meter.total()["hub"]
    first.kill()
    await first.wait()
    meter.look()
    pids["hub"] = os.getpid()
    meter.look()
    total = meter.total()
    assert set(total) == {"hub"}
    assert alone.rss_max_mib > 64
    assert total["hub"].rss_max_mib >= alone.rss_max_mib
    assert total["hub"].cpu_s >= alone.cpu_s + usage(os.getpid()).cpu_s - 1.0


def test_a_process_that_is_not_there_has_no_usage() -> None:
    with pytest.raises(OSError, match="No such file"):
        usage(2**22 + 1)  # above the kernel's largest process id


def test_the_limit_of_open_files_is_raised_or_the_cause_named() -> None:
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        pytest.skip("this user may open any number of files")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
        allow_open_files(256)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(soft, 512)
        allow_open_files(hard)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
        with pytest.raises(Misconfigured, match=rf"{hard + 1} files are needed.*may open {hard}.*ulimit"):
            allow_open_files(hard + 1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
