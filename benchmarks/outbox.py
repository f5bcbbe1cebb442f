"""Outbox ingest, encoding included, as a ratio to a raw sqlite3 executemany of the same readings and durability."""

import asyncio
import sqlite3
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from agent import outbox_schema
from agent.outbox import Group, Outbox
from agent.seal import KeyFolder
from agent.store import Database
from contract.ids import Epoch
from contract.record import Measured, Stream
from contract.sample import ClockQuality, Flag, Reading

POLL = 100
ROUNDS = 5
AT = datetime(2026, 11, 22, tzinfo=UTC)


def polls(count: int) -> list[Measured]:
    """`count` polls of 100 registers, each value another one."""
    return [
        Measured(
            "river-1",
            AT,
            ClockQuality.SYNCHRONISED,
            tuple(Reading("raw_value", round(17.3 + index * 0.1 + poll, 1), Flag.GOOD) for index in range(POLL)),
        )
        for poll in range(count)
    ]


def raw(folder: Path, batch: int, commits: int) -> float:
    """Readings per second of plain executemany into a table without index: WAL, synchronous FULL."""
    connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS reading (device TEXT, quantity TEXT, at INTEGER, value REAL, flag INTEGER)"
    )
    at_ms = int(AT.timestamp() * 1000)
    rows = [("river-1", m.quantity, at_ms, m.value, int(m.flag)) for p in polls(batch // POLL) for m in p.members]
    start = time.perf_counter()
    for _ in range(commits):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO reading VALUES (?, ?, ?, ?, ?)", rows)
        connection.execute("COMMIT")
    rate = batch * commits / (time.perf_counter() - start)
    connection.close()
    return rate


async def ours(folder: Path, batch: int, commits: int) -> float:
    """Readings per second of the outbox, each commit awaited."""
    async with Database(folder / "outbox.db", outbox_schema.MIGRATIONS) as database:
        outbox = Outbox(database, KeyFolder(folder / "keys"), Epoch("0" * 16), 1000)
        await outbox.open(AT)
        records = polls(batch // POLL)
        start = time.perf_counter()
        for _ in range(commits):
            await outbox.commit(Group(AT, {(Stream.DATA, None): list(records)}, {(Stream.DATA, None): len(records)}))
        return batch * commits / (time.perf_counter() - start)


def measure() -> dict[str, object]:
    """Median of interleaved rounds, the first thrown away, for batches of 100 and 1,000."""
    results: dict[str, object] = {}
    for batch, commits in ((100, 400), (1000, 100)):
        rates: dict[str, list[float]] = {"raw": [], "ours": []}
        for number in range(ROUNDS + 1):
            with TemporaryDirectory() as folder:
                pair = (raw(Path(folder), batch, commits), asyncio.run(ours(Path(folder), batch, commits)))
            if number:
                rates["raw"].append(pair[0])
                rates["ours"].append(pair[1])
        medians = {name: statistics.median(values) for name, values in rates.items()}
        results[f"outbox_{batch}"] = {
            "readings_per_s": round(medians["ours"]),
            "raw_readings_per_s": round(medians["raw"]),
            "ratio": round(statistics.median(o / r for o, r in zip(rates["ours"], rates["raw"], strict=True)), 2),
        }
    return results


if __name__ == "__main__":
    for name, result in measure().items():
        print(name, result)
