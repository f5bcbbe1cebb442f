"""Recordings played through the ports of simulated devices, in their own rhythm or faster, losing none of it.

Clock and sleep are handed in, so that a test plays ten hours in a moment. Reading the files is recordings' part.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from firmware_sim.beats import frames
from firmware_sim.pty_line import PtyLine
from firmware_sim.recordings import read_nmea, read_rr, read_station
from firmware_sim.river_station import Weather

WAIT_S = 0.1
"""How often a peer that is absent, or that does not read, is looked for."""
SETTLE_S = 0.5
"""A reader that has just opened a port throws away what it finds there."""


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` writes, notifications or rows."""

    done: int
    total: int


def _unseen(_progress: Progress) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a recording is played, and by which clock. `speed` 2 takes half the recording's time."""

    speed: float = 1.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def __post_init__(self) -> None:
        if not self.speed > 0:
            raise ValueError("speed must be above 0")


@dataclass(slots=True)
class _Beat:
    """The moment at which the recording stands; waiting for a peer moves it on."""

    pace: Pace
    due: float = field(init=False)

    def __post_init__(self) -> None:
        self.due = self.pace.clock()

    async def wait(self, pause_s: float) -> None:
        """Until `pause_s` of the recording after the moment waited for last; no error adds up."""
        self.due += pause_s / self.pace.speed
        await self.pace.sleep(max(0.0, self.due - self.pace.clock()))

    async def until(self, is_done: Callable[[], bool]) -> bool:
        """Until `is_done()`; true when it was so at once. The recording stands still meanwhile."""
        if is_done():
            return True
        while not is_done():
            await self.hold(WAIT_S)
        return False

    async def hold(self, pause_s: float) -> None:
        """Let `pause_s` pass in which the recording stands still."""
        await self.pace.sleep(pause_s)
        self.due = self.pace.clock()


async def replay_nmea(
    path: Path, line: PtyLine, *, pace: Pace | None = None, progress: Callable[[Progress], None] = _unseen
) -> None:
    """Send a log through a serial line, byte for byte, from the moment somebody reads it.

    A reader that is absent or slow is waited for. Misconfigured for a file that cannot be read.
    """
    writes = await asyncio.to_thread(read_nmea, path)
    beat = _Beat(pace or Pace())
    for done, write in enumerate(writes, start=1):
        await beat.wait(write.pause_s)
        await _hand_over(beat, line, write.data, is_new=done == 1)
        progress(Progress(done, len(writes)))
    await beat.until(line.push)


async def replay_rr(
    path: Path,
    notify: Callable[[int, Sequence[int]], bool],
    *,
    pace: Pace | None = None,
    progress: Callable[[Progress], None] = _unseen,
) -> None:
    """Send recorded RR intervals as notifications. `notify(bpm, rr_1024)` is false while nobody is subscribed.

    No beat is left out: a notification that nobody took is offered again. Misconfigured for a file that cannot be read.
    """
    recorded = tuple(frames(await asyncio.to_thread(read_rr, path)))
    beat = _Beat(pace or Pace())
    last_s = 0.0
    for done, frame in enumerate(recorded, start=1):
        await beat.wait(frame.at_s - last_s)
        last_s = frame.at_s
        await beat.until(partial(notify, frame.bpm, frame.rr_1024))
        progress(Progress(done, len(recorded)))


async def replay_modbus(
    path: Path,
    show: Callable[[Weather], None],
    is_polled: Callable[[], bool],
    *,
    pace: Pace | None = None,
    progress: Callable[[Progress], None] = _unseen,
) -> None:
    """Let a station measure what a CSV says, row after row, from the moment `is_polled()`.

    `show` sets what the station measures from now on. Misconfigured for a file that cannot be read.
    """
    rows = await asyncio.to_thread(read_station, path)
    show(rows[0].weather)
    beat = _Beat(pace or Pace())
    await beat.until(is_polled)
    last_s = 0.0
    for done, row in enumerate(rows, start=1):
        await beat.wait(row.at_s - last_s)
        last_s = row.at_s
        show(row.weather)
        progress(Progress(done, len(rows)))


async def _hand_over(beat: _Beat, line: PtyLine, data: bytes, *, is_new: bool) -> None:
    """Send `data` to the reader, waiting for one, and for room. `is_new`: the reader may just have opened the port."""
    while data:
        is_new |= not await beat.until(lambda: line.has_reader)
        if is_new:
            await beat.hold(SETTLE_S)
            is_new = False
        if line.offer(data, _nothing_to_count):
            return
        await beat.hold(WAIT_S)


def _nothing_to_count() -> None:
    """A replay keeps no ledger of what it said."""
