"""The parts that faults are done with: a wrong clock, a file taken away and put back, a pause, a full disk."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from firmware_sim import chaos_clock, chaos_outbox
from firmware_sim.chaos_bench import paused
from firmware_sim.chaos_clock import DAY_S, WrongClock
from firmware_sim.chaos_faults import FULL_BYTES, full_disk
from firmware_sim.chaos_kinds import Kind
from firmware_sim.children import Children, Command
from firmware_sim.patience import ChaosFailed
from firmware_sim.patience import until as patiently
from support.waiting import until

CLOCKS = "import time; print(time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME))"
WRITER = """
import pathlib, time
while True:
    try:
        pathlib.Path("written").open("ab", buffering=0).write(bytes(1000))
    except OSError:
        pathlib.Path("refused").touch()
    time.sleep(0.01)
"""


@pytest.mark.skipif(
    chaos_clock.library() is None and os.environ.get("CI") != "true",
    reason="libfaketime is not installed. Debian: sudo apt install libfaketime",
)
@pytest.mark.parametrize(("kind", "step_s"), [(Kind.CLOCK_AHEAD, DAY_S), (Kind.CLOCK_BACK, -DAY_S)])
def test_the_clock_of_one_process_steps_and_its_uptime_does_not(tmp_path: Path, kind: Kind, step_s: int) -> None:
    library = chaos_clock.library()
    assert library is not None
    clock = WrongClock(library, tmp_path)
    true = seconds({})
    with clock.stepped(kind):
        wrong = seconds(clock.environment)
    right = seconds(clock.environment)
    with clock.stepped(Kind.CLOCK_1970):
        assert 0 < seconds(clock.environment)[0] < 3 * DAY_S
    assert wrong[0] - true[0] == pytest.approx(step_s, abs=30)
    assert right[0] - true[0] == pytest.approx(0, abs=30)
    assert wrong[1:] == pytest.approx(true[1:], abs=30)


def seconds(environment: object) -> list[float]:
    words = [sys.executable, "-c", CLOCKS]
    told = subprocess.run(words, env={**os.environ, **dict(environment)}, capture_output=True, check=True, timeout=20)
    return [float(word) for word in told.stdout.split()]


def test_a_copy_put_back_is_the_database_as_it_was(tmp_path: Path) -> None:
    """The copy is taken beside a connection that holds the newest rows in its write-ahead log alone."""
    gateway, copied = tmp_path / "gateway", tmp_path / "copy"
    gateway.mkdir()
    path = gateway / chaos_outbox.NAME
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE entry (id INTEGER)")
        connection.execute("INSERT INTO entry VALUES (1)")
        chaos_outbox.copy(gateway, copied)
        connection.execute("INSERT INTO entry VALUES (2)")
    chaos_outbox.put_back(gateway, copied)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT id FROM entry").fetchall() == [(1,)]
    chaos_outbox.delete(gateway)
    assert list(gateway.iterdir()) == []


async def test_a_paused_child_stands_still_and_a_full_disk_refuses_it(tmp_path: Path) -> None:
    written, refused = tmp_path / "written", tmp_path / "refused"
    code = f"import os; os.chdir({str(tmp_path)!r}){WRITER}"
    async with Children(tmp_path / "logs", lambda _: None) as children, asyncio.TaskGroup() as group:
        child = children.start(Command("writer", (sys.executable, "-c", code)), group)
        await until(lambda: written.exists() and written.stat().st_size > FULL_BYTES)
        async with paused(child):
            await until(lambda: Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        with full_disk(child):
            await until(refused.exists)
        size = written.stat().st_size
        await until(lambda: written.stat().st_size > size)
        await children.stop("writer")


async def test_waiting_for_a_part_has_an_end_and_names_it() -> None:
    with pytest.raises(ChaosFailed, match=r"^After 0 s the broker is not there$"):
        await patiently(lambda: False, "the broker", 0.05)
