"""A process that offers the outbox 5,000 readings/s through the committer, linger 0, and says how long each waits.

Run with the folder and the seconds; run under a slow fsync by `benchmarks.outbox`. Says JSON on standard output.
"""

import asyncio
import itertools
import json
import os
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from agent.commit import Committer
from benchmarks.filling import AT, opened, polls
from contract.record import Stream

READINGS_PER_S = 5000
REGISTERS = 10
TURN_S = 0.01
"""Samples are offered in handfuls a hundred times a second, as fifty devices at 10 Hz would."""
WARM_UP = 0.1
PROBES = 20


def fsync_ms(folder: Path) -> float:
    """The median time of one fsync of a small write."""
    times = []
    with (folder / "probe").open("wb", buffering=0) as file:
        for _ in range(PROBES):
            file.write(bytes(4096))
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


@dataclass(slots=True)
class _Seen:
    """What became of the samples so far."""

    waits_ms: list[float] = field(default_factory=list)
    commits: int = 0

    def commit(self, _: object) -> None:
        self.commits += 1


async def offer(folder: Path, seconds: float) -> dict[str, float]:
    """How long the samples waited, and how many were taken of those offered once it had begun."""
    loop, seen = asyncio.get_running_loop(), _Seen()
    samples = itertools.cycle(polls(200, REGISTERS))
    async with opened(folder / "state") as outbox:
        committer = Committer(outbox, 0.0, lambda: AT)
        committer.before_write(seen.commit)

        async def add() -> None:
            since = loop.time()
            committer.add(Stream.DATA, None, next(samples))
            await committer.ticket().durable()
            seen.waits_ms.append((loop.time() - since) * 1000)

        runner = asyncio.create_task(committer.run())
        start, turns, early = loop.time(), round(seconds / TURN_S), (0, 0.0)
        async with asyncio.TaskGroup() as tasks:
            for turn in range(turns):
                await asyncio.sleep(start + turn * TURN_S - loop.time())
                for _ in range(round(READINGS_PER_S / REGISTERS * TURN_S)):
                    tasks.create_task(add())
                if turn == round(turns * WARM_UP):
                    early = len(seen.waits_ms), loop.time()
            taken, elapsed = len(seen.waits_ms) - early[0], loop.time() - early[1]
        runner.cancel()
        await asyncio.wait([runner])
    waits = sorted(seen.waits_ms[early[0] :])
    return {
        "rate": taken * REGISTERS / elapsed,
        "commits_per_s": seen.commits / seconds,
        "p50_ms": waits[len(waits) // 2],
        "p99_ms": waits[int(len(waits) * 0.99)],
        "worst_ms": waits[-1],
        "fsync_ms": fsync_ms(folder),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(offer(Path(sys.argv[1]), float(sys.argv[2])))))
