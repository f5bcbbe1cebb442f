"""The hub's composition root: settings become objects, objects run in one TaskGroup until told to stop."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

from cloud_sync.backoff import Backoff
from hub import broker, credentials, ingest, nats_server, orphan
from hub.api.app import create_app
from hub.broker import Access
from hub.feed import Feed
from hub.nats_server import LOOPBACK, NatsServer, Ports
from hub.settings import Settings
from hub.state_folder import Running, StateFolder
from hub.store.store import Store
from hub.web import WebServer, listen

_BROKER_RESTART = Backoff(first_s=0.2, limit_s=10.0)


@dataclass(frozen=True, slots=True)
class _Broker:
    """How to reach the broker; `server` is None when it is not our child."""

    access: Access
    ports: Ports
    server: NatsServer | None


async def serve(
    state: StateFolder,
    settings: Settings,
    environment: Mapping[str, str],
    stop: asyncio.Event,
    ready: Callable[[Running], None],
) -> None:
    """Run a hub on `state` until `stop` is set; `ready` is called once it answers.

    Raises Misconfigured (port, folder, file), Occupied (second instance) or Unreachable (external broker).
    """
    state.make()
    with state.occupied():
        web_socket = listen(settings.http.host, settings.http.port)
        feed = Feed()
        async with (
            Store(state.database) as store,
            _broker(state, settings, environment) as reached,
            broker.connected(reached.access) as connection,
        ):
            await ingest.relay(connection, feed)
            app = create_app(store, feed, settings, _now)
            web = WebServer(app, web_socket)
            async with asyncio.TaskGroup() as tasks:
                consumer = ingest.Ingest(connection, store, _now, _random())
                running = [tasks.create_task(consumer.run(), name="ingest")]
                if reached.server is not None:
                    running.append(tasks.create_task(reached.server.keep_running(), name="broker"))
                tasks.create_task(web.serve(), name="web")
                told = Running(os.getpid(), _port(web_socket), reached.ports.mqtt, reached.ports.nats)
                await web.is_ready()
                state.announce(told)
                ready(told)
                await stop.wait()
                # Feed first: event streams end by themselves and do not hold the web server up.
                feed.close()
                web.stop()
                for task in running:
                    task.cancel()


@asynccontextmanager
async def _broker(state: StateFolder, settings: Settings, environment: Mapping[str, str]) -> AsyncIterator[_Broker]:
    external = environment.get("KANMON_NATS_URL")
    if external:
        yield _Broker(Access(external), Ports(0, 0), None)
        return
    program = nats_server.executable(environment)
    # Before the ports are looked at: the orphan may hold them.
    await asyncio.to_thread(orphan.end, nats_server.pid_path(state), program, nats_server.config_path(state))
    ports = nats_server.choose_ports(settings.broker.nats_port, settings.broker.mqtt_port)
    server = NatsServer(state, program, ports, _BROKER_RESTART, _random())
    async with server.started():
        password = credentials.ensure(state.credentials, credentials.HUB_USER)
        yield _Broker(Access(f"nats://{LOOPBACK}:{ports.nats}", credentials.HUB_USER, password), ports, server)


def _port(web_socket: socket.socket) -> int:
    port: int = web_socket.getsockname()[1]
    return port


def _now() -> datetime:
    return datetime.now(UTC)


def _random() -> Random:
    return Random()  # noqa: S311  # spreads retries, keeps no secret
