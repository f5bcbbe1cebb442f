"""Keeps clock, boot book and all that remembers times in step, from the agent's start to its end."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Self

from agent.boots import BootBook
from agent.clock import Clock, Step, StepKind, System
from cloud_sync.correction import Mover, mover
from contract.boot import BootTime, TimeBase
from contract.errors import StoreFull

LOOK_S = 1.0
ALIVE_MS = 600_000
"""How often it is written that the boot still lasts: one page a time, for bounds that are no wider than this."""

log = logging.getLogger(__name__)


class Timekeeper:
    """Keeper of `clock`. `begin` comes before the first stamp, `run` from then on."""

    def __init__(self, clock: Clock, boots: BootBook, *, is_first_run: bool) -> None:
        self.clock = clock
        self._boots = boots
        self._is_first_run = is_first_run
        self._endings: Sequence[Callable[[], None]] = ()
        self._memories: Sequence[Callable[[Mover], None]] = ()
        self._hub_spoke = asyncio.Event()
        self._saved_at_ms = 0
        self._is_failing = self._is_doubting = False

    @classmethod
    def start(cls, system: System, boots: BootBook) -> Self:
        """Take up what `boots` knows of the present boot, and what the kernel knows of the time."""
        present = boots.load()
        held_ms, learnt_ms = (present.zero_ms, present.learnt_ms) if present else (None, None)
        clock = Clock(system, boots.boot, held_ms=held_ms, learnt_ms=learnt_ms, floor_ms=boots.floor_ms())
        if clock.learnt_ms is None and (step := clock.look()):
            clock.take(step)
            log.info("clock: set by the %s", step.witness)
        boots.note(clock.zero_ms, clock.learnt_ms, clock.uptime_ms)
        return cls(clock, boots, is_first_run=present is None)

    async def begin(self, known: Iterable[datetime]) -> None:
        """`known`: times from earlier runs, above which all that is stamped in this boot is to lie."""
        latest = max(known, default=None)
        if latest is not None and self._is_first_run:
            self.clock.not_before(latest)
        await self._keep(self.clock.zero_ms, self.clock.learnt_ms)
        if self.clock.learnt_ms is not None:
            self._boots.let_go()

    def before_learning(self, *endings: Callable[[], None]) -> None:
        """Called last of all under a time that is about to be given up: what can only be told by it is told now."""
        self._endings = endings

    def after_learning(self, *memories: Callable[[Mover], None]) -> None:
        """Called first of all under the time that was learnt, with what puts a time of before right."""
        self._memories = memories

    def hub_time(self, at: datetime) -> None:
        """The hub said just now that it is `at`."""
        self.clock.hub_time(at)
        if self.clock.learnt_ms is None:
            self._hub_spoke.set()

    async def run(self) -> None:
        """Look at the witnesses every second, and as soon as the hub has spoken for the first time."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._hub_spoke.wait()
            self._hub_spoke.clear()
            await self.look()

    async def look(self) -> None:
        """Do what the witnesses ask for. Written first: a run after this one goes on from there."""
        clock = self.clock
        step = clock.look()
        self._say_doubt()
        if step is None:
            if clock.uptime_ms - self._saved_at_ms >= ALIVE_MS or self._is_failing:
                await self._keep(clock.zero_ms, clock.learnt_ms)
            return
        is_slew = step.kind is StepKind.SLEW
        zero_ms = max(step.zero_ms, clock.zero_ms) if is_slew else step.zero_ms
        await self._keep(zero_ms, step.zero_ms if clock.learnt_ms is None else clock.learnt_ms)
        if is_slew:
            clock.take(step)
        else:
            self._change(step)

    async def end(self) -> None:
        """Write until when the boot was seen alive."""
        await self._keep(self.clock.zero_ms, self.clock.learnt_ms)

    def _change(self, step: Step) -> None:
        base = self.clock.base() or TimeBase(self._boots.boot, self.clock.zero_ms)
        for ending in self._endings:
            ending()
        self.clock.take(step)
        moved = mover(base, BootTime(base.boot, step.zero_ms))
        for redate in self._memories:
            redate(moved)
        self._boots.let_go()
        by_s = (step.zero_ms - base.zero_ms) / 1000
        log.info("clock: set by the %s; it was wrong by %.1f s", step.witness, by_s)

    async def _keep(self, zero_ms: int, learnt_ms: int | None) -> None:
        self._boots.note(zero_ms, learnt_ms, self.clock.uptime_ms)
        try:
            await self._boots.save()
        except StoreFull as error:
            if not self._is_failing:
                log.error("clock: what is known of this boot cannot be written: %s", error)
            self._is_failing = True
        else:
            self._is_failing, self._saved_at_ms = False, self.clock.uptime_ms

    def _say_doubt(self) -> None:
        doubt_ms = self.clock.doubt_ms
        if doubt_ms and not self._is_doubting:
            log.warning(
                "clock: the kernel claims a time that is off by %.0f s; the hub has to confirm it", doubt_ms / 1e3
            )
        self._is_doubting = bool(doubt_ms)
