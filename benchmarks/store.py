"""The hub's store on PostgreSQL: idempotent commits against a plain binary COPY, and several workers at once."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import postgres_server, slow_disk
from benchmarks.figures import Figure, Goal, Limit, not_measured
from benchmarks.run import Run

FIGURES = ("ingest_1000", "ingest_10000", "two_workers_slow_disk", "four_workers_slow_disk")
GOAL = Goal(at_least=0.5, of_ratio=True)
TWO, FOUR = Goal(at_least=1.3, of_ratio=True), Goal(at_least=1.0, of_ratio=True)
MESSAGE = 1000
WORKER_LIMIT_S = 300.0
_Row = tuple[Any, ...]  # a row of telemetry, taken over as it is


def measure(run: Run) -> Iterator[Figure]:
    """All of FIGURES."""
    if not postgres_server.is_installed():
        for name, goal in zip(FIGURES, (GOAL, GOAL, TWO, FOUR), strict=True):
            yield not_measured(name, "readings/s", postgres_server.MISSING, goal)
        return
    with run.folder() as folder, postgres_server.running(folder) as server:
        yield _against_copy(run, server, "ingest_1000", 1, run.take(100, 15))
        yield _against_copy(run, server, "ingest_10000", 10, run.take(20, 4))
    if run.shim is None:
        yield not_measured("two_workers_slow_disk", "readings/s", slow_disk.NO_COMPILER, TWO)
        yield not_measured("four_workers_slow_disk", "readings/s", slow_disk.NO_COMPILER, FOUR)
        return
    with run.folder() as folder, postgres_server.running(folder, run.shim) as server:
        yield from _workers(run, server)


def _against_copy(run: Run, server: Any, name: str, messages: int, transactions: int) -> Figure:
    """Rounds of our commits and of a COPY of the rows they left, the same number of rows a transaction.

    The limit is a COPY into a table that can be read by series as ours can: with its index, without its partitions.
    What a COPY into a bare heap takes, of which nothing can be asked, stands beside it.
    """
    ours, copies, heaps, decoding = [], [], [], 0.0
    rows = messages * MESSAGE
    for number in range(run.take(4, 2) + 1):
        run.say(f"{name}, round {number}")
        url = server.new_database()
        with run.folder() as folder:
            said = workers(folder, url, 1, transactions, messages)[0]
        copied, bare = (plain_copy(url, rows, is_indexed=is_indexed) for is_indexed in (True, False))
        if number:
            ours.append(said["readings"] / said["seconds"])
            copies.append(copied)
            heaps.append(bare)
            decoding = said["decoding_cpu_s"] / said["readings"] * 1e6
            cpu = said["cpu_s"] / said["readings"] * 1e6
    value, ratio = statistics.median(ours), statistics.median(a / b for a, b in zip(ours, copies, strict=True))
    of_heap = statistics.median(a / b for a, b in zip(ours, heaps, strict=True))
    details = {"readings a transaction": rows, "worker us/reading": cpu, "decoding us/reading": decoding}
    limit = Limit("plain binary COPY, indexed by series and time", value / ratio)
    return Figure(name, value, "readings/s", True, GOAL, limit, {**details, "ratio to a bare heap": of_heap})


def _workers(run: Run, server: Any) -> Iterator[Figure]:
    """One, two and four processes on one database whose fsync takes 10 ms more, 1,000 readings a transaction."""
    rates: dict[int, list[float]] = {1: [], 2: [], 4: []}
    for number in range(run.take(3, 1) + 1):
        for count, found in rates.items():
            run.say(f"{count} workers on a slow disk, round {number}")
            with run.folder() as folder:
                said = workers(folder, server.new_database(), count, run.take(120, 25) // count, 1)
            if number:
                found.append(sum(one["readings"] for one in said) / max(one["seconds"] for one in said))
    one, two, four = (statistics.median(rates[count]) for count in (1, 2, 4))
    yield Figure("two_workers_slow_disk", two, "readings/s", True, TWO, Limit("one worker", one))
    yield Figure("four_workers_slow_disk", four, "readings/s", True, FOUR, Limit("two workers", two), {"one": one})


def workers(folder: Path, url: str, count: int, transactions: int, messages: int) -> list[dict[str, float]]:
    """What `count` workers say that began together; see `benchmarks.ingest_worker`."""
    environment = {**os.environ, "KANMON_DATABASE_URL": url}
    pipe = subprocess.PIPE
    with contextlib.ExitStack() as stack:
        processes = []
        for number in range(count):
            numbers: Sequence[object] = (folder, number, count, transactions, messages, MESSAGE)
            command = [sys.executable, "-m", "benchmarks.ingest_worker", *map(str, numbers)]
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, text=True)
            processes.append(stack.enter_context(process))
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("an ingest worker ended before it was ready")
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("begin\n")
            process.stdin.flush()
        said = [json.loads(process.communicate(timeout=WORKER_LIMIT_S)[0]) for process in processes]
    wanted = count * transactions * messages * MESSAGE
    with psycopg.connect(url) as connection:
        ((stored,),) = connection.execute("SELECT count(*) FROM telemetry").fetchall()
    # A rate counts only when every reading is there once.
    if stored != wanted or sum(one["readings"] for one in said) != wanted:
        raise RuntimeError(f"{stored} readings are stored and {wanted} were handed over")
    return said


def plain_copy(url: str, rows_a_transaction: int, *, is_indexed: bool) -> float:
    """Rows per second of copying the rows of telemetry into a table of the same columns, not partitioned."""
    with psycopg.connect(url) as connection:
        including = "INCLUDING INDEXES" if is_indexed else ""
        connection.execute("DROP TABLE IF EXISTS plain")
        connection.execute(f"CREATE TABLE plain (LIKE telemetry {including})")
        types = [
            row[0]
            for row in connection.execute(
                "SELECT t.typname FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid "
                "WHERE attrelid = 'plain'::regclass AND attnum > 0 ORDER BY attnum"
            )
        ]
        rows: list[_Row] = connection.execute("SELECT * FROM telemetry").fetchall()
        connection.commit()
        start = time.perf_counter()
        for first in range(0, len(rows), rows_a_transaction):
            with (
                connection.transaction(),
                connection.cursor() as cursor,
                cursor.copy("COPY plain FROM STDIN (FORMAT binary)") as copy,
            ):
                copy.set_types(types)
                for row in rows[first : first + rows_a_transaction]:
                    copy.write_row(row)
        return len(rows) / (time.perf_counter() - start)
