"""What the agent told of devices that share nothing, kept for the ledger when a fault destroys the file it lay in.

Of such devices the gateway keeps counts alone. They lie in its outbox's file; with an older file, or none, it counts
from there on. What was counted before still happened.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from contract.record import GapReason
from firmware_sim.ledger import Books, Span
from firmware_sim.sources import AgentStatus

OPEN_WINDOW_S = 62.0
"""A gateway's statistics rest on windows of a minute, and it waits 2 s for late ones: it dies with its file."""
COMMIT_MARGIN_S = 2.0
LEDGERS_OWN = "ledger"
"""The reason of spans that are noted here and not declared by anyone: no fault is judged by their length."""


@dataclass(slots=True)
class OutboxCopy:
    """The counts at the moments that matter to a file which is put back later."""

    ask: Callable[[], Awaitable[AgentStatus | None]]
    copied_at: datetime
    in_copy: int = 0
    at_death: int = 0

    async def copied(self) -> None:
        """The file was copied a moment ago."""
        status = await self.ask()
        self.in_copy = status.withheld if status else 0

    async def dies(self) -> None:
        """The agent is about to be killed."""
        status = await self.ask()
        self.at_death = status.withheld if status else self.in_copy


class AgentMemory:
    """Counts and downtimes over all lives of one agent. `ask`: its status, None while it does not answer."""

    def __init__(self, ask: Callable[[], Awaitable[AgentStatus | None]]) -> None:
        self._ask = ask
        self._carried = 0
        self._epoch = ""
        self._downtime: set[tuple[datetime, datetime]] = set()
        self._spans: list[Span] = []
        self._lost: tuple[int, int, datetime] | None = None
        """Of a file that was just lost: count when it was, count that the next file begins with, since when."""

    def learn(self, status: AgentStatus) -> None:
        """Take up a status; the first one after a loss tells whether anything is missing from it."""
        self._downtime.update(status.downtime)
        if self._lost is not None and status.epoch != self._epoch:
            at_death, in_file, since = self._lost
            if status.withheld < at_death:
                self._carried += at_death - in_file
            self._spans.append(Span(None, since, status.started_at, LEDGERS_OWN))
            self._lost = None
        self._epoch = status.epoch

    def complete(self, books: Books) -> Books:
        """`books` with what the agent no longer knows."""
        downtime = {Span(None, start, end, GapReason.RESTART) for start, end in self._downtime}
        gaps = [*books.gaps, *(downtime - frozenset(books.gaps)), *self._spans]
        return replace(books, gaps=gaps, withheld=books.withheld + self._carried)

    @asynccontextmanager
    async def outbox_lost(self) -> AsyncIterator[None]:
        """The file is lost inside, with all it held."""
        status = await self._ask()
        at_death = status.withheld if status else 0
        self._lost = at_death, 0, _now() - timedelta(seconds=OPEN_WINDOW_S)
        yield

    @asynccontextmanager
    async def outbox_restored(self) -> AsyncIterator[OutboxCopy]:
        """The file is copied and put back inside."""
        copy = OutboxCopy(self._ask, _now())
        yield copy
        self._lost = copy.at_death, copy.in_copy, copy.copied_at - timedelta(seconds=COMMIT_MARGIN_S)


def _now() -> datetime:
    return datetime.now(UTC)
