"""A GNSS receiver on a serial line: one burst of sentences a period while somebody reads, with faults to order."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from functools import partial
from random import Random

from firmware_sim import nmea
from firmware_sim.fault_plan import FaultPlan
from firmware_sim.nmea import Fix
from firmware_sim.pty_line import PtyLine

_GARBAGE_BYTES = 64


class GnssFault(StrEnum):
    """What spoils one burst. Only GARBAGE and ROLLOVER leave a position that a reader can and must believe."""

    GARBAGE = "garbage"
    """Line noise before the burst, which itself is whole."""
    CUT = "cut"
    """Each sentence ends in the middle."""
    CHECKSUM = "checksum"
    """Each sentence with a checksum that is not its own."""
    ROLLOVER = "rollover"
    """The date is 1024 weeks back; position and time of day are right."""
    NO_FIX = "no_fix"
    """Whole sentences of a receiver that sees no satellites."""


class GnssReceiver:
    """Says where it is. `emitted` is told the position of each burst that reached an open reader whole.

    `fix` gives the receiver's state at a time; `random` is for the noise of faults.
    """

    def __init__(
        self,
        line: PtyLine,
        fix: Callable[[datetime], Fix],
        *,
        now: Callable[[], datetime],
        emitted: Callable[[Mapping[str, float]], None],
        random: Random,
        faults: FaultPlan[GnssFault] | None = None,
    ) -> None:
        self._line, self._fix, self._now = line, fix, now
        self._emitted, self._random = emitted, random
        self.faults: FaultPlan[GnssFault] = faults or FaultPlan()
        self._knows_reader = False
        self._is_quiet = False

    def stop_emitting(self) -> None:
        """From now on the line stays silent, and open."""
        self._is_quiet = True

    async def run(self, period_s: float = 0.5, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Say one burst each `period_s`, without end; late turns are left out, not made up for."""
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            self.say()
            due = max(due + period_s, clock())
            await sleep(due - clock())

    def say(self) -> bool:
        """Say where we are now; False when there is no reader, or it has left no room for long.

        A reader that has just opened the port may still be throwing away what it finds there: it gets the next burst.
        """
        self._line.push()
        knew_reader, self._knows_reader = self._knows_reader, self._line.has_reader
        if self._is_quiet or not (knew_reader and self._knows_reader):
            return False
        fault = self.faults.take()
        fix = self._fix(self._now())
        handed = partial(self._emitted, nmea.said(fix))
        match fault:
            case None:
                data = b"".join(nmea.burst(fix))
            case GnssFault.GARBAGE:
                data = self._noise() + b"".join(nmea.burst(fix))
            case GnssFault.ROLLOVER:
                data = b"".join(nmea.burst(replace(fix, at=nmea.rolled_over(fix.at))))
            case _:
                return self._line.offer(_spoilt(fix, fault), _say_nothing)
        return self._line.offer(data, handed)

    def _noise(self) -> bytes:
        """Bytes that start no sentence; they end a line, so that none of the burst belongs to them."""
        noise = self._random.randbytes(_GARBAGE_BYTES)
        return noise.translate(None, b"$!") + b"\r\n"


def _spoilt(fix: Fix, fault: GnssFault) -> bytes:
    if fault is GnssFault.NO_FIX:
        return b"".join(nmea.burst(replace(fix, is_valid=False)))
    if fault is GnssFault.CUT:
        return b"".join(sentence[: len(sentence) // 2] for sentence in nmea.burst(fix))
    wrong = ((sentence, nmea.checksum(sentence[1:-5]) ^ 0x55) for sentence in nmea.burst(fix))
    return b"".join(sentence[:-4] + b"%02X\r\n" % value for sentence, value in wrong)


def _say_nothing() -> None:
    """A spoilt burst said no position."""
