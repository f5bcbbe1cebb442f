"""The outbox: ingest against a raw executemany, bytes written, and the store latency on a disk with slow fsync."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.group import Group
from benchmarks import offered_load, slow_disk
from benchmarks.figures import Figure, Goal, Limit, not_measured
from benchmarks.filling import AT, beats, group_of_persons, group_of_things, opened, polls, readings_of
from benchmarks.processes import written_bytes
from benchmarks.run import Run, finished, median_pair, medians
from cloud_sync.blob import encode

FIGURES = (
    "ingest_1000",
    "ingest_100",
    "bytes_1000",
    "bytes_500_a_second",
    "bytes_personal",
    "slow_disk_rate",
    "slow_disk_p99",
)
REGISTERS = 100
SLOW_LIMIT_S = 120.0
NOT_COUNTED = "the kernel does not count what is written there: name a folder on a real disk in KANMON_BENCH_DISK"


def measure(run: Run) -> Iterator[Figure]:
    """All of FIGURES."""
    yield _ingest(run, "ingest_1000", 1000, run.take(150, 20), Goal(at_least=0.8, of_ratio=True))
    yield _ingest(run, "ingest_100", 100, run.take(600, 60), Goal(at_least=0.6, of_ratio=True))
    yield _bytes_of_things(run, "bytes_1000", 10, 100, Goal(at_most=30))
    yield _bytes_of_things(run, "bytes_500_a_second", 50, 10, Goal(at_most=100))
    yield _bytes_of_persons(run)
    yield from _slow_disk(run)


def raw(folder: Path, batch: int, commits: int) -> float:
    """Readings per second of plain executemany into a table without index: WAL, synchronous FULL."""
    connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE reading (device TEXT, quantity TEXT, at INTEGER, value REAL, flag INTEGER)")
    at_ms = int(AT.timestamp() * 1000)
    sample = polls(batch // REGISTERS, REGISTERS)
    rows = [(one.subject, m.quantity, at_ms, m.value, int(m.flag)) for one in sample for m in readings_of(one)]
    start = time.perf_counter()
    for _ in range(commits):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO reading VALUES (?, ?, ?, ?, ?)", rows)
        connection.execute("COMMIT")
    rate = batch * commits / (time.perf_counter() - start)
    connection.close()
    return rate


async def ours(folder: Path, batch: int, commits: int) -> float:
    """Readings per second of the outbox, encoding included, each commit awaited."""
    async with opened(folder / "state") as outbox:
        records = polls(batch // REGISTERS, REGISTERS)
        start = time.perf_counter()
        for _ in range(commits):
            await outbox.commit(group_of_things(records))
        return batch * commits / (time.perf_counter() - start)


def _ingest(run: Run, name: str, batch: int, commits: int, goal: Goal) -> Figure:
    candidates: dict[str, Callable[[Path], float]] = {
        "raw executemany": lambda folder: raw(folder, batch, commits),
        "outbox": lambda folder: finished(ours(folder, batch, commits)),
    }
    found = medians(run, run.take(7, 3), candidates)
    value, limit = median_pair(found["outbox"], found["raw executemany"])
    return Figure(name, value, "readings/s", True, goal, Limit("raw executemany", limit), {"readings a commit": batch})


def _bytes_of_things(run: Run, name: str, devices: int, registers: int, goal: Goal) -> Figure:
    """Bytes written per reading when each commit holds one poll of each device; the checkpoints are in it."""
    groups = [group_of_things(polls(devices, registers, start)) for start in range(run.take(240, 60))]
    return _bytes(run, name, groups, devices * registers, goal)


def _bytes_of_persons(run: Run) -> Figure:
    """Ten persons, one heart rate each a second: sealed blobs of one reading. Reported, no goal."""
    groups = [group_of_persons(beats(10, start)) for start in range(run.take(240, 60))]
    return _bytes(run, "bytes_personal", groups, 10, None)


def _bytes(run: Run, name: str, groups: list[Group], readings: int, goal: Goal | None) -> Figure:
    if not run.counts_bytes:
        return not_measured(name, "bytes/reading", NOT_COUNTED, goal)
    run.say(name)
    with run.folder() as folder:
        written = finished(_written(folder, groups))
    count = readings * len(groups)
    payload = sum(len(encode(records)) for group in groups for records in group.records.values())
    details = {"readings a commit": readings, "commits": len(groups), "bytes a commit": round(written / len(groups))}
    return Figure(
        name, written / count, "bytes/reading", False, goal, Limit("the encoded blobs", payload / count), details
    )


async def _written(folder: Path, groups: list[Group]) -> int:
    pid = os.getpid()
    async with opened(folder / "state") as outbox:
        before = written_bytes(pid)
        for group in groups:
            await outbox.commit(group)
    return written_bytes(pid) - before  # closing has copied the last of the log into the file


def _slow_disk(run: Run) -> Iterator[Figure]:
    """A process whose fsync takes 10 ms more takes 5,000 readings/s with linger 0."""
    rate_goal, latency_goal = Goal(at_least=0.99, of_ratio=True), Goal(at_most=3, of_ratio=True)
    if run.shim is None:
        yield not_measured("slow_disk_rate", "readings/s", slow_disk.NO_COMPILER, rate_goal)
        yield not_measured("slow_disk_p99", "ms", slow_disk.NO_COMPILER, latency_goal)
        return
    run.say("slow disk")
    with run.folder() as folder:
        command = [sys.executable, "-m", "benchmarks.offered_load", str(folder), str(run.take(15, 3))]
        surroundings = slow_disk.environment(run.shim)
        done = subprocess.run(command, env=surroundings, stdout=subprocess.PIPE, check=True, timeout=SLOW_LIMIT_S)
    said = json.loads(done.stdout)
    offered = Limit("what was offered", offered_load.READINGS_PER_S)
    yield Figure("slow_disk_rate", said["rate"], "readings/s", True, rate_goal, offered)
    fsync = Limit("one fsync of this disk", said["fsync_ms"])
    details = {"p50 ms": said["p50_ms"], "worst ms": said["worst_ms"], "commits/s": said["commits_per_s"]}
    yield Figure("slow_disk_p99", said["p99_ms"], "ms", False, latency_goal, fsync, details)
