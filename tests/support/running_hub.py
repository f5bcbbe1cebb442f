"""A whole hub for tests: in this process, or as the program it is; and a gateway that is nothing but an MQTT client."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import httpx

from hub import credentials
from hub.environment import Role
from hub.main import serve
from hub.nats_server import executable, reload_users
from hub.settings import BrokerTable, HttpTable, Settings
from hub.state_folder import Running, StateFolder
from support.waiting import until

SETTINGS = Settings(http=HttpTable(port=0), broker=BrokerTable(mqtt_port=0, nats_port=0))
START_LIMIT_S = 20.0


@asynccontextmanager
async def hub_here(
    root: Path, environment: Mapping[str, str] | None = None, settings: Settings = SETTINGS, role: Role = Role.ALL
) -> AsyncIterator[Running]:
    """A hub in this event loop; stopped cleanly at the end."""
    stop, told = asyncio.Event(), asyncio.Queue[Running]()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(StateFolder(root), settings, environment or {}, stop, told.put_nowait, role))
        running = await asyncio.wait_for(told.get(), START_LIMIT_S)
        try:
            yield running
        finally:
            stop.set()


class HubProgram:
    """`kanmon-hub serve` as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, root: Path) -> None:
        self.process = process
        self.root = root
        self.said = json.loads((root / "running.json").read_text())

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.said['http']}", timeout=10)

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


async def start_program(root: Path, *ports: str) -> asyncio.subprocess.Process:
    """The process, not yet ready."""
    arguments = ports or ("--http-port", "0", "--mqtt-port", "0", "--nats-port", "0")
    program = Path(sys.executable).with_name("kanmon-hub")
    command = (str(program), "serve", "--state", str(root), *arguments)
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)


@asynccontextmanager
async def hub_program(root: Path, *ports: str) -> AsyncIterator[HubProgram]:
    """A hub process that is ready; killed at the end if it still runs."""
    process = await start_program(root, *ports)
    try:
        assert process.stderr is not None
        said = b""
        while b"ready" not in said:
            said = await asyncio.wait_for(process.stderr.readline(), START_LIMIT_S)
            assert said, "the hub ended before it was ready"
        yield HubProgram(process, root)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def credential(root: Path, gateway: str) -> str:
    """The password of `gateway`, made as `kanmon-hub gateway add` makes it."""
    state = StateFolder(root)
    state.make()
    ((path, _),) = credentials.add_gateways(state.credentials, [gateway])
    reload_users(state, executable({}))
    return path.read_text()


@asynccontextmanager
async def gateway_client(root: Path, gateway: str, mqtt_port: int) -> AsyncIterator[aiomqtt.Client]:
    """A connected MQTT client with the gateway's real credential; waits until the broker knows it."""
    password = credential(root, gateway)
    client: aiomqtt.Client | None = None

    async def connects() -> bool:
        nonlocal client
        client = aiomqtt.Client(
            "127.0.0.1", mqtt_port, username=gateway, password=password, protocol=aiomqtt.ProtocolVersion.V311
        )
        try:
            await client.__aenter__()
        except aiomqtt.MqttError:
            return False
        return True

    await until(connects, START_LIMIT_S)
    assert client is not None
    try:
        yield client
    finally:
        await client.__aexit__(None, None, None)
