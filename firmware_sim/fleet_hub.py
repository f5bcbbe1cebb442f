"""The hub that a fleet speaks to: one that runs already, or one of its own, which a storm can strike."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cloud_sync.session import Broker
from contract.errors import Fault, KanmonError, Misconfigured
from contract.ids import GatewayId
from firmware_sim.children import Children, Command
from firmware_sim.demo import script
from firmware_sim.fault_proxy import FaultProxy
from firmware_sim.fleet_plan import Storm
from firmware_sim.ports import HOST, Ports
from firmware_sim.sources import HubApi

START_LIMIT_S = 60.0
ADD_LIMIT_S = 60.0
IDS_A_CALL = 500
"""Far below what a command line may hold; the bar moves in between."""
LOOK_EVERY_S = 0.2


class FleetFailed(KanmonError):
    """The run could not be made; the text says which part failed and why."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a hub is: its API, its MQTT listeners in order of preference, and a folder of `<gateway>.password`."""

    api_url: str
    mqtt_urls: tuple[str, ...]
    credentials: Path

    def brokers(self, gateway: GatewayId) -> list[Broker]:
        """The listeners with the gateway's own credential; Misconfigured when it has none."""
        path = self.credentials / f"{gateway}.password"
        try:
            password = path.read_text("utf-8").strip()
        except OSError as error:
            fix = f"Let the hub's operator make it: kanmon-hub gateway add {gateway}"
            raise Misconfigured(Fault(str(path), 0, "there is no credential of this gateway", fix)) from error
        return [Broker(url, gateway, password) for url in self.mqtt_urls]


class OwnHub:
    """`kanmon-hub serve` on free ports with its state in `state`, as a child, reached through `proxy`."""

    def __init__(self, state: Path, ports: Ports, children: Children, proxy: FaultProxy | None) -> None:
        mqtt = ports.mqtt if proxy is None else proxy.port
        self.reach = Reach(f"http://{HOST}:{ports.http}", (f"mqtt://{HOST}:{mqtt}",), state / "credentials")
        self._state = state
        self._ports = ports
        self._children = children
        self._proxy = proxy

    async def register(self, gateways: Sequence[GatewayId], on_done: Callable[[int], None]) -> None:
        """Make the credentials that are not there yet; `on_done` is told how many are there."""
        missing = [name for name in gateways if not (self.reach.credentials / f"{name}.password").exists()]
        for start in range(0, len(missing), IDS_A_CALL):
            on_done(len(gateways) - len(missing) + start)
            await _add(missing[start : start + IDS_A_CALL], self._state)

    async def start(self, hub: HubApi, keepers: asyncio.TaskGroup) -> None:
        """Start the process, which `keepers` watches; returns once its API answers."""
        ports = {"--http-port": self._ports.http, "--mqtt-port": self._ports.mqtt, "--nats-port": self._ports.nats}
        words = ("serve", "--state", self._state, *(word for pair in ports.items() for word in pair))
        child = self._children.start(Command("hub", (script("kanmon-hub"), *map(str, words))), keepers)
        try:
            async with asyncio.timeout(START_LIMIT_S):
                while not await hub.is_up():  # noqa: ASYNC110  another process sets no event of ours
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError as error:
            tail = child.tail()
            raise FleetFailed(
                f"After {START_LIMIT_S:.0f} s the hub does not answer. Its last lines:\n{tail}"
            ) from error

    async def stop(self) -> None:
        """End it in order."""
        await self._children.stop("hub")

    def strike(self, storm: Storm) -> None:
        """Cut every gateway at once. FleetFailed when there is nothing to strike."""
        match storm:
            case Storm.HUB:
                self._kill(self.pid(), "hub")
            case Storm.BROKER:
                self._kill(self.broker_pid(), "broker")
            case Storm.LINK:
                if self._proxy is None:
                    raise FleetFailed("there is no proxy to cut the link with")
                self._proxy.cut()
            case Storm.NONE:
                pass

    def pid(self) -> int | None:
        """The hub's process id while it lives."""
        return self._children["hub"].pid

    def broker_pid(self) -> int | None:
        """The broker's process id while it is a child of the hub that runs now."""
        hub = self.pid()
        with suppress(OSError, ValueError, IndexError):
            pid = int((self._state / "nats" / "nats.pid").read_text())
            # proc(5): after the name in parentheses, which may hold anything, state and parent.
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            return pid if parent == hub else None
        return None

    def _kill(self, pid: int | None, name: str) -> None:
        if pid is None:
            raise FleetFailed(f"the {name} is not there to be killed")
        os.kill(pid, signal.SIGKILL)


async def _add(gateways: Sequence[GatewayId], state: Path) -> None:
    command = (script("kanmon-hub"), "gateway", "add", *gateways, "--state", str(state))
    pipe = subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(ADD_LIMIT_S):
            _, errors = await child.communicate()
    except TimeoutError as error:
        child.kill()
        raise FleetFailed(f"After {ADD_LIMIT_S:.0f} s kanmon-hub gateway add has not ended") from error
    if child.returncode != 0:
        said = errors.decode(errors="replace").strip()
        raise FleetFailed(f"kanmon-hub gateway add failed (exit {child.returncode}): {said[-500:]}")
