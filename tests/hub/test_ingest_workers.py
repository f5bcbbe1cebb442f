"""Several workers on one consumer; what they do while the database or the broker is away."""

import asyncio
import json
import os
import shutil
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from cloud_sync import topics
from cloud_sync.envelope import MAJOR, MINOR
from contract.errors import Unreachable
from contract.record import Stream
from hub.arrival import Arrival
from hub.broker import CONSUMER, STREAM, Keeping, Upward, connected
from hub.environment import Access
from hub.ingest import Ingest
from hub.nats_server import executable
from hub.store.store import Store
from hub.store.writing import Outcome
from support.broker_bench import Bench, broker_bench
from support.gateway_traffic import GATEWAY, levels, receipts, stored
from support.running_hub import SETTINGS, gateway_client, hub_here
from support.waiting import until

LIMIT_S = 15.0


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with broker_bench(tmp_path / "broker") as bench:
        yield bench


@asynccontextmanager
async def ingest(
    bench: Bench, store: Store, workers: int = 1, keeping: Keeping | None = None, stuck_s: float = 45.0
) -> AsyncIterator[tuple[Ingest, Upward]]:
    """Workers of one process, as the hub's main puts them together."""
    access = Access((f"nats://127.0.0.1:{bench.ports.nats}",), "hub", bench.password)
    async with store, connected(access) as broker, broker.upward(keeping or Keeping()) as upward:
        await upward.ensure()
        consumer = Ingest(broker, upward, store, workers, lambda: datetime.now(UTC), Random(1), stuck_s)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(consumer.run())
            yield consumer, upward
            running.cancel()


async def values(store: Store) -> list[float]:
    rows, cursor = [], None
    while True:
        page = await store.readings("river-1", limit=10000, cursor=cursor)
        rows += [row.value for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return rows


async def test_several_workers_store_everything_once_in_order(bench: Bench, tmp_path: Path) -> None:
    """Whichever worker commits first: the store answers in order of sequence."""
    store = Store(tmp_path / "hub.sqlite")
    async with ingest(bench, store, workers=4):
        batches = [levels(first, 50) for first in range(1, 20001, 50)]
        await bench.send([*batches, *batches[::7]])
        await until(lambda: len(bench.receipted_numbers()) == 20000, 30)
        assert await values(store) == [float(n) for n in range(1, 20001)]
    info = await bench.jetstream.consumer_info(STREAM, CONSUMER)
    assert (info.num_redelivered, info.num_pending) == (0, 0)


class AwayStore(Store):
    """A store that is away until it is told to be back, as a database whose machine restarts."""

    is_away = True
    tries = 0

    async def commit(self, arrivals: list[Arrival]) -> Outcome:
        self.tries += 1
        if self.is_away:
            raise Unreachable("the database does not answer")
        return await super().commit(arrivals)


async def test_what_is_in_the_works_is_not_delivered_again_while_the_database_is_away(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Said once, nothing receipted, nothing piled up; with the database back all is stored."""
    store = AwayStore(tmp_path / "hub.sqlite")
    async with ingest(bench, store, workers=2, keeping=Keeping(ack_wait_s=0.6)) as (consumer, _):
        await bench.send([levels(first, 10) for first in range(1, 1001, 10)])
        start = asyncio.get_running_loop().time()
        await until(lambda: asyncio.get_running_loop().time() > start + 2.0 and store.tries > 4, LIMIT_S)
        info = await bench.jetstream.consumer_info(STREAM, CONSUMER)
        assert (info.num_redelivered, info.num_ack_pending) == (0, 100)
        assert bench.receipted == []
        assert consumer.gets_on()
        store.is_away = False
        await until(lambda: len(bench.receipted_numbers()) == 1000, LIMIT_S)
        assert await values(store) == [float(n) for n in range(1, 1001)]
    said = [record.getMessage() for record in caplog.records if record.name == "hub.ingest"]
    assert [text for text in said if "wait in the broker" in text] == said[:1]
    assert said[1:] == ["the hub's database can be written again"]


async def test_what_a_dead_process_had_in_hand_goes_to_the_next(bench: Bench, tmp_path: Path) -> None:
    """Nobody says any more that it is in the works, so it is delivered again."""
    keeping = Keeping(ack_wait_s=0.6)
    dead = AwayStore(tmp_path / "dead.sqlite")
    async with ingest(bench, dead, keeping=keeping):
        await bench.send([levels(1, 10)])
        await until(lambda: dead.tries > 0, LIMIT_S)
    store = Store(tmp_path / "hub.sqlite")
    async with ingest(bench, store, keeping=keeping):
        await until(lambda: len(bench.receipted_numbers()) == 10, LIMIT_S)
        assert await values(store) == [float(n) for n in range(1, 11)]


class HangingStore(Store):
    """A store whose commit never comes back."""

    async def commit(self, arrivals: list[Arrival]) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_worker_that_hangs_is_seen(bench: Bench, tmp_path: Path) -> None:
    """Then the watchdog is no longer told that the hub lives; an idle worker is well."""
    async with ingest(bench, HangingStore(tmp_path / "hub.sqlite"), stuck_s=0.2) as (consumer, _):
        assert consumer.gets_on()
        await bench.send([levels(1, 10)])
        await until(lambda: not consumer.gets_on())


@pytest.mark.parametrize("minor", [max(0, MINOR - 1), MINOR, MINOR + 1])
async def test_gateways_one_minor_version_away_are_understood(bench: Bench, tmp_path: Path, minor: int) -> None:
    """Members that a newer version adds are ignored, so that hub and gateways are updated in any order."""
    header, _, blobs = levels(1, 5).partition(b"\n")
    said = json.loads(header)
    said["v"] = [MAJOR, minor]
    if minor > MINOR:
        said["mood"] = {"new": [1, 2]}
        said["parts"][0]["colour"] = "new"
    store = Store(tmp_path / "hub.sqlite")
    async with ingest(bench, store):
        await bench.send([json.dumps(said).encode() + b"\n" + blobs])
        await until(lambda: bench.receipted_numbers() == {1, 2, 3, 4, 5}, LIMIT_S)
        assert len(await values(store)) == 5


async def test_another_major_version_is_quarantined_and_blocks_nothing(bench: Bench, tmp_path: Path) -> None:
    header, _, blobs = levels(1, 5).partition(b"\n")
    said = json.loads(header) | {"v": [MAJOR + 1, 0]}
    store = Store(tmp_path / "hub.sqlite")
    async with ingest(bench, store):
        await bench.send([json.dumps(said).encode() + b"\n" + blobs, levels(6, 5)])
        await until(lambda: bench.receipted_numbers() == {6, 7, 8, 9, 10}, LIMIT_S)
        assert await values(store) == [6.0, 7.0, 8.0, 9.0, 10.0]


async def test_a_stream_of_other_settings_is_brought_to_the_wanted_ones(bench: Bench, tmp_path: Path) -> None:
    for wanted in (2**20, 2**22, 2**19):
        async with ingest(bench, Store(tmp_path / "hub.sqlite"), keeping=Keeping(stream_bytes=wanted)):
            assert (await bench.jetstream.stream_info(STREAM)).config.max_bytes == wanted


@pytest.mark.parametrize("what", ["stream", "consumer"])
async def test_a_stream_or_consumer_that_is_gone_is_made_anew(bench: Bench, tmp_path: Path, what: str) -> None:
    """Without a restart, and without asking the server without pause."""
    store = Store(tmp_path / "hub.sqlite")
    async with ingest(bench, store, workers=3):
        await bench.send([levels(1, 10)])
        await until(lambda: len(bench.receipted_numbers()) == 10, LIMIT_S)
        if what == "stream":
            await bench.jetstream.delete_stream(STREAM)
        else:
            await bench.jetstream.delete_consumer(STREAM, CONSUMER)

        async def sent_again() -> bool:
            await bench.send([levels(11, 10)])
            return len(bench.receipted_numbers()) == 20

        await until(sent_again, LIMIT_S)
        assert await values(store) == [float(n) for n in range(1, 21)]


async def test_a_broker_that_lost_its_storage_takes_messages_again(tmp_path: Path) -> None:
    """The server's folder is wiped and the server killed: the hub that runs goes on with a new stream."""
    root = tmp_path / "state"
    async with hub_here(root) as hub:
        async with gateway_client(root, GATEWAY, hub.mqtt_port) as client:
            await client.subscribe(topics.down_filter(GATEWAY))
            await client.publish(topics.up(GATEWAY, Stream.DATA), levels(1, 3), qos=1)
            await receipts(client, 3)
        pid = int((root / "nats" / "nats.pid").read_text())
        os.kill(pid, signal.SIGSTOP)
        shutil.rmtree(root / "nats" / "store")
        os.kill(pid, signal.SIGKILL)
        await until(lambda: (root / "nats" / "nats.pid").read_text().strip() not in {"", str(pid)}, LIMIT_S)
        async with gateway_client(root, GATEWAY, hub.mqtt_port) as client:
            await client.subscribe(topics.down_filter(GATEWAY))
            async with asyncio.TaskGroup() as tasks:
                # What was published before the stream is there again is lost with a PUBACK: hence receipts.
                again = tasks.create_task(publish_for_ever(client))
                await receipts(client, 6)
                again.cancel()
        assert await stored(hub) == [float(n) for n in range(1, 7)]


async def publish_for_ever(client: object) -> None:
    while True:
        await client.publish(topics.up(GATEWAY, Stream.DATA), levels(4, 3), qos=1)
        await asyncio.sleep(0.2)


async def test_a_broker_that_dies_while_the_hub_starts_is_waited_for(tmp_path: Path) -> None:
    """It is started again, and the hub is ready without having been restarted itself."""
    program = tmp_path / "nats-server"
    mark = tmp_path / "failed-once"
    real = executable({})
    program.write_text(f'#!/bin/sh\n[ -e "{mark}" ] && exec "{real}" "$@"\ntouch "{mark}"\nexit 3\n')
    program.chmod(0o700)
    async with hub_here(tmp_path / "state", {"KANMON_NATS_SERVER": str(program)}) as hub:
        assert mark.exists()
        assert await stored(hub) == []


async def test_a_hub_told_to_stop_while_it_waits_for_its_broker_stops(tmp_path: Path) -> None:
    program = tmp_path / "nats-server"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o700)
    from hub.main import serve
    from hub.state_folder import StateFolder

    stop = asyncio.Event()
    environment = {"KANMON_NATS_SERVER": str(program)}
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
        hub = serve(StateFolder(tmp_path / "state"), SETTINGS, environment, stop, lambda _: pytest.fail("ready"))
        tasks.create_task(hub)
        await until((tmp_path / "state" / "nats" / "start.log").exists)
        stop.set()


async def test_a_stream_that_was_too_small_costs_nothing(bench: Bench, tmp_path: Path) -> None:
    """What fell out of it was never receipted, so it is sent again, and stored once."""
    keeping = Keeping(stream_bytes=2**16)
    store = AwayStore(tmp_path / "hub.sqlite")
    batches = {first: levels(first, 100) for first in range(1, 60001, 100)}
    async with ingest(bench, store, keeping=keeping):
        await bench.send(list(batches.values()))
        await until(lambda: store.tries > 0, LIMIT_S)
        store.is_away = False
        state = (await bench.jetstream.stream_info(STREAM)).state
        assert state.bytes <= 2**16
        assert sum(map(len, batches.values())) > 4 * 2**16

        async def all_receipted() -> bool:
            had = bench.receipted_numbers()
            await bench.send([payload for first, payload in batches.items() if first not in had][:50])
            await until(lambda: bench.receipted_numbers() > had or len(had) == 60000)
            return len(had) == 60000

        await until(all_receipted, 30)
        assert await values(store) == [float(n) for n in range(1, 60001)]


async def test_a_database_that_another_program_locks_is_waited_for(tmp_path: Path) -> None:
    root = tmp_path / "state"
    async with hub_here(root) as hub, gateway_client(root, GATEWAY, hub.mqtt_port) as client:
        await client.subscribe(topics.down_filter(GATEWAY))
        with closing(sqlite3.connect(root / "hub.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await client.publish(topics.up(GATEWAY, Stream.DATA), levels(1, 3), qos=1)
            with pytest.raises(TimeoutError):
                await receipts(client, 3, 1.0)
            other.execute("ROLLBACK")
        await receipts(client, 3)
        assert await stored(hub) == [1.0, 2.0, 3.0]
