"""The hub's state folder: where each file lies, and that one hub at a time uses it."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from contract.errors import Fault, KanmonError, Misconfigured
from hub.environment import Role


class Occupied(KanmonError):
    """Another hub uses the state folder."""


@dataclass(frozen=True, slots=True)
class Running:
    """What `running.json` says of a hub that is ready. Port 0: it does not listen there."""

    pid: int
    http_port: int
    mqtt_port: int
    nats_port: int
    role: Role = Role.ALL


@dataclass(frozen=True, slots=True)
class StateFolder:
    """Paths in the folder; readable by the owner only."""

    root: Path

    @property
    def database(self) -> Path:
        """The store's SQLite file."""
        return self.root / "hub.sqlite"

    @property
    def credentials(self) -> Path:
        """One file a broker user."""
        return self.root / "credentials"

    @property
    def nats(self) -> Path:
        """What belongs to the nats-server child."""
        return self.root / "nats"

    @property
    def running(self) -> Path:
        """Written once the hub is ready, gone when it has ended cleanly."""
        return self.root / "running.json"

    def make(self) -> None:
        """Make the folders; Misconfigured when they cannot be written."""
        try:
            for folder in (self.root, self.credentials, self.nats):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                _check_writable(folder)
        except OSError as error:
            cause = f"the state folder cannot be written ({error.strerror})"
            fault = Fault(str(self.root), 0, cause, "Name a folder of this user with --state")
            raise Misconfigured(fault) from error

    @contextmanager
    def occupied(self) -> Iterator[None]:
        """Hold the folder for this process; Occupied when another hub holds it. The kernel lets go when we die."""
        with (self.root / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Occupied(f"another hub is running on the state folder {self.root}") from None
            self.running.unlink(missing_ok=True)
            try:
                yield
            finally:
                with suppress(OSError):
                    self.running.unlink(missing_ok=True)

    def announce(self, running: Running) -> None:
        """Write `running.json`."""
        ports = {"http": running.http_port, "mqtt": running.mqtt_port, "nats": running.nats_port}
        write_private(self.running, json.dumps({"pid": running.pid, "role": running.role, **ports}))


def write_private(path: Path, text: str) -> None:
    """Put `text` at `path` in one step, readable by the owner only: a reader sees the old file or the new one."""
    new = path.with_name(f".{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _check_writable(folder: Path) -> None:
    probe = folder / ".probe"
    probe.touch(mode=0o600)
    probe.unlink()
