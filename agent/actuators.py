"""Sirens and lamps at the gateway: Linux LED class devices, driven before and independently of the disk and the hub."""

import asyncio
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from contract.alert import Alert, Transition
from contract.ids import AlertId

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Led:
    """`path` is a folder of /sys/class/leds; its `brightness` is 1 while an alert of one of `rules` is active."""

    id: str
    path: Path
    rules: frozenset[str]


class Actuators:
    """Knows which alerts are active and keeps every actuator as they ask."""

    def __init__(self, leds: Iterable[Led]) -> None:
        self._leds = tuple(leds)
        self._active: dict[AlertId, str] = {}
        self._changed = asyncio.Event()
        self._broken: set[str] = set()

    def act(self, alert: Alert) -> None:
        """Take an alert event; never waits."""
        if alert.transition is Transition.CLEARED:
            self._active.pop(alert.id, None)
        else:
            self._active[alert.id] = alert.rule
        self._changed.set()

    async def run(self) -> None:
        """Drive the actuators whenever something changed, and once at the start."""
        loop = asyncio.get_running_loop()
        # The loop's own threads look names up as well: with the network down all of them may wait for a name server.
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="actuators") as thread:
            while True:
                ringing = frozenset(self._active.values())
                for led in self._leds:
                    await loop.run_in_executor(thread, self._set, led, not ringing.isdisjoint(led.rules))
                await self._changed.wait()
                self._changed.clear()

    def _set(self, led: Led, is_on: bool) -> None:
        try:
            (led.path / "brightness").write_text("1" if is_on else "0")
            self._broken.discard(led.id)
        except OSError as error:
            if led.id not in self._broken:
                log.error("actuator %s: %s cannot be written: %s", led.id, led.path / "brightness", error.strerror)
            self._broken.add(led.id)
