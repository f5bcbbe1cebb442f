"""What is known of this gateway's boots: when each began, or between which known times it lies. One small file.

`boots.json` in the state folder says of each of the latest boots, in their order, which time it went by, which truth
it learnt first, and for how long it was seen alive. It holds no time of any resident.
"""

import asyncio
import itertools
import json
import logging
import os
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloud_sync.correction import Mover, mover, unsettled
from contract.boot import BOOT_PATTERN, BootId, BootTime, TimeBase, is_boot_id
from contract.errors import ProtocolError, StoreFull

FILE_NAME = "boots.json"
MAX_BOOTS = 256
"""A gateway that is switched on every morning knows its boots of the last eight months."""
BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")

log = logging.getLogger(__name__)


class _Boot(BaseModel):
    model_config = ConfigDict(extra="forbid")
    boot: str = Field(pattern=f"^{BOOT_PATTERN}$")
    zero_ms: int = Field(ge=-(2**53), le=2**53)
    """The moment of boot that its stamps rest on now."""
    learnt_ms: int | None = Field(default=None, ge=-(2**53), le=2**53)
    """The moment of boot as it was first learnt."""
    alive_ms: int = Field(ge=0, le=2**53)
    """It was seen this long after its beginning."""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    v: int = Field(ge=1, le=1)
    boots: list[_Boot]


@dataclass(frozen=True, slots=True)
class PresentBoot:
    """The boot that runs, as an earlier run of the agent left it."""

    zero_ms: int
    learnt_ms: int | None


def present_boot_id() -> BootId:
    """The kernel's name for its run; where it tells none, a name of this process."""
    try:
        text = BOOT_ID_FILE.read_text().strip().replace("-", "")
    except OSError:
        text = ""
    return BootId(text if is_boot_id(text) else secrets.token_hex(16))


class BootBook:
    """The boots of one gateway. `load` comes first; `note` says what is to be saved, `save` makes it durable."""

    def __init__(self, path: Path, boot: BootId) -> None:
        self._path = path
        self.boot = boot
        self._boots: list[_Boot] = []
        self._learnt = asyncio.Event()

    def load(self) -> PresentBoot | None:
        """Read the file; what is known of the present boot. A file that does not read is set aside, and said so."""
        try:
            self._boots = _File.model_validate_json(self._path.read_bytes()).boots
        except FileNotFoundError:
            return None
        except (ValidationError, OSError):
            self._set_aside()
            return None
        present = next((boot for boot in self._boots if boot.boot == self.boot), None)
        if present is None:
            return None
        # By its place in the file it is known what lies before and after a boot: the present one is the last.
        self._boots = [*(boot for boot in self._boots if boot is not present), present]
        return PresentBoot(present.zero_ms, present.learnt_ms)

    def floor_ms(self) -> int:
        """The latest time known from before the present boot; with none known, what was lived through so far."""
        known_ms = 0
        for boot in self._earlier():
            known_ms = _lived(boot, known_ms)
        return known_ms

    def note(self, zero_ms: int, learnt_ms: int | None, alive_ms: int) -> None:
        """The present boot as it is now; `times` answers by it at once, `save` makes it durable."""
        present = _Boot(boot=self.boot, zero_ms=zero_ms, learnt_ms=learnt_ms, alive_ms=alive_ms)
        self._boots = [*self._earlier(), present][-MAX_BOOTS:]

    def let_go(self) -> None:
        """The present boot's time is known and acts: what waited for it goes on."""
        self._learnt.set()

    async def learnt(self) -> None:
        """Return once the present boot's time is known; at once when it is."""
        await self._learnt.wait()

    def times(self, boots: Collection[BootId]) -> tuple[BootTime, ...] | None:
        """What is known of each of `boots`. None: the present boot is among them and its time is not known yet."""
        if self.boot in boots and not self._learnt.is_set():
            return None
        known = self._known()
        return tuple(known.get(boot, BootTime(boot, None)) for boot in boots)

    def settle(self, base: TimeBase | None) -> Mover:
        """What puts a time right that an earlier run wrote down: as the present run sees the times of that boot.

        Of a boot that never learnt the time it is the earliest that it can have been.
        """
        if base is None:
            return unsettled(base)
        present = self._boots[-1] if self._boots else None
        if present is not None and base.boot == present.boot == self.boot:
            time = BootTime(base.boot, present.zero_ms)
        else:
            time = self._known().get(base.boot, BootTime(base.boot, None))
        try:
            return mover(base, time)
        except ProtocolError:  # a damaged mark must not keep the gateway from starting
            return unsettled(base)

    async def save(self) -> None:
        """Make what was noted durable: all of it or nothing. StoreFull when the disk does not take it."""
        content = _File(v=1, boots=self._boots).model_dump()
        await asyncio.to_thread(self._write, json.dumps(content, separators=(",", ":")).encode())

    def _earlier(self) -> list[_Boot]:
        return [boot for boot in self._boots if boot.boot != self.boot]

    def _known(self) -> dict[BootId, BootTime]:
        after: dict[str, int | None] = {}
        known_ms: int | None = None
        for boot in self._boots:
            after[boot.boot] = known_ms
            if boot.learnt_ms is not None or known_ms is not None:
                known_ms = _lived(boot, known_ms or 0)
        known: dict[BootId, BootTime] = {}
        next_ms: int | None = None
        for boot in reversed(self._boots):
            id_ = BootId(boot.boot)
            if boot.learnt_ms is not None:
                known[id_], next_ms = BootTime(id_, boot.learnt_ms), boot.learnt_ms
                continue
            known[id_] = BootTime(id_, None, after[boot.boot], next_ms)
            next_ms = None if next_ms is None else next_ms - boot.alive_ms
        return known

    def _write(self, content: bytes) -> None:
        fresh = self._path.with_suffix(".new")
        try:
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise StoreFull(f"{self._path.name}: {error.strerror}") from error

    def _set_aside(self) -> None:
        names = (self._path.with_name(f"{self._path.name}.damaged-{number}") for number in itertools.count(1))
        aside = next(path for path in names if not path.exists())
        try:
            self._path.replace(aside)
        except OSError as error:
            log.error("%s cannot be read: %s; times of earlier boots stay", self._path.name, error.strerror)
            return
        log.error("%s is damaged and was set aside as %s; times of earlier boots stay", self._path.name, aside.name)


def _lived(boot: _Boot, known_ms: int) -> int:
    """The latest time known after `boot`, of which `known_ms` was known before it."""
    return max(known_ms, boot.zero_ms + boot.alive_ms) if boot.learnt_ms is not None else known_ms + boot.alive_ms
