"""Records are removed after the time that is set for them, never the latest value, never more than a round may."""

from datetime import timedelta

from contract.consent import Purpose
from contract.record import Aggregate, Measured
from contract.sample import ClockQuality, Flag, Reading
from hub.store.retention import Retention
from hub.store.rollups import Step
from hub.store.store import Store
from support.stores import NOW, RIVER, level, levels, message, part, stored_levels

TEN_DAYS = Retention(telemetry_days=10, minute_days=10)


async def removed(store: Store, days: float, retention: Retention = TEN_DAYS) -> int:
    """Rounds of maintenance `days` from now until nothing is left; returns how many rows went one by one."""
    total = 0
    for _ in range(100):
        done = await store.maintain(NOW + timedelta(days=days), retention)
        total += done.removed
        if not done.more:
            return total
    raise AssertionError("maintenance does not come to an end")


async def test_telemetry_is_removed_when_it_is_over_and_the_latest_value_stays(store: Store) -> None:
    """A station that fell silent a year ago still shows what it said last."""
    await store.commit([message(levels(1, 3))])
    await removed(store, 9.9)
    assert await stored_levels(store) == [1.0, 2.0, 3.0]
    await removed(store, 30)
    assert await stored_levels(store) == []
    (latest,) = await store.latest(RIVER)
    assert latest.value == 3.0
    (device,) = await store.devices()
    assert device.id == RIVER
    assert (await store.commit([message(levels(1, 3))])).records == 0


async def test_a_quantity_is_kept_as_long_as_is_set_for_it(store: Store) -> None:
    members = (Reading("water_level", 1.0, Flag.GOOD), Reading("humidity", 2.0, Flag.GOOD))
    await store.commit([message(part(1, [Measured(RIVER, NOW, ClockQuality.SYNCHRONISED, members)]))])
    retention = Retention(telemetry_days=20, quantities={"humidity": 5, "water_level": None})
    await removed(store, 8, retention)
    assert [row.quantity for row in (await store.readings(RIVER)).items] == ["water_level"]
    await removed(store, 3000, retention)
    assert [row.quantity for row in (await store.readings(RIVER)).items] == ["water_level"]
    assert {row.quantity for row in await store.latest(RIVER)} == {"humidity", "water_level"}


async def test_rollups_outlive_what_they_were_made_of(store: Store) -> None:
    """Hours and days stay; what comes late for a day that was removed does not spoil them."""
    await store.commit([message(levels(1, 3))])
    await removed(store, 1)
    await removed(store, 30)
    await store.commit([message(part(4, [level(4)]))])
    await removed(store, 30)
    found = {step: (await store.rollups(RIVER, "water_level", step)).items for step in Step}
    assert found[Step.MINUTE] == ()
    assert [row.count for row in found[Step.HOUR]] == [3]
    assert [(row.count, row.mean) for row in found[Step.DAY]] == [(3, 2.0)]


async def test_what_persons_released_goes_when_their_purpose_says(store: Store) -> None:
    said = Measured("p0123abcd", NOW, ClockQuality.SYNCHRONISED, (Reading("heart_rate", 71.0, Flag.GOOD),))
    statistics = Aggregate("p4567", "heart_rate", NOW, 60.0, 58, 70.5, 64.0, 81.0, 58)
    parts = (part(1, [said], Purpose.RESEARCH), part(2, [said], Purpose.KEEP_HUB))
    await store.commit([message(*parts, part(3, [statistics], Purpose.STATISTICS))])
    await removed(store, 3000)
    assert len((await store.released()).items) == 2
    await removed(store, 3001, Retention(purposes={Purpose.RESEARCH: 30, Purpose.STATISTICS: 30}))
    assert [row.purpose for row in (await store.released()).items] == [Purpose.KEEP_HUB]
    assert (await store.received(Purpose.STATISTICS, "p4567")).windows == 0


async def test_a_round_removes_a_bounded_number_of_rows(store: Store) -> None:
    """Ingest comes between the rounds, also when years are removed at once."""
    for first in range(1, 12_001, 1000):
        await store.commit([message(levels(first, first + 999))])
    other = Retention(telemetry_days=10, quantities={"humidity": None})
    await removed(store, 1, other)
    done = await store.maintain(NOW + timedelta(days=30), other)
    assert done.more
    assert 0 < done.removed <= 11_000
    await removed(store, 30, other)
    assert await stored_levels(store) == []
