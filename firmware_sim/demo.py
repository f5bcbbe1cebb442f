"""The whole line in one run: hub, gateway and simulated town as child processes, then the ledger's balance."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from contract.errors import KanmonError, ProtocolError, Unreachable
from firmware_sim import gateway_files
from firmware_sim.books import gather
from firmware_sim.children import Children, Command
from firmware_sim.ledger import Balance, Books, balance
from firmware_sim.narrator import Narrator
from firmware_sim.plan import GATEWAY, WEARERS, Layout
from firmware_sim.ports import HOST, Ports
from firmware_sim.sources import AgentStatus, HubApi, Subjects, agent_status, hub_api

START_LIMIT_S = 60.0
"""How long the children may take until all answer; a small board under load needs a good part of it."""
HEARD_LIMIT_S = 20.0
DRAIN_LIMIT_S = 30.0
SILENT_GAP_S = 75.0
"""A gateway that dies while the town is quiet hears no device again: it declares their gaps after 60 s of silence."""
QUIET_LIMIT_S = 5.0
LOOK_EVERY_S = 0.3
TELL_EVERY_S = 1.0
SHORT_COMMAND_LIMIT_S = 30.0
EXIT_UNREACHABLE = 4


class DemoFailed(KanmonError):
    """The demo could not do what it was asked; the text says which part failed and why."""


@dataclass(frozen=True, slots=True)
class Options:
    """What one run was asked for. `for_s` None: until somebody ends it."""

    layout: Layout
    ports: Ports
    seed: int
    stages_m: tuple[tuple[int, float], ...]
    for_s: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: the balance, and how often a child was started again."""

    balance: Balance
    restarts: int


async def run(options: Options, narrator: Narrator) -> Outcome:
    """Start everything, wait for the end (`for_s`, SIGINT or SIGTERM), balance, stop everything.

    Raises KanmonError when a part cannot be started or does not answer. A second signal cancels.
    """
    options.layout.logs.mkdir(parents=True, exist_ok=True)
    gateway_files.write(options.layout, options.ports, options.stages_m)
    # A folder used before brings its records along, but the day in the town begins anew.
    options.layout.town.facts.unlink(missing_ok=True)
    with single_failure():
        async with _ending() as ending, Children(options.layout.logs, narrator.restarted) as children:
            return await Demo(options, children, narrator).run(ending)


@contextmanager
def single_failure() -> Iterator[None]:
    """Raise what a keeper of children says by itself: their group only gathers it."""
    try:
        yield
    except BaseExceptionGroup as group:
        failures = group.subgroup(KanmonError)
        if failures is None:
            raise
        raise _first(failures) from group


class Demo:
    """One run over its children. `commands` are those of hub, town and agent, which are told apart by their names."""

    def __init__(
        self, options: Options, children: Children, narrator: Narrator, commands: Sequence[Command] = ()
    ) -> None:
        self._options = options
        self._layout = options.layout
        self._children = children
        self._narrator = narrator
        self._commands = tuple(commands) or (hub_command(options), town_command(options), agent_command(options))
        self.subjects = Subjects()

    async def run(self, ending: asyncio.Event) -> Outcome:
        """From the first child to the balance."""
        base_url = f"http://{HOST}:{self._options.ports.http}"
        async with asyncio.TaskGroup() as keepers, hub_api(base_url) as hub:
            await self.start(hub, keepers)
            self._narrator.ready(base_url, self._layout, self._options.for_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._options.for_s):
                    await self._tell_until(ending, hub)
            self._narrator.step("settling")
            await self.hear_all()
            await self.hush()
            result = await self.balance(hub)
            self._narrator.step("stopping")
            await self._children.stop("agent", "town", "hub")
        return Outcome(result, self._children.restarts)

    async def register(self) -> None:
        """Make the gateway's credential, unless there is one."""
        self._narrator.step("credential")
        if not self._layout.password.exists():
            await run_short("kanmon-hub", "gateway", "add", GATEWAY, "--state", str(self._layout.hub))

    async def start(self, hub: HubApi, keepers: asyncio.TaskGroup) -> None:
        """Start all children, which `keepers` watches, and set the consents; returns once all answer."""
        await self.register()
        self._narrator.step("starting")
        for command in self._commands:
            self._children.start(command, keepers)
        await self._answers("agent", self._has_agent)
        self._narrator.step("consents")
        await self._set_consents()
        await self._answers("hub", hub.is_up)

    async def _answers(self, name: str, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait for a child. Raises DemoFailed with its last lines."""
        try:
            async with asyncio.timeout(START_LIMIT_S):
                await _until(condition)
        except TimeoutError as error:
            tail = self._children[name].tail()
            raise DemoFailed(f"After {START_LIMIT_S:.0f} s {name} does not answer. Its last lines:\n{tail}") from error

    async def _set_consents(self) -> None:
        """As an installer would, one command a choice, all at once."""
        async with asyncio.TaskGroup() as group:
            for wearer in WEARERS:
                for purpose in wearer.agreed:
                    group.create_task(self._set_consent(wearer.person, purpose))

    async def _set_consent(self, person: str, purpose: str) -> None:
        words = ("consent", "set", person, purpose, "on", "--state", str(self._layout.gateway))
        async with _limit(START_LIMIT_S, "the agent has taken no consent"):
            while not await run_short("kanmon-agent", *words):
                await _until(self._has_agent)

    async def _tell_until(self, ending: asyncio.Event, hub: HubApi) -> None:
        """Keep the live line up to date until somebody ends the run."""
        while not ending.is_set():
            status = await self.status()
            alerts: int | None = None
            with suppress(Unreachable, ProtocolError):
                alerts = len(await hub.alert_ids())
            self._narrator.live(self._layout.town, status, alerts)
            with suppress(TimeoutError):
                await asyncio.wait_for(ending.wait(), TELL_EVERY_S)

    async def hear_all(self) -> None:
        """Give devices whose link was just lost the time to be heard again: that is what ends their gaps."""
        with suppress(TimeoutError):
            async with asyncio.timeout(HEARD_LIMIT_S):
                await _until(self._has_heard_all)

    async def hush(self) -> None:
        """The town emits no more, and keeps its links open. It is not started again from here on."""
        town = self._children["town"]
        town.let_end()
        if town.pid is None:
            return
        town.send(signal.SIGUSR1)
        with suppress(TimeoutError):
            async with asyncio.timeout(QUIET_LIMIT_S):
                await _until(self._is_quiet)

    async def books(self, hub: HubApi, status: AgentStatus) -> Books:
        """Everything a balance needs, as it is now. Raises as `books.gather`."""
        return await gather(self._layout.town, hub, status, self.subjects)

    async def balance(self, hub: HubApi) -> Balance:
        """The balance as soon as it holds and nothing waits any more, or as it stands when the time is over."""
        loop = asyncio.get_running_loop()
        agent, began = self._children["agent"], loop.time()
        lives = agent.restarts
        result: Balance | None = None
        while True:
            limit_s = DRAIN_LIMIT_S if agent.restarts == lives and agent.pid else DRAIN_LIMIT_S + SILENT_GAP_S
            status = await self.status()
            if status is not None:
                with suppress(Unreachable, ProtocolError):
                    result = balance(await self.books(hub, status))
                    if result.holds and not status.is_waiting:
                        return result
            if loop.time() - began > limit_s:
                break
            await asyncio.sleep(LOOK_EVERY_S)
        if result is None:
            raise DemoFailed("The balance cannot be made: the hub or the agent has not answered since the town's end")
        return result

    async def status(self) -> AgentStatus | None:
        """The agent's status, and what it tells of pseudonyms; None while it does not answer."""
        with suppress(Unreachable, ProtocolError):
            status = await agent_status(self._layout.control_socket)
            self.subjects.learn(status)
            return status
        return None

    async def _has_agent(self) -> bool:
        return await self.status() is not None

    async def _has_heard_all(self) -> bool:
        status = await self.status()
        return status is not None and all(device.is_heard for device in status.devices)

    async def _is_quiet(self) -> bool:
        return self._layout.town.quiet.exists() or self._children["town"].pid is None


def hub_command(options: Options, *more: str) -> Command:
    """A hub with a broker of its own; `more` are further words of its command line."""
    ports = options.ports
    listen = {"--http-port": ports.http, "--mqtt-port": ports.mqtt, "--nats-port": ports.nats}
    words = ("serve", "--state", options.layout.hub, *(word for pair in listen.items() for word in pair), *more)
    return Command("hub", (script("kanmon-hub"), *map(str, words)))


def town_command(options: Options) -> Command:
    """The simulated devices."""
    words = ("--state", options.layout.town.root, "--seed", options.seed, "--modbus-port", options.ports.modbus)
    return Command("town", (script("kanmon-sim"), "town", *map(str, words)))


def agent_command(options: Options) -> Command:
    """The gateway, on the town's own D-Bus."""
    words = ("run", "--config", options.layout.settings, "--state", options.layout.gateway)
    bus = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={options.layout.town.bus_socket}"}
    return Command("agent", (script("kanmon-agent"), *map(str, words)), bus)


def script(name: str) -> str:
    """The path of one of the project's commands, which lies beside the interpreter that runs this."""
    return str(Path(sys.executable).with_name(name))


async def run_short(name: str, *words: str) -> bool:
    """Run a command that ends by itself; False when it could not reach its process. DemoFailed when it fails."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "firmware_sim.leash", str(os.getpid()), script(name), *words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
    )
    async with _limit(SHORT_COMMAND_LIMIT_S, f"{name} {words[0]} {words[1]} does not end"):
        output, errors = await process.communicate()
    if process.returncode not in (0, EXIT_UNREACHABLE):
        said = (errors or output).decode(errors="replace").strip()
        raise DemoFailed(f"{name} {' '.join(words[:2])} failed (exit {process.returncode}): {said[-500:]}")
    return process.returncode == 0


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():  # noqa: ASYNC110  other processes set no event of ours
        await asyncio.sleep(LOOK_EVERY_S)


@asynccontextmanager
async def _limit(limit_s: float, what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError as error:
        raise DemoFailed(f"After {limit_s:.0f} s {what}") from error


@asynccontextmanager
async def _ending() -> AsyncIterator[asyncio.Event]:
    """Set by the first SIGINT or SIGTERM; the second one cancels this task."""
    loop, task, event = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()

    def on_signal() -> None:
        if event.is_set() and task is not None:
            task.cancel()
        event.set()

    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, on_signal)
    try:
        yield event
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def _first(group: BaseExceptionGroup[KanmonError]) -> KanmonError:
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("a group is never empty")


def as_json(outcome: Outcome) -> str:
    """The one JSON object a run ends with."""
    told = facts(outcome.balance)
    return json.dumps({**told, "restarts": outcome.restarts})


def facts(result: Balance) -> dict[str, object]:
    """A balance as a JSON object."""
    columns = ("emitted", "stored", "aggregated", "withheld", "in_gaps", "missing", "duplicated")
    devices = {device: {column: getattr(row, column) for column in columns} for device, row in result.devices.items()}
    return {**{column: getattr(result, column) for column in columns}, "alerts": result.alerts, "devices": devices}
