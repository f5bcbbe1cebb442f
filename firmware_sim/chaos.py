"""The demo's processes with a bad link between gateway and hub, killed and cut round after round, and the ledger."""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from contract.errors import ProtocolError, Unreachable
from firmware_sim import gateway_files
from firmware_sim.books import gather
from firmware_sim.chaos_judge import Terms, Verdict, judge, spoken_since
from firmware_sim.chaos_plan import Fault, Kind, Round, gap_limit_s
from firmware_sim.chaos_told import ChaosFailed, Report, RoundResult, Told
from firmware_sim.children import Children
from firmware_sim.demo import LOOK_EVERY_S, Demo, Options, single_failure
from firmware_sim.fault_proxy import FaultProxy
from firmware_sim.ledger import Books, Span
from firmware_sim.plan import BUS, RIVER, STRAPS
from firmware_sim.ports import HOST
from firmware_sim.sources import HubApi, hub_api

RECOVERY_LIMIT_S = 75.0
"""How long after the last fault everything may take to arrive. Seconds are normal; but a publish into a black hole
fails after 10 s, a connection made into it after 10 s more, and the gateway's back-off may wait its 30 s."""
ALIVE_LIMIT_S = 20.0
"""How long to wait for a process that is to be killed and is just being started again."""
HEARD_AGAIN = 2
"""So often each device must have spoken after the last fault: the first sample ends a gap."""
DEVICES = (RIVER, BUS, *sorted(STRAPS))
_VICTIMS: Mapping[Kind, str] = MappingProxyType(
    {Kind.KILL_AGENT: "agent", Kind.KILL_HUB: "hub", Kind.KILL_TOWN: "town"}
)


async def run(options: Options, rounds: tuple[Round, ...], told: Told) -> Report:
    """Play `rounds` until one fails; ends with the balance of a town that speaks no more.

    Raises KanmonError when a part cannot be started, or does not come back to be killed.
    """
    options.layout.logs.mkdir(parents=True, exist_ok=True)
    options.layout.town.facts.unlink(missing_ok=True)
    with single_failure():
        async with FaultProxy(options.ports.mqtt) as proxy, Children(options.layout.logs, told.restarted) as children:
            gateway_files.write(options.layout, replace(options.ports, mqtt=proxy.port), options.stages_m)
            return await Chaos(options, children, proxy, told).run(rounds)


@dataclass(slots=True)
class _Past:
    """What earlier rounds leave to the next one."""

    gaps: frozenset[Span] = frozenset()
    gap_limit_s: float = 0.0


class Chaos:
    """One run over its children and the link."""

    def __init__(self, options: Options, children: Children, proxy: FaultProxy, told: Told) -> None:
        self._layout = options.layout
        self._base_url = f"http://{HOST}:{options.ports.http}"
        self._demo = Demo(options, children, told)
        self._children = children
        self._proxy = proxy
        self._told = told
        self._past = _Past()

    async def run(self, rounds: tuple[Round, ...]) -> Report:
        """From the first child to the last balance."""
        results: list[RoundResult] = []
        async with asyncio.TaskGroup() as keepers, hub_api(self._base_url) as hub:
            await self._demo.start(hub, keepers)
            for faults in ((), *rounds):
                result = await self._round(len(results), faults, hub)
                results.append(result)
                self._told.round_ended(result)
                if not result.holds:
                    break
            self._told.step("settling")
            await self._demo.hear_all()
            await self._demo.hush()
            final = await self._demo.balance(hub)
            self._told.step("stopping")
            await self._children.stop("agent", "town", "hub")
        return Report(tuple(results[1:] if results[0].holds else results), final, self._children.restarts)

    async def _round(self, number: int, faults: Round, hub: HubApi) -> RoundResult:
        """One round; number 0 has no fault, and shows that everything was well before the first one."""
        self._told.round_began(number, faults)
        loop = asyncio.get_running_loop()
        start, began = loop.time(), _now()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                group.create_task(self._inflict(fault), name=str(fault))
        faults_end = loop.time()
        terms = Terms(0, began, gap_limit_s(faults), self._past.gap_limit_s, self._past.gaps, 0)
        verdict, books = await self._recovered(terms, hub)
        self._past = _Past(frozenset(books.gaps), terms.limit_s)
        tails = {} if not verdict.problems else {name: self._children[name].tail() for name in ("agent", "hub", "town")}
        end = loop.time()
        return RoundResult(number, faults, end - start, end - faults_end, verdict, tails)

    async def _inflict(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at_s)
        match fault.kind:
            case Kind.KILL_AGENT | Kind.KILL_HUB | Kind.KILL_TOWN:
                child = self._children[_VICTIMS[fault.kind]]
                await _alive(lambda: child.pid, child.name)
                child.send(signal.SIGKILL)
            case Kind.KILL_BROKER:
                os.kill(await _alive(self._broker_pid, "the broker"), signal.SIGKILL)
            case Kind.CUT:
                self._proxy.cut()
            case Kind.REFUSED:
                self._proxy.refuse()
            case Kind.BLACK_HOLE:
                self._proxy.black_hole(fault.ways)
            case Kind.SLOW:
                self._proxy.slow(fault.delay_s, fault.bytes_per_s)
        if fault.for_s:
            await asyncio.sleep(fault.for_s)
            if fault.ends_in_cut:
                self._proxy.cut()
            await self._proxy.heal()

    async def _recovered(self, terms: Terms, hub: HubApi) -> tuple[Verdict, Books]:
        """The verdict as soon as there is no problem, or as it stands when the time is over.

        First every device must have spoken again; what was emitted until then is due.
        """
        loop, healed_at = asyncio.get_running_loop(), _now()
        limit = loop.time() + RECOVERY_LIMIT_S
        heard, last = False, None
        while loop.time() < limit:
            books = await self._books(hub)
            if books is not None:
                spoken = spoken_since(books.emissions, healed_at)
                if not heard:
                    heard = all(spoken.get(device, 0) >= HEARD_AGAIN for device in DEVICES)
                    terms = replace(terms, due=len(books.emissions))
                last = judge(books, replace(terms, town_restarts=self._children["town"].restarts)), books
                if heard and not last[0].problems:
                    return last
            await asyncio.sleep(LOOK_EVERY_S)
        if last is None:
            raise ChaosFailed(
                f"For {RECOVERY_LIMIT_S:.0f} s after the last fault the hub or the agent has not answered"
            )
        verdict, books = last
        silent = () if heard else (f"after {RECOVERY_LIMIT_S:.0f} s not every device is heard again",)
        return replace(verdict, problems=(*verdict.problems, *silent)), books

    async def _books(self, hub: HubApi) -> Books | None:
        status = await self._demo.status()
        if status is None or not all(device.is_heard for device in status.devices):
            return None
        with suppress(Unreachable, ProtocolError):
            return await gather(self._layout.town, hub, status, self._demo.subjects)
        return None

    def _broker_pid(self) -> int | None:
        """The broker's process id while it is a child of the hub that runs now."""
        hub = self._children["hub"].pid
        with suppress(OSError, ValueError, IndexError):
            pid = int((self._layout.hub / "nats" / "nats.pid").read_text())
            # proc(5): after the name in parentheses, which may hold anything, state and parent.
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            return pid if parent == hub else None
        return None


async def _alive(pid: Callable[[], int | None], name: str) -> int:
    """The process id, once there is one. Raises ChaosFailed."""
    with suppress(TimeoutError):
        async with asyncio.timeout(ALIVE_LIMIT_S):
            while (found := pid()) is None:  # noqa: ASYNC110  another process sets no event of ours
                await asyncio.sleep(LOOK_EVERY_S)
            return found
    raise ChaosFailed(f"After {ALIVE_LIMIT_S:.0f} s {name} is not back to be killed")


def _now() -> datetime:
    return datetime.now(UTC)
