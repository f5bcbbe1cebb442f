"""A disk that takes nothing: said once, nothing durable is lost, and on again with room."""

import asyncio
import logging
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from agent.commit import Committer
from cloud_sync.blob import decode
from contract.record import Stream
from support.outboxes import AT, EPOCHS, OpenedOutbox, everything, group, measured, outbox_in
from support.waiting import until

Fault = Callable[[Path], AbstractContextManager[None]]


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """A file system without a free block."""
    with (disk / "filler").open("wb", buffering=0) as filler:
        os.posix_fallocate(filler.fileno(), 0, os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize)
    yield
    (disk / "filler").unlink()


@contextmanager
def unwritable(disk: Path) -> Iterator[None]:
    """Files that the kernel lets nobody write, also through what is open: as after it has remounted a failing card.

    A real remount is refused while a file is open for writing; only the kernel itself does that.
    """
    files = [str(path) for path in disk.glob("outbox.db*")]
    done = subprocess.run(["chattr", "+i", *files], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"files cannot be made immutable here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", *files], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB; skipped where none can be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)]
    done = subprocess.run(mount, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


async def values(outbox: OpenedOutbox) -> list[float]:
    return [r.members[0].value for entry in await everything(outbox) for r in decode(entry.part.blob)]


async def goes_on_after(disk: Path, fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is taken meanwhile and nothing lost; both ends of the fault are said once."""
    caplog.set_level(logging.INFO)
    async with outbox_in(disk) as outbox:
        await outbox.commit(group(measured(1)))
        committer = Committer(outbox, 0.0, lambda: AT)
        writer = asyncio.create_task(committer.run())
        with fault(disk):
            committer.add(Stream.DATA, None, measured(*range(1000)))
            ticket = committer.ticket()
            await until(lambda: "the disk takes nothing" in caplog.text)
            committer.add(Stream.DATA, None, measured(3))
            assert await values(outbox) == [1]
        await asyncio.wait_for(ticket.durable(), 5)
        await until(lambda: committer.unwritten == 0)
        assert await values(outbox) == [1, 0, 3]
        assert caplog.text.count("the disk takes nothing") == 1
        assert caplog.text.count("takes data again") == 1
        writer.cancel()
        await asyncio.wait([writer])
    async with outbox_in(disk, EPOCHS[1]) as outbox:
        assert await values(outbox) == [1, 0, 3]


async def test_a_full_disk_is_waited_for(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    await goes_on_after(small_disk, full, caplog)


async def test_files_that_turned_read_only_are_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await goes_on_after(tmp_path, unwritable, caplog)
