"""Rollups are what a plain computation over the stored values gives, however late, often or unordered they came."""

import asyncio
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.ids import DeviceId, GatewayId
from contract.record import Measured
from contract.sample import ClockQuality, Flag, Position, Reading
from hub.store.retention import Retention
from hub.store.rollups import Step
from hub.store.rows import RollupRow
from hub.store.store import Store
from support.stores import NOW, RIVER, Place, at, level, levels, message, part

LATER = NOW + timedelta(minutes=10)
_names = count(1)


async def maintained(store: Store, now: datetime = LATER, retention: Retention | None = None) -> int:
    """Rounds of maintenance until nothing is left; returns how many minutes were computed."""
    minutes = 0
    for _ in range(200):
        done = await store.maintain(now, retention)
        minutes += done.minutes
        if not done.more:
            return minutes
    raise AssertionError("maintenance does not come to an end")


async def rolled(store: Store, step: Step, device: str = RIVER, limit: int = 3) -> list[RollupRow]:
    rows, cursor = [], None
    while True:
        page = await store.rollups(DeviceId(device), "water_level", step, limit=limit, cursor=cursor)
        rows += page.items
        cursor = page.next_cursor
        if cursor is None:
            return rows


def plain(values: list[tuple[datetime, int, float, Flag]], step: Step) -> list[tuple]:
    """(start, count, mean, least, greatest, last) of (time, sequence, value, flag), computed anew."""
    windows = defaultdict(list)
    for when, sequence, value, flag in values:
        if flag not in (Flag.FAIL, Flag.MISSING):
            start = int(when.timestamp()) // step.value * step.value
            windows[start].append((when, sequence, value))
    found = []
    for start, rows in sorted(windows.items()):
        numbers = [value for _, _, value in rows]
        mean = sum(numbers) / len(numbers)
        edges = (min(numbers), max(numbers), max(rows)[2])
        found.append((datetime.fromtimestamp(start, UTC), len(numbers), pytest.approx(mean), *edges))
    return found


def shown(rows: list[RollupRow]) -> list[tuple]:
    return [(row.start, row.count, row.mean, row.minimum, row.maximum, row.last) for row in rows]


moments = st.one_of(st.integers(-200, 400), st.sampled_from([-90_000, -3600, 3599, 86_400, 3 * 86_400]))
samples = st.tuples(moments, st.integers(-1000, 1000), st.sampled_from([Flag.GOOD, Flag.SUSPECT, Flag.FAIL]))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    said=st.lists(samples, min_size=1, max_size=40),
    cuts=st.lists(st.tuples(st.integers(0, 39), st.integers(1, 8), st.booleans()), max_size=12),
)
def test_rollups_equal_a_plain_computation(
    place: Place, said: list[tuple[int, int, Flag]], cuts: list[tuple[int, int, bool]]
) -> None:
    """Parts arrive late, repeated and overlapping, with rounds of maintenance in between."""
    gateway = GatewayId(f"gw-{next(_names)}")
    device = f"river-{gateway}"
    records = [
        Measured(device, at(seconds), ClockQuality.SYNCHRONISED, (Reading("water_level", float(value), flag),))
        for seconds, value, flag in said
    ]

    async def scenario() -> None:
        async with place.open() as store:
            for first, length, maintains in [*cuts, (0, len(records), False)]:
                some = records[first : first + length]
                if some:
                    await store.commit([message(part(first + 1, some), gateway=gateway)])
                if maintains:
                    await maintained(store)
            await maintained(store)
            values = [(at(seconds), n, float(value), flag) for n, (seconds, value, flag) in enumerate(said)]
            for step in Step:
                assert shown(await rolled(store, step, device)) == plain(values, step)

    asyncio.run(scenario())


async def test_a_round_that_is_cut_short_anywhere_is_made_up_for(store: Store) -> None:
    """SQLite commits after each statement, so that ingest need not wait: what was left undone is done by the next."""
    said = [(at(seconds), number, float(number), Flag.GOOD) for number, seconds in enumerate(range(0, 240, 7))]
    for number, (when, _, value, flag) in enumerate(said):
        one = Measured(RIVER, when, ClockQuality.SYNCHRONISED, (Reading("water_level", value, flag),))
        await store.commit([message(part(number + 1, [one]))])
        maintaining = asyncio.create_task(store.maintain(LATER))
        for _ in range(number * number):
            await asyncio.sleep(0)
        maintaining.cancel()
        await asyncio.wait([maintaining])
    await maintained(store)
    for step in Step:
        assert shown(await rolled(store, step)) == plain(said, step)


async def test_a_minute_is_rolled_up_once_it_is_over(store: Store) -> None:
    """Not again and again while it fills; a clock that runs ahead does not hold it up."""
    await store.commit([message(levels(1, 2))])
    assert (await store.maintain(NOW + timedelta(seconds=59))).minutes == 0
    assert (await store.maintain(NOW + timedelta(seconds=60))).minutes == 1
    assert (await store.maintain(NOW + timedelta(seconds=61))).minutes == 0
    ahead = Measured(RIVER, NOW + timedelta(days=3000), ClockQuality.UNSYNCHRONISED, (Reading("water_level", 9.0),))
    await store.commit([message(part(3, [ahead, level(4)]))])
    assert (await store.maintain(NOW + timedelta(seconds=60))).minutes == 2
    assert [(row.count, row.last) for row in await rolled(store, Step.MINUTE)] == [(3, 4.0), (1, 9.0)]


async def test_what_is_no_number_is_left_out(store: Store) -> None:
    """Positions, missing values, values that failed and values that no sum can hold."""
    members = (
        Reading("water_level", 1e300, Flag.UNKNOWN),
        Reading("water_level", 5.0, Flag.FAIL),
        Reading("water_level", None, Flag.MISSING),
        Position(33.9, 130.9),
    )
    await store.commit([message(part(1, [Measured(RIVER, NOW, ClockQuality.SYNCHRONISED, members)]))])
    await maintained(store)
    assert await rolled(store, Step.MINUTE) == []


async def test_every_digit_of_a_rollup_is_kept(store: Store) -> None:
    value = 0.1 + 0.2
    one = Measured(RIVER, at(1), ClockQuality.SYNCHRONISED, (Reading("water_level", value, Flag.GOOD),))
    await store.commit([message(part(1, [one]))])
    await maintained(store)
    for step in Step:
        (row,) = await rolled(store, step)
        assert (row.mean, row.minimum, row.maximum, row.last) == (value, value, value, value)


async def test_a_round_does_bounded_work_and_says_when_more_is_left(store: Store) -> None:
    """A backlog of hours is rolled up in rounds that ingest can come between."""
    backlog = [level(60 * n) for n in range(1, 12_001)]
    for first in range(0, len(backlog), 1000):
        await store.commit([message(part(first + 1, backlog[first : first + 1000]))])
    done = await store.maintain(LATER + timedelta(days=9))
    assert done.more
    assert done.minutes == 1000  # one note
    assert await maintained(store, LATER + timedelta(days=9)) == 11_000
    assert sum(row.count for row in await rolled(store, Step.DAY)) == 12_000


async def test_of_several_processes_one_maintains(place: Place) -> None:
    if place.url is None:
        pytest.skip("SQLite has one process")
    async with place.open() as one, place.open() as other:
        await one.commit([message(levels(1, 100))])
        rounds = await asyncio.gather(*(store.maintain(LATER) for store in (one, other) * 3))
        await maintained(one)
        assert sum(done.minutes for done in rounds) == 2
        assert sum(row.count for row in await rolled(one, Step.HOUR)) == 100
