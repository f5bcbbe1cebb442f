"""A PostgreSQL server of a bench's own: Debian's programs, files in a folder that goes, a port on loopback.

As root it runs as the user `postgres`, whom its folder lets in.
"""

import asyncio
import os
import pwd
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from contract.errors import Fault, Misconfigured
from firmware_sim.children import Command
from firmware_sim.ports import HOST

USER, DATABASE = "kanmon", "postgres"
OWNER = "postgres"
OLDEST = 15
_LIMIT_S = 60.0
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": HOST,
    # Killed processes are survived by the kernel's cache; a power cut is not among the faults.
    "fsync": "off",
    "shared_buffers": "32MB",
    "max_connections": "40",
}


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """The files of one server, and how it is started and reached."""

    programs: Path
    folder: Path
    port: int
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        """Its database, with user and password."""
        return f"postgresql://{USER}:{self.password}@{HOST}:{self.port}/{DATABASE}"

    @property
    def command(self) -> Command:
        """The server as a child."""
        settings = {**_SETTINGS, "port": str(self.port), "unix_socket_directories": str(self.folder)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return Command("postgres", (*_as_owner(), str(self.programs / "postgres"), "-D", str(self._data), *options))

    async def is_up(self) -> bool:
        """True when it takes connections."""
        words = ("-q", "-h", HOST, "-p", str(self.port))
        return await _run((str(self.programs / "pg_isready"), *words), self.folder) == 0

    async def make(self) -> None:
        """Make the files. Raises Misconfigured."""
        secret = self.folder / "password"
        secret.touch(0o600)
        secret.write_text(self.password)
        if os.geteuid() == 0:
            for path in (self.folder, secret):
                shutil.chown(path, OWNER, OWNER)
        options = ("-U", USER, "-A", "scram-sha-256", "--pwfile", str(secret), "-E", "UTF8", "--locale=C", "-N")
        words = (*_as_owner(), str(self.programs / "initdb"), "-D", str(self._data), *options)
        if await _run(words, self.folder) != 0:
            raise Misconfigured(Fault(str(self.programs), 0, "initdb failed", "Look whether the disk is full"))

    @property
    def _data(self) -> Path:
        return self.folder / "data"


@asynccontextmanager
async def postgres_files(port: int) -> AsyncIterator[PostgresServer]:
    """A server's files, which go at the end. Raises Misconfigured when PostgreSQL is not installed."""
    programs = _programs()
    # The state folder is closed to the user that the server runs as.
    with tempfile.TemporaryDirectory(prefix="kanmon-pg-", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(programs, Path(folder), port, secrets.token_urlsafe(12))
        await server.make()
        yield server


def _programs() -> Path:
    """The folder of the newest PostgreSQL's programs."""
    found = {int(path.parts[-3]): path.parent for path in Path("/usr/lib/postgresql").glob("[0-9][0-9]/bin/postgres")}
    newest = max(found, default=0)
    if newest < OLDEST:
        cause = f"PostgreSQL {OLDEST} or newer is not installed"
        raise Misconfigured(Fault("/usr/lib/postgresql", 0, cause, "Debian: sudo apt install postgresql"))
    return found[newest]


def _as_owner() -> tuple[str, ...]:
    """PostgreSQL does not run as root. The change of user would end the leash, so that it is put on again."""
    if os.geteuid() != 0:
        return ()
    owner = pwd.getpwnam(OWNER)
    ids = (f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups")
    return ("setpriv", *ids, "--pdeathsig", "KILL", "--")


async def _run(words: tuple[str, ...], folder: Path) -> int:
    silent = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*words, cwd=folder, stdin=silent, stdout=silent, stderr=silent)
    async with asyncio.timeout(_LIMIT_S):
        return await process.wait()
