"""The gateway's wrong clock: libfaketime before the agent, steered by a file. Its monotonic clocks stay true."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from firmware_sim.chaos_kinds import Kind

LIBRARIES = "*/faketime/libfaketime.so.1"
"""Where Debian's package libfaketime puts it, below /usr/lib."""
DAY_S = 86_400
_AFTER_EPOCH_S = DAY_S
"""A clock without a battery begins at 1970-01-01 and runs; a day later no zone shows 1969."""


def library() -> Path | None:
    """The library to be loaded first, where it is installed."""
    return next(iter(sorted(Path("/usr/lib").glob(LIBRARIES))), None)


class WrongClock:
    """The clock of one agent, whatever process it is."""

    def __init__(self, library: Path, folder: Path) -> None:
        self._library = library
        self._file = folder / "clock-offset"
        self._set(0)

    @property
    def environment(self) -> Mapping[str, str]:
        """What the agent is to be started with."""
        return MappingProxyType(
            {
                "LD_PRELOAD": str(self._library),
                "FAKETIME_TIMESTAMP_FILE": str(self._file),
                "FAKETIME_NO_CACHE": "1",
                # CLOCK_BOOTTIME is left alone as well (0.9.10); a step of the clock changes neither.
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                # Its remedy for another fault ends every timed wait at once: threads that wait for Python's
                # interpreter lock then spin, which took half a core.
                "FAKETIME_FORCE_MONOTONIC_FIX": "0",
                # The stamps of files are told as they are: SQLite's and Python's own caches compare them.
                "NO_FAKE_STAT": "1",
            }
        )

    @contextmanager
    def stepped(self, kind: Kind) -> Iterator[None]:
        """The clock is wrong inside; two steps, there and back."""
        offsets_s = {Kind.CLOCK_AHEAD: DAY_S, Kind.CLOCK_BACK: -DAY_S}
        self._set(offsets_s.get(kind, _AFTER_EPOCH_S - int(time.time())))
        try:
            yield
        finally:
            self._set(0)

    def _set(self, offset_s: int) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{offset_s:+d}\n")
        fresh.replace(self._file)
