"""Gathers the ledger's books from the town's recorder, the hub and the agent."""

from contract.record import GapReason
from firmware_sim.ledger import Books, Span, StoredSample, Window
from firmware_sim.plan import BUS, BUS_QUANTITIES, RIVER, RIVER_QUANTITIES, STRAP_QUANTITIES, STRAPS, TownLayout
from firmware_sim.recorder import read_emissions
from firmware_sim.sources import AgentStatus, HubApi, Subjects


async def gather(town: TownLayout, hub: HubApi, status: AgentStatus, subjects: Subjects) -> Books:
    """Everything a balance needs, as it is now. Raises Unreachable, ProtocolError and Tampered."""
    subjects.learn(status)
    stored = [*await hub.things(RIVER, RIVER_QUANTITIES), *await hub.things(BUS, BUS_QUANTITIES)]
    windows: list[Window] = []
    for strap in sorted(STRAPS):
        stored += await _released(hub, strap, subjects)
        windows += await hub.windows(strap, subjects.of(strap, "statistics"))
    downtime = [Span(None, start, end, GapReason.RESTART) for start, end in status.downtime]
    return Books(
        emissions=list(read_emissions(town.emitted)),
        stored=stored,
        windows=windows,
        gaps=[*await hub.gaps(subjects), *downtime],
        personal=STRAPS,
        summed=frozenset(strap for strap in STRAPS if subjects.of(strap, "statistics")),
        withheld=status.withheld,
        open_windows=status.open_windows,
        alerts=len(await hub.alert_ids()),
    )


async def _released(hub: HubApi, strap: str, subjects: Subjects) -> list[StoredSample]:
    return await hub.released(strap, subjects.of(strap, "research"), *STRAP_QUANTITIES)
