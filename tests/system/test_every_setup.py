"""The same line of a counting station, a gateway and a hub on every set-up, with something killed in the middle.

On SQLite with the embedded broker, on PostgreSQL with the embedded broker and one more ingest process, and on a cluster
of three brokers with PostgreSQL, an API process and two ingest processes: every number that the station gave is stored
exactly once, in order.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.counting_station import SETTINGS, CountingLine, counting_station
from support.nats_cluster import Cluster, running_cluster
from support.postgres import running_postgres
from support.processes import SCRIPTS, Gateway, Hub, run_to_end, running
from support.waiting import until

CLUSTER_SETTINGS = "[broker]\nreplicas = 3\n"
POLLS = 150
"""About three seconds of the station's numbers before, during and after the trouble."""


@dataclass
class Setup:
    """A hub however it is made: who answers, where the gateway connects to, and what goes wrong in the middle."""

    api: Hub
    urls: list[str]
    password: Path
    trouble: Callable[[Gateway], Awaitable[None]]
    mend: Callable[[], Awaitable[None]]


@asynccontextmanager
async def sqlite_setup(folder: Path) -> AsyncIterator[Setup]:
    """One process with everything; it is killed."""
    hub = Hub(folder)
    async with running(hub):
        password = await hub.add_gateway("gw-1")

        async def trouble(_: Gateway) -> None:
            await hub.kill()

        yield Setup(hub, [f"mqtt://127.0.0.1:{hub.mqtt_port}"], password, trouble, hub.start)


@asynccontextmanager
async def postgres_setup(folder: Path) -> AsyncIterator[Setup]:
    """PostgreSQL; a process with everything, and one more for ingest. The database and that process are killed."""
    with running_postgres() as postgres:
        database = {"KANMON_DATABASE_URL": postgres.new_database()}
        hub = Hub(folder, environment=database)
        more = Hub(folder, "more", "ingest", {**database, **hub.broker_environment})
        async with running(hub, more):
            password = await hub.add_gateway("gw-1")

            async def trouble(_: Gateway) -> None:
                postgres.kill()
                await more.kill()

            async def mend() -> None:
                postgres.start()
                await more.start()

            yield Setup(hub, [f"mqtt://127.0.0.1:{hub.mqtt_port}"], password, trouble, mend)


@asynccontextmanager
async def cluster_setup(folder: Path) -> AsyncIterator[Setup]:
    """Three brokers, PostgreSQL, one process for the API, two for ingest. The gateway's broker is killed."""
    cluster, credentials = Cluster(folder), folder / "users" / "credentials"
    add = ("gateway", "add", "gw-1", "--state", str(folder / "users"), "--nats-users", str(cluster.users))
    assert await run_to_end(str(SCRIPTS / "kanmon-hub"), *add) == 0
    hub_password = credentials / "hub.password"
    async with AsyncExitStack() as stack:
        postgres = stack.enter_context(running_postgres())
        await stack.enter_async_context(running_cluster(cluster, hub_password.read_text()))
        shared = {"KANMON_DATABASE_URL": postgres.new_database(), **cluster.environment(hub_password)}
        api = Hub(folder, "api", "api", shared, CLUSTER_SETTINGS)
        ingest = [Hub(folder, f"ingest-{n}", "ingest", shared, CLUSTER_SETTINGS) for n in (1, 2)]
        await stack.enter_async_context(running(api, *ingest))

        async def trouble(gateway: Gateway) -> None:
            (port,) = remote_ports(gateway.pid) & {node.mqtt_port for node in cluster.nodes}
            victim = next(node for node in cluster.nodes if node.mqtt_port == port)
            await victim.kill()

        async def nothing() -> None:
            """Two of three are enough: the dead one stays away."""

        yield Setup(api, cluster.mqtt_urls, credentials / "gw-1.password", trouble, nothing)


def remote_ports(pid: int) -> set[int]:
    """The ports to which a process has TCP connections (proc(5): st 01 is ESTABLISHED)."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            sockets.add(re.sub(r"\D", "", str(descriptor.readlink())))
        except OSError:
            continue
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {int(row[2].partition(":")[2], 16) for row in rows if row[3] == "01" and row[9] in sockets}


async def polled(line: CountingLine, times: int) -> None:
    count = line.counting.count
    await until(lambda: line.counting.count >= count + times, 30)


@pytest.mark.parametrize("setup", [sqlite_setup, postgres_setup, cluster_setup], ids=["sqlite", "postgres", "cluster"])
async def test_nothing_is_lost_and_nothing_twice_on_every_setup(
    tmp_path: Path, setup: Callable[[Path], AbstractAsyncContextManager[Setup]]
) -> None:
    station, counting = counting_station(tmp_path, 0.02)
    async with AsyncExitStack() as stack:
        await station.start()
        stack.push_async_callback(station.stop)
        made = await stack.enter_async_context(setup(tmp_path))
        settings = SETTINGS.format(port=1, password=made.password, modbus=station.port)
        settings = re.sub(r"urls = \[.*\]", f"urls = {made.urls}".replace("'", '"'), settings)
        gateway = Gateway(tmp_path, settings)
        await stack.enter_async_context(running(gateway))
        line = CountingLine(made.api, gateway, counting)
        await line.all_arrive()
        await polled(line, POLLS)
        await made.trouble(gateway)
        await polled(line, POLLS)
        await made.mend()
        await polled(line, POLLS)
        await line.all_arrive()
        rows = await made.api.items("/api/v1/readings", device="river-1", limit=10000)
        assert len(rows) >= 3 * POLLS
        assert [row["sequence"] for row in rows] == sorted({row["sequence"] for row in rows})
        assert await made.api.items("/api/v1/gaps") == []
