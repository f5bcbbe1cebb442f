"""The real hub and the real agent as processes on loopback, as an installer and an operator would start them."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from support.waiting import until

SCRIPTS = Path(sys.executable).parent
START_LIMIT_S = 30.0
STOP_LIMIT_S = 15.0


class Process:
    """One child with its output in a file; `kill` is kill -9."""

    def __init__(
        self, name: str, arguments: list[str], folder: Path, environment: dict[str, str] | None = None
    ) -> None:
        self.name = name
        self.arguments = [str(SCRIPTS / arguments[0]), *arguments[1:]]
        self.log = folder / f"{name}.log"
        self.environment = {**os.environ, **(environment or {})}
        self._child: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self._child = await asyncio.create_subprocess_exec(
                *self.arguments, stdout=log, stderr=log, env=self.environment
            )

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    async def kill(self) -> None:
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        return await self._end(signal.SIGTERM)

    async def ended(self) -> int:
        """The exit code of a process that ends by itself."""
        assert self._child is not None
        async with asyncio.timeout(START_LIMIT_S):
            return await self._child.wait()

    async def _end(self, number: signal.Signals) -> int:
        assert self._child is not None
        if self._child.returncode is None:
            self._child.send_signal(number)
        async with asyncio.timeout(STOP_LIMIT_S):
            return await self._child.wait()


async def run_to_end(*command: str) -> int:
    """The exit code of a short command."""
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    async with asyncio.timeout(START_LIMIT_S):
        return await child.wait()


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago; all are held until the last is known."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


class Hub(Process):
    """`kanmon-hub serve` in one role, with its state in `folder`/`name`."""

    def __init__(
        self,
        folder: Path,
        name: str = "hub",
        role: str = "all",
        environment: dict[str, str] | None = None,
        settings: str | None = None,
    ) -> None:
        self.role = role
        self.state = folder / name
        self.http_port, self.mqtt_port, self.nats_port = free_ports(3)
        ports = ["--http-port", self.http_port, "--mqtt-port", self.mqtt_port, "--nats-port", self.nats_port]
        arguments = ["kanmon-hub", "serve", "--role", role, "--state", str(self.state), *map(str, ports)]
        if settings is not None:
            file = folder / f"{name}.toml"
            file.write_text(settings)
            arguments += ["--config", str(file)]
        super().__init__(name, arguments, folder, environment)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def broker_environment(self) -> dict[str, str]:
        """What makes another hub process use this one's broker."""
        return {
            "KANMON_NATS_URL": f"nats://127.0.0.1:{self.nats_port}",
            "KANMON_NATS_USER": "hub",
            "KANMON_NATS_PASSWORD_FILE": str(self.state / "credentials" / "hub.password"),
        }

    async def start(self) -> None:
        await super().start()
        await until(self.answers, START_LIMIT_S)

    async def answers(self) -> bool:
        if self.role == "ingest":
            return self.is_announced()
        try:
            async with httpx.AsyncClient() as client:
                return (await client.get(f"{self.url}/api/v1/health")).status_code == 200
        except httpx.HTTPError:
            return False

    def is_announced(self) -> bool:
        """The process that runs now has said that it is ready."""
        try:
            return json.loads((self.state / "running.json").read_text())["pid"] == self.pid
        except OSError:
            return False

    async def add_gateway(self, gateway: str) -> Path:
        """The password file of a new gateway."""
        assert await run_to_end(str(SCRIPTS / "kanmon-hub"), "gateway", "add", gateway, "--state", str(self.state)) == 0
        return self.state / "credentials" / f"{gateway}.password"

    async def items(self, path: str, **query: object) -> list[dict]:
        """Every item of a list, page after page."""
        items, cursor = [], None
        async with httpx.AsyncClient() as client:
            while True:
                page = {**query, **({"cursor": cursor} if cursor else {})}
                answer = (await client.get(f"{self.url}{path}", params=page)).raise_for_status().json()
                items.extend(answer["items"])
                cursor = answer.get("next")
                if not cursor:
                    return items


class Gateway(Process):
    """`kanmon-agent run` with gateway.toml and state in `folder`; control over its socket."""

    def __init__(
        self, folder: Path, settings: str, environment: dict[str, str] | None = None, name: str = "agent"
    ) -> None:
        self.folder = folder
        self.state = folder / "gateway"
        self.settings = folder / "gateway.toml"
        self.settings.write_text(settings)
        arguments = ["kanmon-agent", "run", "--config", str(self.settings), "--state", str(self.state)]
        super().__init__(name, arguments, folder, environment)

    async def start(self) -> None:
        await super().start()
        await until(self.answers, START_LIMIT_S)

    async def answers(self) -> bool:
        try:
            return (await self.status())["pid"] == self.pid
        except OSError:
            return False

    async def ask(self, **request: object) -> dict:
        reader, writer = await asyncio.open_unix_connection(self.state / "control.sock", limit=2**22)
        writer.write(json.dumps(request).encode() + b"\n")
        answer = json.loads(await reader.readline())
        writer.close()
        return answer

    async def status(self) -> dict:
        return await self.ask(do="status")

    async def device(self, name: str) -> dict:
        return next(device for device in (await self.status())["devices"] if device["id"] == name)

    async def agree(self, person: str, purpose: str, on: bool = True) -> None:
        answer = await self.ask(do="consent.set", person=person, purpose=purpose, on=on)
        assert answer["ok"], answer

    async def drained(self) -> bool:
        waiting = (await self.status())["outbox"]
        return waiting["alert"] == 0 and waiting["data"] == 0


@contextlib.asynccontextmanager
async def running(*processes: Process) -> AsyncIterator[None]:
    """The processes in order, and an end of all of them."""
    try:
        for process in processes:
            await process.start()
        yield
    finally:
        for process in reversed(processes):
            if process._child is not None:
                await process.stop()


def bytes_below(*folders: Path) -> bytes:
    """Everything that rests in the files below `folders`."""
    found = []
    for path in (path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()):
        with contextlib.suppress(FileNotFoundError):  # a running broker removes files of its own
            found.append(path.read_bytes())
    return b"\n".join(found)
