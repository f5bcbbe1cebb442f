"""Rounds of faults on benches of every set-up, and the ledger after each."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from contract.errors import ProtocolError, Unreachable
from contract.record import GapReason
from firmware_sim import chaos_clock, gateway_files, ports, scenario
from firmware_sim.chaos_bench import Bench
from firmware_sim.chaos_benches import bench_of
from firmware_sim.chaos_clock import WrongClock
from firmware_sim.chaos_faults import Faults
from firmware_sim.chaos_judge import Terms, Verdict, judge, spoken_since
from firmware_sim.chaos_link import Link, link
from firmware_sim.chaos_memory import AgentMemory
from firmware_sim.chaos_plan import Round, blocks
from firmware_sim.chaos_told import BlockResult, Report, RoundResult, Told
from firmware_sim.children import Children
from firmware_sim.demo import LOOK_EVERY_S, Demo, Options, agent_command, single_failure, town_command
from firmware_sim.ledger import Books, Span, strays
from firmware_sim.patience import ChaosFailed
from firmware_sim.plan import BUS, RIVER, STRAPS, Layout
from firmware_sim.ports import HOST
from firmware_sim.sources import AgentStatus, HubApi, hub_api

RECOVERY_LIMIT_S = 75.0
"""How long after the last fault everything may take to arrive. Seconds are normal; but a publish into a black hole
fails after 10 s, a connection made into it after 10 s more, and the gateway's back-off may wait its 30 s."""
MOST_STRAYS = 40
HEARD_AGAIN = 2
"""So often each device must have spoken after the last fault: the first sample ends a gap."""
DEVICES = (RIVER, BUS, *sorted(STRAPS))


async def run(
    root: Path, seed: int, rounds: Sequence[Round], told: Told, hub_keys: Mapping[str, float], *, keep: bool
) -> Report:
    """Play `rounds` until one fails, each run of one set-up in a folder below `root` that goes afterwards.

    `hub_keys`: of the gateway's table [hub]. `keep`: the folders stay. Raises KanmonError when a part cannot be
    started, or does not come back for its fault.
    """
    done: list[BlockResult] = []
    played = 0
    for number, block in enumerate(blocks(rounds), start=1):
        layout = Layout(root / f"{number}-{block[0].setup}")
        options = Options(layout, ports.choose(0), seed, scenario.STAGES_M)
        with single_failure():
            async with _chaos(options, block[0], told, hub_keys) as chaos:
                done.append(await chaos.run(block, played))
        if not done[-1].holds:
            break
        if not keep:
            shutil.rmtree(layout.root, ignore_errors=True)
        played += len(block)
    return Report(tuple(done))


def _told_strays(books: Books, verdict: Verdict) -> str:
    """What the ledger cannot explain, of devices of which it has single samples; one line each."""
    rows = verdict.balance.devices
    lines = [f"{at.isoformat()} {device} {what}" for device, what, at in strays(books) if rows[device].stored]
    return "\n".join(lines[:MOST_STRAYS])


@asynccontextmanager
async def _chaos(options: Options, first: Round, told: Told, hub_keys: Mapping[str, float]) -> AsyncIterator["Chaos"]:
    layout = options.layout
    layout.logs.mkdir(parents=True, exist_ok=True)
    layout.town.facts.unlink(missing_ok=True)
    library = chaos_clock.library()
    async with AsyncExitStack() as stack:
        # First in, last out: the servers that a bench needs end after its hubs.
        children = await stack.enter_async_context(Children(layout.logs, told.restarted))
        bench = await stack.enter_async_context(bench_of(first.setup, options, children))
        way = await stack.enter_async_context(link(bench.mqtt_ports))
        clock = WrongClock(library, layout.root) if library else None
        gateway_files.write(layout, options.ports, options.stages_m, way.ports, hub_keys)
        yield Chaos(bench, children, way, clock, told)


@dataclass(frozen=True, slots=True)
class _Past:
    """What earlier rounds leave to the next one."""

    gaps: frozenset[Span] = frozenset()
    gap_limit_s: float = 0.0
    gap_reasons: frozenset[GapReason] = frozenset()


class _RememberingDemo(Demo):
    """A demo whose books hold what the agent knew before a fault destroyed its outbox."""

    memory: AgentMemory

    async def books(self, hub: HubApi, status: AgentStatus) -> Books:
        """Everything a balance needs, as it is now."""
        return self.memory.complete(await super().books(hub, status))

    async def status(self) -> AgentStatus | None:
        """The agent's status, remembered."""
        status = await super().status()
        if status is not None:
            self.memory.learn(status)
        return status


class Chaos:
    """One run over the children of one bench."""

    def __init__(self, bench: Bench, children: Children, way: Link, clock: WrongClock | None, told: Told) -> None:
        options = bench.options
        agent = agent_command(options)
        if clock is not None:
            agent = replace(agent, environment={**agent.environment, **clock.environment})
        commands = (*bench.hubs, town_command(options), agent)
        self._base_url = f"http://{HOST}:{options.ports.http}"
        self._names = tuple(command.name for command in commands)
        self._demo = _RememberingDemo(options, children, told, commands)
        self._demo.memory = AgentMemory(self._demo.status)
        self._faults = Faults(bench, children, way, clock, self._demo.memory)
        self._bench = bench
        self._children = children
        self._told = told
        self._past = _Past()

    async def run(self, rounds: Sequence[Round], played: int) -> BlockResult:
        """From the first child to the last balance; `played` rounds were before these."""
        results: list[RoundResult] = []
        quiet = replace(rounds[0], faults=())
        async with asyncio.TaskGroup() as keepers, hub_api(self._base_url) as hub:
            await self._demo.register()
            await self._bench.prepare(keepers)
            await self._demo.start(hub, keepers)
            for number, one in enumerate((quiet, *rounds)):
                result = await self._round(played + number, one, hub)
                results.append(result)
                self._told.round_ended(result)
                if not result.holds:
                    break
            self._told.step("settling")
            await self._demo.hear_all()
            await self._demo.hush()
            final = await self._demo.balance(hub)
            self._told.step("stopping")
            await self._children.stop("agent", "town", *self._names, *self._bench.servers)
        return BlockResult(tuple(results[1:] if results[0].holds else results), final, self._children.restarts)

    async def _round(self, number: int, one: Round, hub: HubApi) -> RoundResult:
        """One round; the first of a block has no fault, and shows that everything was well before the next one."""
        self._told.round_began(number, one)
        loop = asyncio.get_running_loop()
        start, began = loop.time(), datetime.now(UTC)
        async with asyncio.TaskGroup() as group:
            for fault in one.faults:
                group.create_task(self._faults.inflict(fault), name=str(fault))
        faults_end = loop.time()
        past = self._past
        terms = Terms(0, began, one.gap_limit_s, past.gap_limit_s, past.gaps, 0, one.gap_reasons, past.gap_reasons)
        verdict, books = await self._recovered(terms, hub)
        self._past = _Past(frozenset(books.gaps), one.gap_limit_s, one.gap_reasons)
        tails: dict[str, str] = {}
        if verdict.problems:
            tails = {name: self._children[name].tail() for name in self._names}
            tails["ledger"] = _told_strays(books, verdict)
        end = loop.time()
        return RoundResult(number, one, end - start, end - faults_end, verdict, tails)

    async def _recovered(self, terms: Terms, hub: HubApi) -> tuple[Verdict, Books]:
        """The verdict as soon as there is no problem, or as it stands when the time is over.

        First every device must have spoken again; what was emitted until then is due.
        """
        loop, healed_at = asyncio.get_running_loop(), datetime.now(UTC)
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
            return await self._demo.books(hub, status)
        return None
