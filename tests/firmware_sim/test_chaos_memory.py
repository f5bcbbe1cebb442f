"""What an agent told before its outbox was lost stays in the ledger's books, once."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from firmware_sim.chaos_memory import LEDGERS_OWN, AgentMemory
from firmware_sim.ledger import Books
from firmware_sim.sources import AgentStatus

T0 = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
DOWNTIME = (T0, T0 + timedelta(seconds=3))


def status(epoch: str, withheld: int, *downtime: tuple[datetime, datetime]) -> AgentStatus:
    outbox = {"alert": 0, "data": 0}
    told = {"epoch": epoch, "started_at": T0, "withheld": withheld, "open_windows": 0, "outbox": outbox}
    return AgentStatus.model_validate({**told, "downtime": downtime})


def asked(*statuses: AgentStatus) -> Callable[[], Awaitable[AgentStatus | None]]:
    answers = iter(statuses)

    async def ask() -> AgentStatus | None:
        return next(answers)

    return ask


async def test_counts_and_downtimes_of_a_lost_file_are_carried_on() -> None:
    first = status("a", 40, DOWNTIME)
    memory = AgentMemory(asked(first))
    memory.learn(first)
    async with memory.outbox_lost():
        pass
    memory.learn(status("a", 41, DOWNTIME))  # the life that is about to end
    memory.learn(status("b", 2))
    books = memory.complete(Books([], [], withheld=2))
    assert books.withheld == 42
    assert {(gap.start, gap.reason) for gap in books.gaps if gap.reason != LEDGERS_OWN} == {(T0, "restart")}
    assert [gap.device for gap in books.gaps if gap.reason == LEDGERS_OWN] == [None]


async def test_an_agent_that_still_knows_its_counts_is_believed() -> None:
    memory = AgentMemory(asked(status("a", 40)))
    memory.learn(status("a", 40))
    async with memory.outbox_lost():
        pass
    memory.learn(status("b", 41))
    assert memory.complete(Books([], [], withheld=41)).withheld == 41


async def test_a_file_put_back_loses_what_was_counted_since_its_copy() -> None:
    memory = AgentMemory(asked(status("a", 40), status("a", 55)))
    memory.learn(status("a", 40))
    async with memory.outbox_restored() as outbox:
        await outbox.copied()
        await outbox.dies()
    memory.learn(status("b", 41))
    assert memory.complete(Books([], [], withheld=41)).withheld == 41 + 15
