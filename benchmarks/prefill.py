"""`python -m benchmarks.prefill`: fills a gateway's outbox with a past of things, or counts what a hub has of it.

For faults that last longer than anybody waits, such as a hub that is away for a day: the agent and the hub then run
as they are. One line of JSON on standard output at the end, one a percent on standard error.
"""

import argparse
import asyncio
import json
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from agent.group import Group, Lane
from benchmarks.filling import EPOCH, opened
from contract.record import Measured, Stream
from contract.sample import ClockQuality, Flag, Reading

DEVICES, REGISTERS = 5, 100
"""Polled once a second: 500 readings a second."""
SECONDS_A_COMMIT = 10
POOL = 50
"""So many different answers in turn: their making is no part of what is looked at."""


async def fill(state: Path, readings: int) -> None:
    """Commit `readings`, the newest of them stamped a minute ago; less than a second's worth is left out."""
    random = Random(1)  # noqa: S311 - a load, not a secret
    pool = [
        tuple(Reading("raw_value", random.randrange(65_536) / 10, Flag.GOOD) for _ in range(REGISTERS))
        for _ in range(POOL)
    ]
    seconds = readings // (DEVICES * REGISTERS)
    begin = datetime.now(UTC) - timedelta(seconds=seconds + 60)
    told = 0
    async with opened(state) as outbox:
        for start in range(0, seconds, SECONDS_A_COMMIT):
            records = [
                Measured(
                    f"farm-{device}",
                    begin + timedelta(seconds=second),
                    ClockQuality.SYNCHRONISED,
                    pool[(second * DEVICES + device) % POOL],
                )
                for second in range(start, min(start + SECONDS_A_COMMIT, seconds))
                for device in range(DEVICES)
            ]
            await outbox.commit(Group(records[0].at, {Lane(Stream.DATA): list(records)}, {}))
            if (percent := 100 * start // seconds) > told:
                told = percent
                print(percent, file=sys.stderr, flush=True)
    print(json.dumps({"readings": seconds * DEVICES * REGISTERS}))


def count(database: Path) -> None:
    """How many rows a hub's SQLite file has of what was filled, and their numbers: highest, and sum."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows, highest, total = connection.execute(
            "SELECT count(*), ifnull(max(sequence), 0), ifnull(sum(sequence), 0) FROM telemetry"
            " WHERE origin IN (SELECT id FROM origin WHERE epoch = ?)",
            (EPOCH,),
        ).fetchone()
    print(json.dumps({"rows": rows, "highest": highest, "sum": total}))


def main() -> None:
    """Fill or count, as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prefill", description=__doc__)
    parser.add_argument("--state", type=Path, help="state folder of the agent, which must not run")
    parser.add_argument("--readings", type=int, default=43_200_000, help="default: a day at 500 a second")
    parser.add_argument("--count", type=Path, metavar="FILE", help="the hub's hub.sqlite: count instead of filling")
    options = parser.parse_args()
    if options.count is not None:
        count(options.count)
    elif options.state is not None:
        asyncio.run(fill(options.state, options.readings))
    else:
        parser.error("name --state or --count")


if __name__ == "__main__":
    main()
