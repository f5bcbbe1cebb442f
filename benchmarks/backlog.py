"""A gateway that was cut off for long: 10 million readings, or a whole gibibyte, wait in its outbox."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from agent.outbox_schema import MAX_SEQUENCE, span
from benchmarks import stand
from benchmarks.figures import Figure, Goal, Limit
from benchmarks.filling import fill, opened
from benchmarks.processes import peak_rss_mib, rss_mib
from benchmarks.run import Run, finished
from cloud_sync.envelope import encode_envelope
from cloud_sync.uplink import Page, Stretch
from contract.ids import Epoch
from contract.record import Stream

FIGURES = ("open_10_million", "drain_in_process", "drain_through_hub", "rss_draining", "rss_full")
READINGS = 10_000_000
POLLS_A_COMMIT = 5
"""Of 100 readings: what 500 readings/s with a linger of 1 s leaves behind."""
PAGE = Page(entries=100, blob_bytes=512 * 2**10)
"""Read at once, ours and by plain SQL: about what fits a large message."""
GIB = 2**30
SETTLE_S = 8.0
FIRST_LIMIT_S = 60.0
LATER = Epoch("fedcba9876543210")


def measure(run: Run) -> Iterator[Figure]:
    """All of FIGURES."""
    readings = run.take(READINGS, READINGS // 20)
    with run.folder() as folder:
        run.say(f"{readings:,} readings into the outbox")
        finished(_fill(folder / "gateway", readings))
        run.say("open")
        opening, scan = finished(_opening(folder / "gateway")), _scan(folder / "gateway")
        size_mib = (folder / "gateway" / "outbox.db").stat().st_size / 2**20
        goal = Goal(at_most=1.0)
        limit = Limit("one pass over the file by SQLite", scan)
        yield Figure("open_10_million", opening, "s", False, goal, limit, {"readings": readings, "MiB": size_mib})
        run.say("drain in process")
        yield finished(_drain(folder / "gateway", run.take(2_000_000, 100_000)))
        run.say("drain through broker and hub")
        yield from finished(_through_hub(folder, run.take(30.0, 4.0)))
    yield _full(run)


async def _fill(state: Path, readings: int) -> None:
    async with opened(state) as outbox:
        await fill(outbox, readings, polls_a_commit=POLLS_A_COMMIT)


async def _opening(state: Path) -> float:
    """Seconds until the outbox can be written and read."""
    start = time.perf_counter()
    async with opened(state, LATER) as outbox:
        await outbox.peek(Stream.DATA, Stretch(0), PAGE)
        return time.perf_counter() - start


def _scan(state: Path) -> float:
    """Seconds that SQLite takes to look at every page of entries: what an opening that reads all would need."""
    connection = sqlite3.connect(state / "outbox.db")
    start = time.perf_counter()
    connection.execute("SELECT sum(length(blob)) FROM entry").fetchone()
    seconds = time.perf_counter() - start
    connection.close()
    return seconds


def _raw_rate(connection: sqlite3.Connection, wanted: int) -> float:
    """Readings a second of reading and deleting the oldest `wanted` by plain SQL, a page at a time."""
    low, high = span(Stream.DATA)
    readings, start = 0, time.perf_counter()
    while readings < wanted:
        page = connection.execute(
            "SELECT id, last, blob FROM entry WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?", (low, high, PAGE.entries)
        ).fetchall()
        with connection:
            connection.execute("DELETE FROM entry WHERE id BETWEEN ? AND ?", (page[0][0], page[-1][0]))
        readings += page[-1][1] - (page[0][0] & MAX_SEQUENCE) + 1
    return readings / (time.perf_counter() - start)


async def _drain(state: Path, readings: int) -> Figure:
    """Peek, encode the envelope, remove: what the gateway does, without a link."""
    connection = sqlite3.connect(state / "outbox.db")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")
    raw = _raw_rate(connection, readings)
    connection.close()
    async with opened(state, LATER) as outbox:
        count, after, start = 0, 0, time.perf_counter()
        while count < readings:
            entries = await outbox.peek(Stream.DATA, Stretch(after), PAGE)
            encode_envelope([entry.part for entry in entries])
            await outbox.remove([entry.part.range for entry in entries])
            count += sum(entry.part.range.last - entry.part.range.first + 1 for entry in entries)
            after = entries[-1].id
        rate = count / (time.perf_counter() - start)
    return Figure("drain_in_process", rate, "readings/s", True, None, Limit("plain SELECT and DELETE", raw))


async def _through_hub(folder: Path, seconds: float) -> Iterator[Figure]:
    """The real agent, the real broker, the real hub; measured until all is gone, or for `seconds`."""
    with stand.running_farm(1, 10) as farm:
        async with stand.running_hub(folder) as hub, hub.receipts() as receipts:
            config = stand.write_gateway(folder, hub, farm, 1.0)
            waiting = _waiting(folder / "gateway")
            with stand.running_agent(folder, config) as agent:
                await receipts.at_least(1, FIRST_LIMIT_S)
                begin, before = time.monotonic(), receipts.records
                await receipts.at_least(waiting, seconds)
                count, elapsed = receipts.records - before, time.monotonic() - begin
                peak = peak_rss_mib(agent.pid)
    details = {"drained": count, "of": waiting}
    rate = Figure("drain_through_hub", count / elapsed, "readings/s", True, Goal(at_least=100_000), details=details)
    return iter((rate, Figure("rss_draining", peak, "MiB", False, Goal(at_most=60))))


def _waiting(state: Path) -> int:
    """Records in the file."""
    connection = sqlite3.connect(state / "outbox.db")
    try:
        count = connection.execute("SELECT sum(last - (id & ?) + 1) FROM entry", (MAX_SEQUENCE,)).fetchone()[0]
        return int(count)
    finally:
        connection.close()


def _full(run: Run) -> Figure:
    """An agent without a hub, on an outbox of 1 GiB that a farm goes on filling: the most it holds in memory."""
    with run.folder() as folder:
        run.say("fill a gibibyte")
        finished(_fill(folder / "gateway", 1_000_000))
        size = _multiply(folder / "gateway", run.take(GIB, GIB // 16))
        run.say("agent on a full outbox")
        peak, settled = finished(_alone(folder))
    details = {"MiB": size / 2**20, "settled MiB": settled}
    return Figure("rss_full", peak, "MiB", False, Goal(at_most=60), details=details)


def _multiply(state: Path, size: int) -> int:
    """Copy the entries behind themselves until the file has `size` bytes: as if they had been committed again."""
    path = state / "outbox.db"
    connection = sqlite3.connect(path)
    with connection:
        (columns,) = zip(*((row[1],) for row in connection.execute("PRAGMA table_info(entry)")), strict=True)
        others = ", ".join(name for name in columns if name not in {"id", "last"})
        while path.stat().st_size < size and _page_bytes(connection) < size:
            low, last, end = connection.execute("SELECT min(id), max(last), max(id) FROM entry").fetchone()
            shift = last - (low & MAX_SEQUENCE) + 1
            room = (size - _page_bytes(connection)) / _page_bytes(connection)
            until = end if room >= 1 else low + int((end - low) * room) + 1000
            connection.execute(
                f"INSERT INTO entry (id, last, {others}) SELECT id + ?, last + ?, {others} FROM entry WHERE id <= ?",  # noqa: S608
                (shift, shift, until),
            )
        sums = "sum(last - (id & ?) + 1), sum(length(blob))"
        totals = f"UPDATE mark SET (data_records, data_bytes) = (SELECT {sums} FROM entry)"  # noqa: S608 - a constant
        connection.execute(totals, (MAX_SEQUENCE,))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path.stat().st_size


def _page_bytes(connection: sqlite3.Connection) -> int:
    pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return int(pages * size)


async def _alone(folder: Path) -> tuple[float, float]:
    """(most, settled) MiB of an agent whose hub does not answer."""
    with stand.running_farm(10, 10) as farm:
        (folder / "password").write_text("x")
        (folder / "password").chmod(0o600)
        nobody = stand.Hub(folder / "nobody", 0, 0, 1, 0)
        config = stand.write_gateway(folder, nobody, farm, 0.1)
        config.write_text(config.read_text().replace(str(nobody.gateway_password), str(folder / "password")))
        with stand.running_agent(folder, config) as agent:
            await asyncio.sleep(SETTLE_S)
            if agent.poll() is not None:
                raise RuntimeError((folder / "agent.log").read_text(errors="replace")[-500:])
            return peak_rss_mib(agent.pid), rss_mib(agent.pid)
