"""Telling systemd how a service fares: READY, WATCHDOG, STOPPING over NOTIFY_SOCKET (sd_notify(3)).

Started without systemd it tells nobody. Nothing that goes wrong here ends the service.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping
from typing import Self

BEATS = 3
"""Words sent in the time after which systemd takes us for dead (sd_watchdog_enabled(3) advises two or more)."""
_log = logging.getLogger(__name__)


class Lifeline:
    """The line to the service manager. `watchdog_s` is its patience, None when it watches nobody."""

    def __init__(self, address: str | None, watchdog_s: float | None) -> None:
        self._address = address
        self._watchdog_s = watchdog_s
        self._is_told = False

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """The line that NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID name."""
        address = environment.get("NOTIFY_SOCKET", "")
        patience_us = environment.get("WATCHDOG_USEC", "")
        is_meant = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watchdog_s = int(patience_us) / 1e6 if is_meant and patience_us.isdecimal() and int(patience_us) else None
        # A name beginning with "@" lies in the abstract name space; any other kind of socket is not spoken.
        return cls(address if address[:1] in {"/", "@"} else None, watchdog_s)

    def ready(self, status: str) -> None:
        """The service answers; `status` is shown by `systemctl status`."""
        self._tell(f"READY=1\nSTATUS={status}")

    def stopping(self) -> None:
        """The service was told to end, and does."""
        self._tell("STOPPING=1")

    async def keep(self, gets_on: Callable[[], bool]) -> None:
        """Tell, as often as asked for, that we live: while this loop runs and `gets_on()` is true. Ends never."""
        if self._watchdog_s is None:
            await asyncio.Event().wait()
            return
        while True:
            if gets_on():
                self._tell("WATCHDOG=1")
            else:
                _log.warning("nothing gets on: the watchdog is not told that this lives")
            await asyncio.sleep(self._watchdog_s / BEATS)

    def _tell(self, text: str) -> None:
        if self._address is None:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
                line.setblocking(False)
                line.sendto(text.encode(), address)
        except OSError as error:
            if not self._is_told:
                _log.warning("the service manager cannot be told (%s)", error)
            self._is_told = True
