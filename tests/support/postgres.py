"""A real PostgreSQL server of the tests' own: Debian's programs, a folder of its own, a free port on loopback.

As root it runs as the user `postgres`, in a folder that this user may enter. Without the programs the tests skip and
say so; under CI they fail.
"""

import itertools
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.processes import free_ports

USER = "kanmon"
_OWNER = "postgres"
_LIMIT_S = 30.0
_FAST: Mapping[str, str] = {"fsync": "off", "shared_buffers": "64MB", "max_connections": "60"}
"""Enough against killed processes, which the kernel's cache outlives; a power cut is no matter of these tests."""


def programs() -> Path | None:
    """The folder of the newest PostgreSQL's programs; None when there is none of version 15 or newer."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    found = [path for path in found if path.parent.name.isdigit() and int(path.parent.name) >= 15]
    if found:
        return max(found, key=lambda path: int(path.parent.name))
    on_path = shutil.which("postgres")
    return Path(on_path).resolve().parent if on_path else None


class Postgres:
    """One server in `folder`, which must not exist yet; `url` names a database of it with user and password."""

    def __init__(self, bin_folder: Path, folder: Path, settings: Mapping[str, str] = _FAST) -> None:
        self.bin = bin_folder
        self.folder = folder
        (self.port,) = free_ports(1)
        self.password = secrets.token_urlsafe(12)
        self.settings = dict(settings)
        self.as_owner = {"user": _OWNER, "group": _OWNER, "extra_groups": []} if os.geteuid() == 0 else {}
        self._names = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """Make the cluster's files."""
        self.folder.mkdir(mode=0o700)
        secret = self.folder / "password"
        secret.write_text(self.password)
        if self.as_owner:
            for path in (self.folder, secret):
                shutil.chown(path, _OWNER, _OWNER)
        options = ["-U", USER, "-A", "scram-sha-256", "--pwfile", str(secret), "-E", "UTF8", "--locale=C", "-N"]
        self._run(["initdb", "-D", str(self.folder / "data"), *options])

    def start(self) -> None:
        """Start the server and wait until it answers; also after `kill`."""
        end = time.monotonic() + _LIMIT_S
        while True:
            self._spawn()
            while self.is_running():
                if self._answers():
                    return
                assert time.monotonic() < end, self.log()
                time.sleep(0.02)
            # Killed a moment ago: its children may still hold the shared memory, and it is refused once or twice.
            assert time.monotonic() < end, self.log()
            time.sleep(0.05)

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """Kill the server with kill -9, and all that it started."""
        process = self._process
        assert process is not None
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
        for child in map(int, children):
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.wait(_LIMIT_S)

    def stop(self) -> None:
        """Stop it without waiting for its clients."""
        if self.is_running():
            assert self._process is not None
            self._process.send_signal(signal.SIGINT)
            self._process.wait(_LIMIT_S)

    def new_database(self) -> str:
        """The URL of a database that was made just now."""
        name = f"kanmon_{next(self._names)}"
        self.run_sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, database: str) -> str:
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def run_sql(self, statement: str, database: str = "postgres") -> str:
        """What psql answers, without heads."""
        command = ["psql", "-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-d", self.url(database), "-c", statement]
        return self._run(command).strip()

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _spawn(self) -> None:
        settings = {"listen_addresses": "127.0.0.1", "port": str(self.port), **self.settings}
        settings["unix_socket_directories"] = str(self.folder)
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = [str(self.bin / "postgres"), "-D", str(self.folder / "data"), *options]
        with (self.folder / "log").open("ab") as log:
            # A session of its own: Ctrl-C ends the tests, which then end the server in order.
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True, **self.as_owner
            )

    def _answers(self) -> bool:
        command = [str(self.bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False, timeout=_LIMIT_S).returncode == 0

    def _run(self, command: list[str]) -> str:
        program = str(self.bin / command[0])
        done = subprocess.run(
            [program, *command[1:]],
            capture_output=True,
            text=True,
            check=False,
            timeout=_LIMIT_S,
            cwd=self.folder,
            **self.as_owner,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def running_postgres(settings: Mapping[str, str] | None = None) -> Iterator[Postgres]:
    """A server for as long as this lasts; `settings` go before those of the tests."""
    found = programs()
    if found is None:
        reason = "PostgreSQL 15 or newer is not installed. Debian: sudo apt install postgresql"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="kanmon-pg-", ignore_cleanup_errors=True) as folder:
        # pytest's own folders are closed to other users, and this one is made closed, too.
        Path(folder).chmod(0o711)
        server = Postgres(found, Path(folder) / "server", {**_FAST, **(settings or {})})
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for the whole run. A test that stops or kills it starts one of its own with `running_postgres`."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def database_url(postgres: Postgres) -> str:
    """The URL of a fresh, empty database, with user and password in it."""
    return postgres.new_database()
