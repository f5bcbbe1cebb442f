"""The benches of the other set-ups: a hub on PostgreSQL, and a cluster of brokers with hubs by role."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from firmware_sim import nats_nodes, ports, repeater
from firmware_sim.chaos_bench import HUB_USER, Bench
from firmware_sim.chaos_kinds import Setup
from firmware_sim.children import Children, Command
from firmware_sim.demo import Options, run_short, script
from firmware_sim.nats_nodes import NODES, Node
from firmware_sim.patience import LOOK_EVERY_S, ChaosFailed
from firmware_sim.plan import GATEWAY
from firmware_sim.postgres_server import PostgresServer, postgres_files
from firmware_sim.repeater import Repeater

START_LIMIT_S = 60.0
WORKERS = ("ingest-1", "ingest-2")


@dataclass(frozen=True, slots=True)
class PostgresBench(Bench):
    """One hub whose store is a PostgreSQL server."""

    postgres: PostgresServer

    @property
    def servers(self) -> Sequence[str]:
        """The database."""
        return ("postgres",)

    @property
    def environment(self) -> Mapping[str, str]:
        """Where the database is."""
        return MappingProxyType({"KANMON_DATABASE_URL": self.postgres.url})

    async def prepare(self, keepers: asyncio.TaskGroup) -> None:
        """Start the database."""
        self.children.start(self.postgres.command, keepers)
        await _answers(self.postgres.is_up, "PostgreSQL")


@dataclass(frozen=True, slots=True)
class ClusterBench(PostgresBench):
    """Three broker nodes, one hub process that answers, two that ingest."""

    nodes: tuple[Node, ...]

    @property
    def mqtt_ports(self) -> Sequence[int]:
        """Of each node."""
        return tuple(node.mqtt for node in self.nodes)

    @property
    def workers(self) -> Sequence[str]:
        """Those that ingest."""
        return WORKERS

    @property
    def brokers(self) -> Sequence[str]:
        """The nodes."""
        return tuple(node.name for node in self.nodes)

    @property
    def servers(self) -> Sequence[str]:
        """The brokers, then the database."""
        return (*self.brokers, "postgres")

    @property
    def environment(self) -> Mapping[str, str]:
        """Where database and brokers are."""
        reach = {
            "KANMON_DATABASE_URL": self.postgres.url,
            "KANMON_NATS_URL": ",".join(node.url for node in self.nodes),
            "KANMON_NATS_USER": HUB_USER,
            "KANMON_NATS_PASSWORD_FILE": str(self.password_file),
        }
        return MappingProxyType(reach)

    @property
    def hubs(self) -> Sequence[Command]:
        """One that answers, which is named "hub", and two that ingest."""
        root, http = self.options.layout.root, str(self.options.ports.http)
        settings = root / "hub.toml"
        settings.write_text(f"[broker]\nreplicas = {NODES}\nstream_bytes = {self.stream_bytes}\n")
        words = (script("kanmon-hub"), "serve", "--config", str(settings))
        api = (*words, "--role", "api", "--state", str(self.options.layout.hub), "--http-port", http)
        workers = ((name, (*words, "--role", "ingest", "--state", str(root / name))) for name in WORKERS)
        return tuple(Command(name, line, self.environment) for name, line in (("hub", api), *workers))

    async def prepare(self, keepers: asyncio.TaskGroup) -> None:
        """Start database and brokers."""
        users = self.nodes[0].folder / "users.conf"
        state = str(self.options.layout.hub)
        await run_short("kanmon-hub", "gateway", "add", GATEWAY, "--state", state, "--nats-users", str(users))
        self.children.start(self.postgres.command, keepers)
        for node in self.nodes:
            self.children.start(nats_nodes.command(node, self.nodes, users), keepers)
        await _answers(self.postgres.is_up, "PostgreSQL")
        password = self.password_file.read_text().strip()
        await _answers(lambda: repeater.all_answer(self._urls, HUB_USER, password), "the brokers' cluster")

    async def lose_broker_storage(self) -> None:
        """Kill all nodes; everything they had written is gone before they start again."""
        async with AsyncExitStack() as stack:
            for node in self.nodes:
                await stack.enter_async_context(self.children[node.name].killed())
            for node in self.nodes:
                shutil.rmtree(node.store, ignore_errors=True)

    def repeater(self) -> AbstractAsyncContextManager[Repeater]:
        """A client of the cluster that may do everything."""
        return repeater.repeater(self._urls, HUB_USER, self.password_file.read_text().strip())

    @property
    def _urls(self) -> tuple[str, ...]:
        return tuple(node.url for node in self.nodes)


@asynccontextmanager
async def bench_of(setup: Setup, options: Options, children: Children) -> AsyncIterator[Bench]:
    """The bench of a set-up; what it needs on disk goes when it is left. Raises Misconfigured."""
    if setup is Setup.EMBEDDED:
        yield Bench(options, children)
        return
    async with postgres_files(*ports.free(1)) as postgres:
        if setup is Setup.POSTGRES:
            yield PostgresBench(options, children, postgres)
            return
        folder = Path(options.layout.root) / "nats"
        folder.mkdir(parents=True, exist_ok=True)
        yield ClusterBench(options, children, postgres, nats_nodes.nodes(folder))


async def _answers(is_up: Callable[[], Awaitable[bool]], name: str) -> None:
    try:
        async with asyncio.timeout(START_LIMIT_S):
            while not await is_up():  # noqa: ASYNC110  another process sets no event of ours
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError as error:
        raise ChaosFailed(f"After {START_LIMIT_S:.0f} s {name} does not answer") from error
