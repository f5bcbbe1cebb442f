"""The upkeep of the store: rounds at a steady pace, faster while there is more, and never the end of the hub."""

import asyncio
from datetime import UTC, datetime

import pytest

from contract.errors import StoreFull
from hub.maintenance import keep_in_order
from support.waiting import until

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


class Rounds:
    """Rounds that end as they are told to: with more to do, with nothing more, or in a failure."""

    def __init__(self, *ends: bool | None) -> None:
        self.ends = list(ends)
        self.done = 0

    async def __call__(self, at: datetime) -> bool:
        assert at == NOW
        self.done += 1
        end = self.ends.pop(0) if self.ends else False
        if end is None:
            raise StoreFull("no room")
        return end


async def kept(rounds: Rounds, period_s: float, count: int) -> None:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(keep_in_order(rounds, lambda: NOW, period_s))
        await until(lambda: rounds.done >= count)
        task.cancel()


async def test_a_failing_upkeep_is_told_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    await kept(Rounds(False, None, None, None, False, False), 0.001, 8)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


async def test_what_is_left_is_done_before_the_next_period() -> None:
    """After a long rest the hub catches up instead of doing one round an hour."""
    rounds = Rounds(True, True, True, False)
    await kept(rounds, 3600, 4)
    assert rounds.done == 4
