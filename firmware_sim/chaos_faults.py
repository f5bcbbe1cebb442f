"""Does to the processes of a bench what a fault says, and undoes what lasts."""

import asyncio
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random

from contract.errors import Unreachable
from firmware_sim import chaos_outbox
from firmware_sim.chaos_bench import Bench, paused
from firmware_sim.chaos_clock import WrongClock
from firmware_sim.chaos_kinds import CLOCKS, TRAITS, Kind, Touched
from firmware_sim.chaos_link import Link
from firmware_sim.chaos_memory import AgentMemory
from firmware_sim.chaos_plan import Fault
from firmware_sim.children import Child, Children
from firmware_sim.patience import until

FULL_BYTES = 3000
"""No file may grow beyond this on a disk that is called full: less than one page of a database in its journal."""
FLOOD_LIMIT_S = 10.0


class Faults:
    """Everything that can be done to one bench. `clock` None: faults of the clock are left out."""

    def __init__(
        self, bench: Bench, children: Children, link: Link, clock: WrongClock | None, memory: AgentMemory
    ) -> None:
        self._bench = bench
        self._children = children
        self._link = link
        self._clock = clock
        self._memory = memory
        self._gateway = bench.options.layout.gateway

    async def inflict(self, fault: Fault) -> None:
        """Wait for the fault's time, let it happen, and end it. Raises ChaosFailed when its part does not come back."""
        await asyncio.sleep(fault.at_s)
        kind = fault.kind
        if Touched.LINK in TRAITS[kind].touches:
            await self._link.worsen(fault)
            if fault.for_s:
                await asyncio.sleep(fault.for_s)
                await self._link.heal(cut=fault.ends_in_cut)
        elif kind in CLOCKS:
            if self._clock is not None:
                with self._clock.stepped(kind):
                    await asyncio.sleep(fault.for_s)
        elif Touched.AGENT in TRAITS[kind].touches:
            await self._at_gateway(fault)
        else:
            await self._at_hub(fault)

    async def _at_gateway(self, fault: Fault) -> None:
        agent = await self._alive("agent")
        match fault.kind:
            case Kind.KILL_AGENT:
                agent.send(signal.SIGKILL)
            case Kind.GATEWAY_DISK_FULL:
                with full_disk(agent):
                    await asyncio.sleep(fault.for_s)
            case Kind.OUTBOX_DELETED:
                chaos_outbox.delete(self._gateway)
            case Kind.OUTBOX_LOST:
                async with self._memory.outbox_lost(), agent.killed():
                    chaos_outbox.delete(self._gateway)
            case Kind.OUTBOX_RESTORED:
                copied = self._gateway.with_name("outbox-copy")
                async with self._memory.outbox_restored() as outbox:
                    async with paused(agent):
                        chaos_outbox.copy(self._gateway, copied)
                    await outbox.copied()
                    await asyncio.sleep(fault.for_s)
                    await outbox.dies()
                    async with agent.killed():
                        chaos_outbox.put_back(self._gateway, copied)
            case kind:
                raise AssertionError(f"{kind} is no fault of a gateway")

    async def _at_hub(self, fault: Fault) -> None:
        random = Random(fault.seed)  # noqa: S311  a schedule, not a secret
        match fault.kind:
            case Kind.KILL_WORKER:
                (await self._alive(random.choice(self._bench.workers))).send(signal.SIGKILL)
            case Kind.KILL_API:
                (await self._alive("hub")).send(signal.SIGKILL)
            case Kind.KILL_TOWN:
                (await self._alive("town")).send(signal.SIGKILL)
            case Kind.KILL_BROKER:
                await self._bench.kill_broker()
            case Kind.KILL_NODE:
                await until(lambda: self._link.connected is not None, "the gateway's connection")
                connected = self._link.connected or 0
                others = [number for number, _ in enumerate(self._bench.brokers) if number != connected]
                number = connected if fault.is_connected else random.choice(others)
                (await self._alive(self._bench.brokers[number])).send(signal.SIGKILL)
            case Kind.KILL_POSTGRES:
                (await self._alive("postgres")).send(signal.SIGKILL)
            case Kind.STORAGE_LOST:
                await self._bench.lose_broker_storage()
            case Kind.HUB_DISK_FULL:
                with full_disk(await self._alive("hub")):
                    await asyncio.sleep(fault.for_s)
            case Kind.REPEATED | Kind.REORDERED | Kind.STREAM_FULL:
                await self._say_again(fault, random)
            case kind:
                raise AssertionError(f"{kind} is no fault of a hub")

    async def _say_again(self, fault: Fault, random: Random) -> None:
        workers = [self._children[name] for name in self._bench.workers]
        if fault.kind is Kind.REPEATED:
            with suppress(Unreachable):  # a hub that dies meanwhile takes its broker along: enough was said again
                async with self._bench.repeater() as repeater:
                    await repeater.repeat(random, fault.for_s)
            return
        async with self._bench.repeater() as repeater, paused(*workers):
            await asyncio.sleep(fault.for_s)
            if fault.kind is Kind.REORDERED:
                await repeater.replace(random)
            else:
                await repeater.flood(random, FLOOD_LIMIT_S)

    async def _alive(self, name: str) -> Child:
        child = self._children[name]
        await until(child.is_alive, name)
        return child


@contextmanager
def full_disk(child: Child) -> Iterator[None]:
    """No file of the process that runs now may grow inside: every write beyond fails as on a full disk."""
    pid = child.pid
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if pid is None:
        raise Unreachable(f"{child.name} has just died")
    with suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (FULL_BYTES, hard))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
