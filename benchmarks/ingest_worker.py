"""One ingest worker's commits into the hub's store, without a broker, as a process of its own.

    python -m benchmarks.ingest_worker FOLDER NUMBER WORKERS TRANSACTIONS MESSAGES READINGS

The store is that of FOLDER, or the database that KANMON_DATABASE_URL names. Each transaction holds MESSAGES messages of
READINGS readings; the workers deal the messages of eight gateways among them. Says "ready" once all is decoded, begins
at a line on standard input, and says what it took as JSON.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.filling import polls
from cloud_sync.blob import encode
from cloud_sync.envelope import Part, encode_envelope
from contract.ids import Epoch
from contract.record import Range, Stream
from hub import arrival
from hub.arrival import Arrival
from hub.store.store import FILE_NAME, Store

GATEWAYS = 8
REGISTERS = 100
VARIANTS = 20
EPOCH = Epoch("0123456789abcdef")


def payload(number: int, readings: int) -> tuple[str, bytes]:
    """(subject, payload) of message `number` of all: the numbers of one gateway's messages follow each other."""
    gateway, turn = number % GATEWAYS, number // GATEWAYS
    first = turn * readings + 1
    # Each message is of a later second, so that its rows are new ones of known series, as in life.
    records = polls(max(1, readings // REGISTERS), min(REGISTERS, readings), turn)
    part = Part(Range(EPOCH, Stream.DATA, first, first + readings - 1), None, encode(records))
    return f"kanmon.bench-{gateway}.up.{Stream.DATA}", encode_envelope([part])


def transactions(number: int, workers: int, count: int, messages: int, readings: int) -> list[list[tuple[str, bytes]]]:
    """What worker `number` commits."""
    own = range(number, count * workers, workers)
    return [[payload(one * messages + index, readings) for index in range(messages)] for one in own]


def decoded(messages: Sequence[tuple[str, bytes]]) -> list[Arrival]:
    """The messages as ingest hands them to the store."""
    at = datetime.now(UTC)
    return [arrival.read(subject, data, at) for subject, data in messages]


async def run(folder: Path, number: int, workers: int, count: int, messages: int, readings: int) -> None:
    """Commit all, once told to begin."""
    own = folder / f"worker-{number}"
    own.mkdir()
    async with Store(own / FILE_NAME, os.environ.get("KANMON_DATABASE_URL")) as store:
        todo = transactions(number, workers, count, messages, readings)
        began = time.process_time()
        arrivals = [decoded(one) for one in todo]
        decoding_s = time.process_time() - began
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        start, cpu = time.perf_counter(), time.process_time()
        receipted = 0
        for one in arrivals:
            outcome = await store.commit(one)
            receipted += sum(r.last - r.first + 1 for ranges in outcome.receipts.values() for r in ranges)
        said = {
            "seconds": time.perf_counter() - start,
            "cpu_s": time.process_time() - cpu,
            "decoding_cpu_s": decoding_s,
            "readings": receipted,
        }
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    place, *numbers = sys.argv[1:]
    asyncio.run(run(Path(place), *map(int, numbers)))
