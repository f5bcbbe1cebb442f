"""The inbox keeps order, refuses what no longer fits, and gives out what waits after it was closed."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from drivers.links.inbox import Inbox


async def test_items_come_out_in_order_and_then_the_end() -> None:
    inbox = Inbox[int](3)
    assert [inbox.offer(item) for item in range(5)] == [True, True, True, False, False]
    inbox.close()
    assert not inbox.offer(9)
    assert [await inbox.take() for _ in range(5)] == [0, 1, 2, None, None]


async def test_the_first_item_after_a_refused_one_says_so() -> None:
    inbox = Inbox[int](1)
    assert [inbox.offer(1), inbox.offer(2)] == [True, False]
    assert (await inbox.take(), inbox.follows_loss) == (1, False)
    assert [inbox.offer(3)] == [True]
    assert (await inbox.take(), inbox.follows_loss) == (3, True)
    assert inbox.offer(4)
    assert (await inbox.take(), inbox.follows_loss) == (4, False)


async def test_a_waiting_taker_is_woken_by_an_item_and_by_the_end() -> None:
    inbox = Inbox[str](1)
    async with asyncio.timeout(2), asyncio.TaskGroup() as group:
        first = group.create_task(inbox.take())
        await asyncio.sleep(0)
        inbox.offer("a")
    async with asyncio.timeout(2), asyncio.TaskGroup() as group:
        second = group.create_task(inbox.take())
        await asyncio.sleep(0)
        inbox.close()
    assert (first.result(), second.result()) == ("a", None)


@given(st.lists(st.booleans(), max_size=60))
def test_nothing_taken_was_refused_and_nothing_accepted_is_lost(steps: list[bool]) -> None:
    async def run() -> None:
        inbox = Inbox[int](4)
        accepted: list[int] = []
        taken: list[int | None] = []
        for number, is_offer in enumerate(steps):
            if is_offer:
                accepted += [number] if inbox.offer(number) else []
            elif len(taken) < len(accepted):
                taken.append(await inbox.take())
        inbox.close()
        while (item := await inbox.take()) is not None:
            taken.append(item)
        assert taken == accepted

    asyncio.run(run())
