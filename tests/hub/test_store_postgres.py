"""What PostgreSQL adds: several workers at once, a server that dies and comes back, weeks, a disk that is full."""

import asyncio
import errno
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from contract.consent import Purpose
from contract.errors import Misconfigured, StoreFull, Unreachable
from contract.ids import DeviceId
from contract.record import Measured
from contract.sample import ClockQuality, Flag, Reading
from hub.arrival import Arrival
from hub.store.postgres.partitions import WEEK_MS
from hub.store.store import Store, open_store
from support.postgres import Postgres, running_postgres
from support.stores import GATEWAY, NOW, RIVER, Place, level, levels, message, part, stored_levels
from support.waiting import until


@pytest.fixture
def place(tmp_path: Path, database_url: str) -> Place:
    return Place(tmp_path / "hub.sqlite", database_url)


@pytest.fixture
async def stores(place: Place) -> AsyncIterator[tuple[Store, Store]]:
    """The stores of two hub processes over one database."""
    async with place.open() as one, place.open() as other:
        yield one, other


def rows(url: str, statement: str) -> list[tuple]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


async def test_the_same_batch_committed_by_many_workers_at_once_is_stored_once(stores: tuple[Store, Store]) -> None:
    """Every worker may give its receipt, since each waited until the rows were committed by whomever."""
    batch = [message(levels(first, first + 9)) for first in range(1, 200, 10)]
    outcomes = await asyncio.gather(*(store.commit(batch) for store in stores * 4))
    assert sorted(outcome.records for outcome in outcomes) == [0] * 7 + [200]
    for outcome in outcomes:
        assert [range_[2:] for range_ in outcome.receipts[GATEWAY]] == [(n, n + 9) for n in range(1, 200, 10)]
    assert await stored_levels(stores[0], limit=1000) == [float(n) for n in range(1, 201)]


async def test_groups_that_overlap_in_any_order_are_stored_once_by_many_workers(stores: tuple[Store, Store]) -> None:
    """Workers take the same messages in opposite orders, cut differently: none of them waits for ever."""
    cuts = [
        [message(levels(first, min(first + width, 300))) for first in range(1, 301, width)] for width in (7, 11, 30)
    ]
    groups = [group[::step] for group in cuts for step in (1, -1)]
    outcomes = await asyncio.gather(*(stores[n % 2].commit(group) for n, group in enumerate(groups)))
    assert sum(outcome.records for outcome in outcomes) == 300
    assert await stored_levels(stores[0], limit=1000) == [float(n) for n in range(1, 301)]
    (latest,) = await stores[1].latest(RIVER)
    assert latest.value == 300.0


async def test_a_repeat_is_receipted_only_after_the_other_workers_commit(place: Place) -> None:
    """Nothing lost: when the first worker's transaction fails, the second has stored the numbers itself."""
    async with place.open() as store:
        await store.commit([message(levels(1, 1))])
        async with await psycopg.AsyncConnection.connect(place.url or "") as other:
            # Another hub's claim that is not committed yet.
            claim = "INSERT INTO seen SELECT int8range(id::int8 << 40 | 5, id::int8 << 40 | 8) FROM origin"
            await other.execute(claim)
            commit = asyncio.create_task(store.commit([message(levels(5, 7))]))
            done, _ = await asyncio.wait([commit], timeout=0.3)
            assert not done
            await other.rollback()
            assert (await commit).records == 3
            await other.execute(claim.replace("| 5", "| 15").replace("| 8", "| 18"))
            commit = asyncio.create_task(store.commit([message(levels(15, 17))]))
            done, _ = await asyncio.wait([commit], timeout=0.3)
            assert not done
            await other.commit()
            outcome = await commit
            assert (outcome.records, outcome.repeats) == (0, 1)


async def test_workers_write_in_lanes_of_their_own(stores: tuple[Store, Store], place: Place) -> None:
    """No worker waits for the row that another has just written: of each series and gateway there is one a lane."""
    for number, store in enumerate(stores):
        await store.commit([message(levels(number * 2 + 1, number * 2 + 2))])
    assert len(rows(place.url or "", "SELECT DISTINCT lane FROM latest_lane")) == 2
    assert len(await stores[0].gateways()) == 1
    (latest,) = await stores[0].latest()
    assert latest.value == 4.0


async def test_a_server_killed_in_the_middle_of_commits_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    """SIGKILL to PostgreSQL, three times: what was receipted is there, what is tried again is there once."""
    with running_postgres({"fsync": "on"}) as server:
        url = server.new_database()
        async with open_store(tmp_path / "hub.sqlite", url) as store:
            receipted: set[int] = set()
            stop = asyncio.Event()

            async def worker(offset: int) -> None:
                for first in range(1 + offset * 10, 20_000, 20):
                    group = [message(levels(first, first + 9))]
                    while True:
                        try:
                            await store.commit(group)
                        except (Unreachable, StoreFull):
                            await asyncio.sleep(0.02)
                            continue
                        break
                    receipted.update(range(first, first + 10))
                    if stop.is_set():
                        return

            async def killer() -> None:
                for _ in range(3):
                    before = len(receipted)
                    await until(lambda: len(receipted) >= before + 200, 30)  # noqa: B023  # awaited at once
                    await asyncio.to_thread(server.kill)
                    await asyncio.to_thread(server.start)
                before = len(receipted)
                await until(lambda: len(receipted) >= before + 100, 30)
                stop.set()

            async with asyncio.timeout(90):
                await asyncio.gather(worker(0), worker(1), killer())
            assert await stored_levels(store, limit=10_000) == sorted(map(float, receipted))


async def test_a_store_without_its_server_is_unreachable_and_works_when_it_is_back(tmp_path: Path) -> None:
    with running_postgres() as server:
        url = server.new_database()
        async with open_store(tmp_path / "hub.sqlite", url) as store:
            await store.commit([message(levels(1, 2))])
            await store.latest()
            server.stop()
            with pytest.raises(Unreachable):
                await store.commit([message(levels(3, 4))])
            with pytest.raises(Unreachable):
                await store.latest()
            with pytest.raises(Unreachable):
                async with open_store(tmp_path / "hub.sqlite", url):
                    pass
            server.start()
            await store.commit([message(levels(3, 4))])
            assert await stored_levels(store) == [1.0, 2.0, 3.0, 4.0]


async def test_a_connection_cut_while_idle_is_not_seen_by_a_reader(place: Place) -> None:
    async with place.open() as store:
        assert await store.latest() == ()
        rows(
            place.url or "", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'kan%'"
        )
        assert await store.latest() == ()


async def test_a_wrong_password_or_database_is_one_clear_sentence(tmp_path: Path, postgres: Postgres) -> None:
    wrong = postgres.url("postgres").replace(postgres.password, "hunter2")
    for url in (wrong, postgres.url("nowhere")):
        with pytest.raises(Misconfigured) as caught:
            async with open_store(tmp_path / "hub.sqlite", url):
                pass
        assert "hunter2" not in str(caught.value)
        assert postgres.password not in str(caught.value)


async def test_a_database_of_a_newer_program_is_left_alone(place: Place) -> None:
    async with place.open():
        pass
    rows(place.url or "", "INSERT INTO schema_version VALUES (99)")
    with pytest.raises(Misconfigured, match="version 99"):
        async with place.open():
            pass


async def test_two_programs_that_start_at_once_make_one_schema(place: Place) -> None:
    async def started() -> None:
        async with place.open() as store:
            await store.latest()

    await asyncio.gather(*(started() for _ in range(4)))


def sample(number: int, when: datetime) -> Measured:
    return Measured(RIVER, when, ClockQuality.SYNCHRONISED, (Reading("water_level", float(number), Flag.GOOD),))


def partitions(url: str) -> list[str]:
    statement = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'telemetry'::regclass ORDER BY 1"
    return [name for (name,) in rows(url, statement)]


async def test_weeks_get_partitions_and_wild_times_do_not(place: Place) -> None:
    """A gateway that believes it is 1970, or 2099, makes no table and is stored all the same."""
    times = [NOW, NOW - timedelta(days=7), datetime(1970, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)]
    async with place.open() as store:
        for number, when in enumerate(times, start=1):
            await store.commit([message(part(number, [sample(number, when)]))])
        week = int(NOW.timestamp() * 1000) // WEEK_MS
        assert partitions(place.url or "") == [
            "telemetry_stray",
            f"telemetry_w{week - 1}",
            f"telemetry_w{week}",
        ]
        assert await stored_levels(store, limit=1) == [3.0, 2.0, 1.0, 4.0]


async def test_a_week_that_comes_takes_its_rows_from_the_stray_ones(place: Place) -> None:
    """A gateway a month ahead is stored; a month later its rows lie where they belong."""
    ahead = NOW + timedelta(days=30)
    async with place.open() as store:
        await store.commit([message(part(1, [sample(1, ahead)]))])
        assert rows(place.url or "", "SELECT count(*) FROM telemetry_stray") == [(1,)]
        late = message(part(2, [sample(2, ahead + timedelta(seconds=1))]))
        await store.commit([Arrival(late.gateway, ahead, late.parts)])
        assert rows(place.url or "", "SELECT count(*) FROM telemetry_stray") == [(0,)]
        assert await stored_levels(store) == [1.0, 2.0]


async def test_tables_of_persons_have_no_column_that_leads_to_the_gateway(place: Place) -> None:
    said = Measured("p0123abcd", NOW, ClockQuality.SYNCHRONISED, (Reading("heart_rate", 71.0, Flag.GOOD),))
    async with place.open() as store:
        await store.commit([message(part(1, [said], Purpose.RESEARCH))])
    columns = rows(
        place.url or "",
        "SELECT DISTINCT column_name FROM information_schema.columns "
        "WHERE table_name IN ('released', 'released_series', 'aggregate')",
    )
    assert not {name for (name,) in columns} & {"gateway", "device", "epoch", "origin", "sequence", "stream"}
    assert rows(place.url or "", "SELECT count(*) FROM released") == [(1,)]


@contextmanager
def small_disk(server: Postgres, folder: Path) -> Iterator[str]:
    """A database on a disk of 24 MB of its own; skips where none can be mounted."""
    place = server.folder.parent / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size=24m,mode=700,uid={os.stat(server.folder).st_uid}", "none", str(place)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("no file system may be mounted here")
    try:
        server.run_sql(f"CREATE TABLESPACE small LOCATION '{place}'")
        server.run_sql("CREATE DATABASE small TABLESPACE small")
        yield server.url("small")
        server.stop()
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill(path: Path) -> None:
    """Write zeros to `path` until its disk takes no more."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC


async def test_a_full_disk_keeps_nothing_of_the_group_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with running_postgres() as server, small_disk(server, tmp_path) as url:
        async with open_store(tmp_path / "hub.sqlite", url) as store:
            await store.commit([message(levels(1, 1))])
            filler = server.folder.parent / "small" / "filler"
            fill(filler)
            many = [message(part(n, [level(m) for m in range(n, n + 500)])) for n in range(2, 20_000, 500)]
            with pytest.raises(StoreFull):
                await store.commit(many)
            assert await stored_levels(store, limit=10_000) == [1.0]
            filler.unlink()
            assert (await store.commit(many)).records == 20_000
            assert len((await store.readings(DeviceId(RIVER), limit=30_000)).items) == 20_001


async def test_claims_that_touch_are_merged_and_known_as_before(place: Place) -> None:
    """The repeat check stays small: one claim a part comes in, one a stretch is kept."""
    async with place.open() as store:
        for first in range(1, 100, 3):
            await store.commit([message(levels(first, first + 2))])
        await store.commit([message(levels(200, 205))])
        assert rows(place.url or "", "SELECT count(*) FROM seen") == [(34,)]
        while (await store.maintain(NOW)).more:
            continue
        assert rows(place.url or "", "SELECT count(*) FROM seen") == [(2,)]
        outcome = await store.commit([message(levels(1, 99)), message(levels(90, 110)), message(levels(199, 206))])
        assert (outcome.records, outcome.repeats) == (13, 1)


async def test_weeks_that_are_over_are_dropped_whole(place: Place) -> None:
    """Nothing is deleted row by row where a whole table can go; the week that comes is made ahead."""
    async with place.open() as store:
        await store.commit([message(levels(1, 10))])
        wild = Measured(RIVER, datetime(1970, 1, 1, tzinfo=UTC), ClockQuality.BOUNDED, (Reading("water_level", 0.5),))
        await store.commit([message(part(11, [wild]))])
        done = await store.maintain(NOW + timedelta(days=420))
        assert done.removed == 1  # the stray one
        week = int(NOW.timestamp() * 1000) // WEEK_MS
        assert partitions(place.url or "") == ["telemetry_stray", f"telemetry_w{week + 60}", f"telemetry_w{week + 61}"]
        assert await stored_levels(store) == []
        await store.commit([message(levels(12, 14))])
        assert await stored_levels(store) == [12.0, 13.0, 14.0]
