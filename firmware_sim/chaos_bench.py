"""The processes of one set-up, and who of them is meant when a fault says worker, broker or node."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from firmware_sim.children import Child, Children, Command
from firmware_sim.demo import Options, hub_command
from firmware_sim.patience import until
from firmware_sim.ports import HOST
from firmware_sim.repeater import Repeater, repeater

STREAM_BYTES = 64 * 2**10
"""What may wait for ingest: the least the hub takes, so that a flood of it is over in a moment."""
HUB_USER = "hub"
"""The broker user of the hub, who may do everything; its password lies beside those of the gateways."""


@dataclass(frozen=True, slots=True)
class Bench:
    """A set-up with its broker inside the hub's own process tree; other set-ups replace what differs."""

    options: Options
    children: Children
    stream_bytes: int = field(default=STREAM_BYTES, kw_only=True)

    @property
    def environment(self) -> Mapping[str, str]:
        """Of every hub process."""
        return MappingProxyType({})

    @property
    def password_file(self) -> Path:
        """Of the broker user that may do everything."""
        return self.options.layout.hub / "credentials" / f"{HUB_USER}.password"

    @property
    def mqtt_ports(self) -> Sequence[int]:
        """Where the broker's nodes listen for gateways."""
        return (self.options.ports.mqtt,)

    @property
    def workers(self) -> Sequence[str]:
        """The children that ingest."""
        return ("hub",)

    @property
    def brokers(self) -> Sequence[str]:
        """The children that are brokers, in the order of `mqtt_ports`; none where the hub keeps its own."""
        return ()

    @property
    def servers(self) -> Sequence[str]:
        """Children that hubs need and that end after them, in this order."""
        return ()

    async def prepare(self, keepers: asyncio.TaskGroup) -> None:
        """Start what hubs need; the gateway's credential exists by now."""

    @property
    def hubs(self) -> Sequence[Command]:
        """What to start as the hub; the one that answers is named "hub"."""
        settings = self.options.layout.root / "hub.toml"
        settings.write_text(f"[broker]\nstream_bytes = {self.stream_bytes}\n")
        return (replace(hub_command(self.options, "--config", str(settings)), environment=self.environment),)

    def broker_pid(self) -> int | None:
        """The broker's process id while it is a child of the hub that runs now; None else."""
        hub = self.children["hub"].pid
        with suppress(OSError, ValueError, IndexError):
            pid = int((self._nats / "nats.pid").read_text())
            # proc(5): after the name in parentheses, which may hold anything, state and parent.
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            return pid if parent == hub else None
        return None

    async def kill_broker(self) -> None:
        """SIGKILL; the hub starts it again."""
        await until(lambda: self.broker_pid() is not None, "the broker")
        if (pid := self.broker_pid()) is not None:
            os.kill(pid, signal.SIGKILL)

    async def lose_broker_storage(self) -> None:
        """Kill the broker; everything it had written is gone before it starts again."""
        # The hub, which would start it again at once, is held meanwhile.
        async with paused(self.children["hub"]):
            await self.kill_broker()
            shutil.rmtree(self._nats / "store", ignore_errors=True)

    def repeater(self) -> AbstractAsyncContextManager[Repeater]:
        """A client of the broker that may do everything."""
        urls = (f"nats://{HOST}:{self.options.ports.nats}",)
        return repeater(urls, HUB_USER, self.password_file.read_text().strip())

    @property
    def _nats(self) -> Path:
        return self.options.layout.hub / "nats"


@asynccontextmanager
async def paused(*children: Child) -> AsyncIterator[None]:
    """SIGSTOP inside, SIGCONT after it; a child that is just being started is waited for. Raises ChaosFailed."""
    for child in children:
        await until(child.is_alive, child.name)
    try:
        for child in children:
            child.send(signal.SIGSTOP)
        yield
    finally:
        for child in children:
            child.send(signal.SIGCONT)
