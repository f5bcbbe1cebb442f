"""Sirens and lamps at the gateway: Linux LED class devices, driven before and independently of the disk and the hub."""

import asyncio
import logging
from collections.abc import Iterable
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
        while True:
            ringing = frozenset(self._active.values())
            for led in self._leds:
                await asyncio.to_thread(self._set, led, not ringing.isdisjoint(led.rules))
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
