"""One task a device: samples into the pipeline, losses said once, faults counted. Nothing ends the process."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

from agent.pipeline import Pipeline
from cloud_sync.backoff import Backoff
from cloud_sync.correction import Mover
from contract.device import Description, LinkState
from contract.errors import Misconfigured, ProtocolError, StoreFull
from contract.ids import DeviceId
from contract.sample import Stamp
from drivers.base import Context, Driver
from drivers.reconnecting import samples

FAULT_LOG_EVERY_S = 60.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class DeviceHealth:
    """What the gateway last saw of a device. `reason` says why the link is not up."""

    device: DeviceId
    kind: str
    state: LinkState
    since: datetime
    reason: str = ""
    last_sample_at: datetime | None = None
    samples: int = 0
    faults: int = 0
    description: Description = field(default_factory=Description)

    def redate(self, moved: Mover) -> None:
        """The clock was set: put right what was seen before."""
        self.since = moved(self.since)
        self.last_sample_at = moved(self.last_sample_at) if self.last_sample_at else None


class DeviceTask:
    """Runs one device for as long as the agent runs."""

    def __init__(
        self,
        health: DeviceHealth,
        open_driver: Callable[[Context], Driver],
        pipeline: Pipeline,
        stamp: Callable[[], Stamp],
        backoff: Backoff,
    ) -> None:
        self.health = health
        self._open_driver = open_driver
        self._pipeline = pipeline
        self._stamp = stamp
        self._backoff = backoff
        self._context = Context(health.device, stamp, self._on_fault, self._on_description, self._on_loss)
        self._fault_logged_at_s = float("-inf")

    async def run(self, random: Random) -> None:
        """Serve the device. A fault in its driver costs this device a restart, the others nothing."""
        attempt = 0
        while True:
            samples_before = self.health.samples
            try:
                await self._serve(random)
            except Misconfigured as error:
                # Tried again all the same: a device that is starting up refuses what it will answer later.
                self._on_state(LinkState.LOST, str(error))
            except Exception:
                log.exception("device %s: its driver failed and is started again", self.health.device)
                self._on_state(LinkState.LOST, "the driver failed")
            attempt = 1 if self.health.samples > samples_before else attempt + 1
            await asyncio.sleep(self._backoff.delay_s(attempt, random))

    async def _serve(self, random: Random) -> None:
        stream = samples(lambda: self._open_driver(self._context), self._backoff, random, self._on_state)
        async with aclosing(stream):
            async for sample in stream:
                self.health.samples += 1
                self.health.last_sample_at = sample.stamp.at
                try:
                    self._pipeline.accept(sample)
                except StoreFull:
                    continue  # the pipeline declares the gap, the committer has said why
                await self._pipeline.keep_pace()

    def _on_state(self, state: LinkState, reason: str) -> None:
        at, is_lost = self._stamp().at, self.health.state is LinkState.LOST
        if is_lost and (state is LinkState.CONNECTING or reason == self.health.reason):
            return  # a try that fails like the one before, and its beginning, are no news
        if state is LinkState.LOST:
            log.warning("device %s: lost: %s", self.health.device, reason)
        elif state is LinkState.UP and is_lost:
            log.info("device %s: back", self.health.device)
        self.health.state, self.health.since, self.health.reason = state, at, reason
        self._pipeline.link(self.health.device, state, at)

    def _on_fault(self, error: ProtocolError) -> None:
        self.health.faults += 1
        now_s = self._stamp().uptime_s
        if now_s - self._fault_logged_at_s >= FAULT_LOG_EVERY_S:
            self._fault_logged_at_s = now_s
            log.warning("device %s: %s (%d faults so far)", self.health.device, error, self.health.faults)

    def _on_loss(self) -> None:
        self._pipeline.overloaded(self.health.device, self._stamp().at)

    def _on_description(self, description: Description) -> None:
        self.health.description = description
