"""The hub's composition root: settings become objects, objects run in one TaskGroup until told to stop."""

import asyncio
import gc
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import TypeVar

from cloud_sync.backoff import Backoff
from contract.errors import Unreachable
from hub import broker, credentials, environment, ingest, nats_server, orphan
from hub.api.app import create_app
from hub.broker import Broker, Keeping
from hub.environment import Access, Environment, Role
from hub.feed import Feed
from hub.maintenance import Round, keep_in_order
from hub.nats_server import LOOPBACK, NatsServer, Ports
from hub.settings import RetentionTable, Settings
from hub.state_folder import Running, StateFolder
from hub.store.retention import Retention
from hub.store.store import Store
from hub.web import WebServer, listen
from lifeline.systemd import Lifeline

_BROKER_RESTART = Backoff(first_s=0.2, limit_s=10.0)
_START_RETRY = Backoff(first_s=0.2, limit_s=2.0)
_START_LIMIT_S = 30.0
"""How long a start waits for a broker or database that others run; whoever started us may try again."""
_CANCEL_AGAIN_S = 3.0
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class _Reached:
    """How to reach the broker, and for how long to try at the start (None: it is our child, and comes again)."""

    access: Access
    ports: Ports
    patience_s: float | None


@dataclass(frozen=True, slots=True)
class _Hub:
    """What a process was started with."""

    state: StateFolder
    settings: Settings
    environment: Environment
    role: Role
    lifeline: Lifeline
    stop: asyncio.Event
    ready: Callable[[Running], None]


async def serve(
    state: StateFolder,
    settings: Settings,
    variables: Mapping[str, str],
    stop: asyncio.Event,
    ready: Callable[[Running], None],
    role: Role = Role.ALL,
) -> None:
    """Run a hub on `state` until `stop` is set; `ready` is called once it answers or takes messages.

    Raises Misconfigured (port, folder, file, environment), Occupied (second instance) or Unreachable (a broker or
    database that others run).
    """
    surroundings = environment.read(variables)
    environment.check(surroundings, role, settings.broker.replicas)
    state.make()
    is_ready = asyncio.Event()

    def told(running: Running) -> None:
        is_ready.set()
        ready(running)

    hub = _Hub(state, settings, surroundings, role, Lifeline.of(variables), stop, told)
    with state.occupied():
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(_run(hub, variables), name="hub")
            stopping = tasks.create_task(stop.wait(), name="stop")
            await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            # Told to stop while it waits for its broker. More than once: asyncio.wait_for, through which the client
            # connects, forgets a cancellation that comes together with a refused connection (Python 3.11).
            while not (is_ready.is_set() or running.done()):
                running.cancel()
                await asyncio.wait((running,), timeout=_CANCEL_AGAIN_S)


async def _run(hub: _Hub, variables: Mapping[str, str]) -> None:
    async with AsyncExitStack() as stack:
        web_socket: socket.socket | None = None
        if hub.role.answers:
            web_socket = stack.enter_context(listen(hub.settings.http.host, hub.settings.http.port))
        store = await _eventually(
            lambda: stack.enter_async_context(Store(hub.state.database, hub.environment.database_url)), _START_LIMIT_S
        )
        reached = await stack.enter_async_context(_broker(hub, variables))
        connection = await _eventually(
            lambda: stack.enter_async_context(broker.connected(reached.access)), reached.patience_s
        )
        async with asyncio.TaskGroup() as tasks:
            feed, running = Feed(), []
            consumer: ingest.Ingest | None = None
            if hub.role.takes_in:
                consumer = await stack.enter_async_context(_ingest(hub, connection, store, reached.patience_s))
                running.append(tasks.create_task(consumer.run(), name="ingest"))
                upkeep = keep_in_order(_round(store, hub.settings.retention), _now)
                running.append(tasks.create_task(upkeep, name="upkeep"))
            web: WebServer | None = None
            if web_socket is not None:
                await ingest.relay(connection, feed)
                web = WebServer(create_app(store, feed, hub.settings, _now), web_socket)
                tasks.create_task(web.serve(), name="web")
                await web.is_ready()
            gets_on = consumer.gets_on if consumer is not None else lambda: True
            running.append(tasks.create_task(hub.lifeline.keep(gets_on), name="lifeline"))
            # Nearly all that was made so far are modules: walking them in a collection would hold receipts up.
            gc.collect()
            gc.freeze()
            _tell(hub, Running(os.getpid(), _port(web_socket), reached.ports.mqtt, reached.ports.nats, hub.role))
            await hub.stop.wait()
            hub.lifeline.stopping()
            # Feed first: event streams end by themselves and do not hold the web server up.
            feed.close()
            if web is not None:
                web.stop()
            for task in running:
                task.cancel()


@asynccontextmanager
async def _ingest(
    hub: _Hub, connection: Broker, store: Store, patience_s: float | None
) -> AsyncIterator[ingest.Ingest]:
    keeping = Keeping(hub.settings.broker.replicas, hub.settings.broker.stream_bytes)
    # SQLite has one writer: a second worker would only wait for it.
    workers = 1 if hub.environment.database_url is None else hub.settings.ingest.workers
    async with connection.upward(keeping) as upward:
        await _eventually(upward.ensure, patience_s)
        yield ingest.Ingest(connection, upward, store, workers, _now, _random())


def _round(store: Store, table: RetentionTable) -> Round:
    retention = Retention(
        telemetry_days=table.telemetry_days or None,
        quantities={name: days or None for name, days in table.quantities.items()},
        minute_days=table.minute_days or None,
        hour_days=table.hour_days or None,
        purposes={purpose: days or None for purpose, days in table.purposes.items()},
    )

    async def do_round(at: datetime) -> bool:
        return (await store.maintain(at, retention)).more

    return do_round


@asynccontextmanager
async def _broker(hub: _Hub, variables: Mapping[str, str]) -> AsyncIterator[_Reached]:
    if hub.environment.broker is not None:
        yield _Reached(hub.environment.broker, Ports(0, 0), _START_LIMIT_S)
        return
    table, state = hub.settings.broker, hub.state
    program = nats_server.executable(variables)
    # Before the ports are looked at: the orphan may hold them.
    await asyncio.to_thread(orphan.end, nats_server.pid_path(state), program, nats_server.config_path(state))
    ports = nats_server.choose_ports(table.nats_port, table.mqtt_port)
    server = NatsServer(state, program, ports, table.stream_bytes, _BROKER_RESTART, _random())
    async with server.started(), asyncio.TaskGroup() as tasks:
        # From here on: a server that dies while the hub starts is started again as at any other time.
        watched = tasks.create_task(server.keep_running(), name="broker")
        password = credentials.ensure(state.credentials, credentials.HUB_USER)
        try:
            yield _Reached(Access((f"nats://{LOOPBACK}:{ports.nats}",), credentials.HUB_USER, password), ports, None)
        finally:
            watched.cancel()


async def _eventually(step: Callable[[], Awaitable[_Result]], limit_s: float | None) -> _Result:
    """The result of `step`, tried again while it is Unreachable and the limit, if any, has not passed."""
    loop, random, attempt = asyncio.get_running_loop(), _random(), 0
    end = float("inf") if limit_s is None else loop.time() + limit_s
    while True:
        try:
            return await step()
        except Unreachable:
            attempt += 1
            delay_s = _START_RETRY.delay_s(attempt, random)
            if loop.time() + delay_s > end:
                raise
            await asyncio.sleep(delay_s)


def _tell(hub: _Hub, running: Running) -> None:
    hub.state.announce(running)
    hub.ready(running)
    hub.lifeline.ready(f"role {hub.role}")


def _port(web_socket: socket.socket | None) -> int:
    port: int = 0 if web_socket is None else web_socket.getsockname()[1]
    return port


def _now() -> datetime:
    return datetime.now(UTC)


def _random() -> Random:
    return Random()  # noqa: S311  # spreads retries, keeps no secret
