"""What a gateway remembers of its outbox outside of it, for the day the file is lost: written rarely, read at a start.

It names things only. Nothing of persons stands in it.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent import outbox_sql
from agent.outbox_schema import span
from agent.outbox_sql import Stored
from agent.sqlite import Connection
from cloud_sync.tally import tally
from cloud_sync.uplink import Page, Stretch
from contract.errors import ProtocolError, Tampered
from contract.ids import DeviceId
from contract.record import Stream


@dataclass(frozen=True, slots=True)
class Seen:
    """How an outbox stood. Everything that waited or was added later is from `since_ms` (since 1970 UTC) or later."""

    commits: int
    """How many commits it had seen in its life."""
    since_ms: int
    things: Mapping[DeviceId, int]
    """When each thing last gave a sample, milliseconds since 1970 UTC."""


class Witness:
    """The file `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.seen: Seen | None = None
        """What was read or written last."""

    def read(self) -> Seen | None:
        """What was seen last; None when there is nothing, or nothing that reads."""
        self.seen = self._read()
        return self.seen

    def _read(self) -> Seen | None:
        try:
            said = json.loads(self._path.read_bytes())
            things = {DeviceId(str(device)): int(at_ms) for device, at_ms in said["things"].items()}
            return Seen(int(said["commits"]), int(said["since_ms"]), things)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write(self, seen: Seen) -> None:
        """Replace what was seen, in one step that survives a power cut; OSError when the disk does not take it."""
        fresh = self._path.with_name(f"{self._path.name}.new")
        said = {"commits": seen.commits, "since_ms": seen.since_ms, "things": seen.things}
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(said, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        self.seen = seen


def seen_now(connection: Connection, opened: Callable[[Stored], bytes], before: Seen | None, at_ms: int) -> Seen:
    """How the outbox stands. `opened` gives what an entry holds; `at_ms` is when it was last written to."""
    commits, said = connection.execute("SELECT commits, things FROM mark").fetchone()
    things = {DeviceId(device): at for device, at in json.loads(said).items()}
    since_ms = at_ms
    for stream in Stream:
        low, high = span(stream)
        for row in outbox_sql.page(connection, Stretch(low, high), Page(1, 1)):
            since_ms = min(since_ms, _start_ms(opened, row, before.since_ms if before else at_ms))
    return Seen(commits, since_ms, things)


def _start_ms(opened: Callable[[Stored], bytes], row: Stored, otherwise_ms: int) -> int:
    """When the first that an entry holds is from; `otherwise_ms` where times rest on no clock, or do not read."""
    try:
        plain = opened(row)
        base, spans = tally(plain) if plain else (None, {})
    except (ProtocolError, Tampered):
        return otherwise_ms
    return min((at.start_ms for at in spans.values()), default=otherwise_ms) if base is None else otherwise_ms
