"""The store keeps each record exactly once, whatever order, repetition or overlap parts arrive in: on every engine."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud_sync.envelope import Hello, Part, encode_hello
from contract.alert import Alert, Transition
from contract.consent import Purpose
from contract.errors import ProtocolError
from contract.ids import AlertId, DeviceId, Epoch, GatewayId
from contract.record import Aggregate, AlertRecord, Gap, GapReason, Measured, Range, Record, Stream
from contract.sample import ClockQuality, Flag, Position, Reading, Series
from hub.arrival import read
from hub.feed import Change
from hub.store.quarantine import KEPT_FOR, MOST_PAYLOADS
from hub.store.rows import PositionValue, ReceivedRow, SeriesValue
from hub.store.store import Store
from hub.store.writing import SEQUENCE_END
from support.stores import EPOCH, GATEWAY, NOW, RIVER, Place, at, level, levels, message, part, stored_levels

spans = st.tuples(st.integers(1, 60), st.integers(0, 25)).map(lambda pair: (pair[0], pair[0] + pair[1]))


_names = count(1)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(groups=st.lists(st.lists(spans, min_size=1, max_size=6), min_size=1, max_size=6))
def test_any_order_repetition_and_overlap_stores_each_record_once(
    place: Place, groups: list[list[tuple[int, int]]]
) -> None:
    """Nothing twice: parts are drawn freely, so that they repeat, overlap and leave holes."""
    gateway = GatewayId(f"gw-{next(_names)}")
    device = DeviceId(f"river-{gateway}")

    async def scenario() -> None:
        async with place.open() as store:
            for group in groups:
                outcome = await store.commit([message(levels(*span, device), gateway=gateway) for span in group])
                assert sorted(r[2:] for r in outcome.receipts[gateway]) == sorted(group)
            sent = {n for group in groups for a, b in group for n in range(a, b + 1)}
            assert await stored_levels(store, device) == sorted(map(float, sent))
            (latest,) = await store.latest(device)
            assert latest.value == max(sent)

    asyncio.run(scenario())


async def test_every_form_of_value_comes_back_as_it_was_sent(store: Store) -> None:
    """Every digit is kept, and "no value" is not a number."""
    members = (
        Reading("air_temperature", 0.1 + 0.2, Flag.GOOD),
        Reading("humidity", None, Flag.MISSING),
        Reading("device_counter", 4294967295, Flag.GOOD),
        Position(33.957831, 130.941459, None, 271.5, Flag.SUSPECT),
        Series("beam_height", (0.8125, 0.79), (-0.79, 0.0), flag=Flag.GOOD),
        Series("acceleration", (1.0, 2.0, 3.0), (0.5, 0.01), is_even=True),
    )
    await store.commit([message(part(1, [Measured(RIVER, NOW, ClockQuality.BOUNDED, members)]))])
    rows = (await store.readings(RIVER)).items
    values = {row.quantity: row.value for row in rows}
    assert values == {
        "air_temperature": 0.1 + 0.2,
        "humidity": None,
        "device_counter": 4294967295.0,
        "position": PositionValue(33.957831, 130.941459, None, 271.5),
        "beam_height": SeriesValue((0.8125, 0.79), (-0.79, 0.0)),
        "acceleration": SeriesValue((1.0, 2.0, 3.0), (0.5, 0.51, 0.52)),
    }
    assert [row.sequence for row in sorted(rows, key=lambda row: row.sequence)] == [1, 2, 3, 4, 5, 6]
    assert {(row.gateway, row.epoch, row.stream, row.clock, row.at) for row in rows} == {
        (GATEWAY, EPOCH, Stream.DATA, ClockQuality.BOUNDED, NOW)
    }
    (device,) = await store.devices()
    assert (device.gateway, device.id, device.last_at) == (GATEWAY, RIVER, NOW)
    assert device.quantities == tuple(sorted(values))


async def test_pages_follow_each_other_without_a_row_lost_or_shown_twice(store: Store) -> None:
    """Many readings share one time, and a page may end between them."""
    records = [
        Measured(RIVER, at(n // 4), ClockQuality.SYNCHRONISED, (Reading(f"q{n % 4}", float(n), Flag.GOOD),))
        for n in range(40)
    ]
    await store.commit([message(part(1, records))])
    assert sorted(await stored_levels(store)) == [float(n) for n in range(40)]
    inside = await store.readings(RIVER, quantity="q1", start=at(2), end=at(5))
    assert [row.value for row in inside.items] == [9.0, 13.0, 17.0]
    assert inside.next_cursor is None


async def test_a_cursor_of_another_list_is_refused(store: Store) -> None:
    for cursor in ("", "x", "é", "W10", "WzEsMl0", "[1]" * 100, "bnVsbA", "W3RydWUsMSwxLDFd"):
        if cursor:
            with pytest.raises(ProtocolError):
                await store.readings(RIVER, cursor=cursor)


async def test_records_of_persons_are_kept_without_what_leads_back_to_the_gateway(store: Store) -> None:
    """Pseudonymous records rest without gateway, device, epoch and sequence, gaps and aggregates too."""
    said = (Reading("heart_rate", 71, Flag.GOOD), Series("rr_interval", (0.85,), (0.0,), flag=Flag.GOOD))
    records: list[Record] = [
        Measured("p0123abcd", NOW, ClockQuality.SYNCHRONISED, said),
        Gap("p0123abcd", None, at(1), at(2), GapReason.RESTART, 3),
    ]
    statistics = Aggregate("p4567", "heart_rate", NOW, 60.0, 58, 70.5, 64.0, 81.0, 58)
    outcome = await store.commit(
        [message(part(10, records, Purpose.RESEARCH), part(13, [statistics], Purpose.STATISTICS))]
    )
    assert outcome.receipts == {GATEWAY: [Range(EPOCH, Stream.DATA, 10, 12), Range(EPOCH, Stream.DATA, 13, 13)]}
    rows = (await store.released()).items
    assert [(row.purpose, row.subject, row.quantity) for row in rows] == [
        (Purpose.RESEARCH, "p0123abcd", "heart_rate"),
        (Purpose.RESEARCH, "p0123abcd", "rr_interval"),
    ]
    assert await store.released_latest() == rows
    (gap,) = (await store.gaps()).items
    assert (gap.gateway, gap.purpose, gap.count) == (None, Purpose.RESEARCH, 3)
    (aggregate,) = await store.aggregates(Purpose.STATISTICS, "heart_rate", NOW, at(1))
    assert (aggregate.purpose, aggregate.mean, aggregate.samples) == (Purpose.STATISTICS, 70.5, 58)
    assert await store.aggregates(Purpose.STATISTICS, "heart_rate", at(1), at(60)) == ()
    assert await store.aggregates(Purpose.RESEARCH, "heart_rate", NOW, at(1)) == ()
    assert {change.gateway for change in outcome.changes if change.kind != "gateway"} == {None}
    assert await store.devices() == ()
    assert (await store.released(purpose=Purpose.KEEP_HUB)).items == ()
    assert (await store.released(audience=(None,))).items == ()


def event(number: int, transition: Transition, name: str = "a" * 32) -> AlertRecord:
    alert = Alert(
        *(AlertId(name), "river_stage", "2026-11-01", transition, at(number), "water_level", 2.5 + number, 2.5),
        *(0 if transition is Transition.CLEARED else 3, "避難判断水位", "Evacuation decision level"),
        (("window_s", 10.0),),
    )
    return AlertRecord(RIVER, alert)


async def test_what_has_arrived_of_one_persons_statistics_is_counted(store: Store) -> None:
    """Two quantities of one window are one window, and whatever a gateway says of it can be counted."""
    shares = [("p1", 0, 60.0, 58), ("p1", 0, 60.0, 0), ("p1", 60, 60.0, 57), ("p2", 120, 1e300, 2**62)]
    records = [
        Aggregate(subject, "heart_rate", at(start), window_s, 9, 70.5, 64.0, 81.0, samples)
        for subject, start, window_s, samples in [*shares, ("p2", 120, -1e300, 2**63 - 1)]
    ]
    await store.commit([message(part(1, records, Purpose.STATISTICS))])
    assert await store.received(Purpose.STATISTICS, "p1") == ReceivedRow(115, 2, at(0), at(120))
    assert await store.received(Purpose.STATISTICS, "p3") == ReceivedRow(0, 0, None, None)
    assert (await store.received(Purpose.STATISTICS, "p2")).windows == 1


async def test_an_alert_is_open_until_cleared_in_whatever_order_its_events_arrive(store: Store) -> None:
    raised, updated = event(1, Transition.RAISED), event(2, Transition.UPDATED)
    await store.commit([message(part(2, [updated], stream=Stream.ALERT))])
    await store.commit([message(part(1, [raised], stream=Stream.ALERT))])
    (row,) = await store.open_alerts()
    assert (row.alert, row.gateway, row.purpose) == (updated.alert, GATEWAY, None)
    await store.commit([message(part(4, [event(4, Transition.CLEARED)], stream=Stream.ALERT))])
    await store.commit([message(part(3, [event(3, Transition.UPDATED)], stream=Stream.ALERT))])
    assert await store.open_alerts() == ()
    events = (await store.alerts()).items
    assert [row.alert.transition.value for row in events] == ["cleared", "updated", "updated", "raised"]
    first = await store.alerts(limit=3)
    rest = await store.alerts(limit=3, cursor=first.next_cursor)
    assert (*first.items, *rest.items) == events


async def test_a_tombstone_uses_its_numbers_up(store: Store) -> None:
    """What was withdrawn and then arrives late, from an older connection, is not stored."""
    await store.commit([message(Part(Range(EPOCH, Stream.DATA, 1, 5), None, b""))])
    outcome = await store.commit([message(part(3, [level(n) for n in range(3, 8)]))])
    assert outcome.records == 2
    assert await stored_levels(store) == [6.0, 7.0]


async def test_what_cannot_be_stored_is_quarantined_and_receipted(store: Store) -> None:
    """Nothing a peer sends may block what comes after it."""
    good = part(1, [level(1)])
    wrong_count = replace(part(2, [level(2)]), range=Range(EPOCH, Stream.DATA, 2, 9))
    garbage = Part(Range(EPOCH, Stream.DATA, 10, 11), None, b"\x00garbage")
    strange = part(12, [Measured("../etc", NOW, ClockQuality.SYNCHRONISED, (Reading("water_level", 1.0),))])
    personal = part(13, [Measured("p1", NOW, ClockQuality.SYNCHRONISED, (Reading("heart_rate", 60.0),))])
    local = replace(personal, purpose=Purpose.ALERT_SELF)
    statistics = replace(personal, purpose=Purpose.STATISTICS, range=Range(EPOCH, Stream.DATA, 14, 14))
    parts = (good, wrong_count, garbage, strange, local, statistics)
    outcome = await store.commit([message(*parts), read("kanmon.gw-1.up.data", b"\xff\xff", NOW)])
    assert outcome.receipts[GATEWAY] == [one.range for one in parts]
    assert (outcome.records, outcome.faults.total()) == (1, 6)
    again = await store.commit([message(*parts)])
    assert (again.records, again.faults.total(), again.repeats) == (0, 0, 6)


@pytest.mark.parametrize(
    "record",
    [
        Measured("strap-1", NOW, ClockQuality.SYNCHRONISED, (Reading("heart_rate", 61.5),)),
        Measured("strap-1", NOW, ClockQuality.SYNCHRONISED, (Series("rr_interval", (0.85,), (0.0,)),)),
        Measured("river-1", NOW, ClockQuality.SYNCHRONISED, (Reading("water_level", 1.0), Reading("heart_rate", 61.5))),
        Aggregate("strap-1", "heart_rate", NOW, 60.0, 58, 61.5, 60.0, 63.0, 58),
        Gap("strap-1", "heart_rate", NOW, at(1), GapReason.RESTART),
        AlertRecord("strap-1", replace(event(1, Transition.RAISED).alert, quantity="heart_rate")),
    ],
)
async def test_what_only_a_person_has_is_refused_without_a_purpose(store: Store, record: Record) -> None:
    """Nothing leaves without consent: should a gateway ever forget it, nothing of it is stored to be read."""
    outcome = await store.commit([message(part(1, [record]))])
    assert (outcome.records, outcome.faults.total()) == (0, 1)
    assert await store.devices() == ()
    assert (await store.received(Purpose.STATISTICS, "strap-1")).windows == 0
    assert (await store.gaps()).items == ()
    assert (await store.alerts()).items == ()


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" + "0" * 400, '"x"', "[1]", "[1,2,3,4,5]", "[[1],[2],7,8]"])
async def test_a_number_no_database_holds_is_quarantined(store: Store, number: str) -> None:
    import zlib

    whole = zlib.decompress(part(1, [level(1)]).blob).decode()
    broken = zlib.compress(whole.replace('"values":[1.0]', f'"values":[{number}]').encode())
    outcome = await store.commit([message(Part(Range(EPOCH, Stream.DATA, 1, 1), None, broken))])
    assert (outcome.records, outcome.faults.total()) == (0, 1)


@settings(max_examples=100, deadline=None)
@given(subject=st.text(max_size=40), payload=st.binary(max_size=200))
def test_no_message_raises(subject: str, payload: bytes) -> None:
    arrival = read(subject, payload, NOW)
    assert arrival.fault is not None
    assert read("kanmon.gw-1.up.data", payload, NOW).fault is not None


async def test_a_gateway_is_known_by_its_hello(store: Store) -> None:
    await store.commit([read("kanmon.gw-1.up.hello", encode_hello(Hello("kanmon 0.1.0", EPOCH)), at(5))])
    await store.commit([replace(message(part(1, [level(1)])), at=at(9))])
    (row,) = await store.gateways()
    assert (row.id, row.first_seen, row.last_seen) == (GATEWAY, at(5), at(9))
    assert (row.epoch, row.software) == (EPOCH, "kanmon 0.1.0")


async def test_what_is_committed_is_there_after_reopening(place: Place) -> None:
    async with place.open() as store:
        await store.commit([message(part(1, [level(1), level(2)]))])
    async with place.open() as store:
        outcome = await store.commit([message(part(2, [level(2), level(3)]))])
        assert outcome.records == 1
        assert await stored_levels(store) == [1.0, 2.0, 3.0]


async def test_what_is_quarantined_is_bounded_and_expires(store: Store) -> None:
    for number in range(MOST_PAYLOADS + 5):
        await store.commit([read("kanmon.gw-1.up.data", f"canary-{number}".encode(), NOW)])
    kept = await store.quarantined()
    assert [payload for _, payload in kept] == [f"canary-{n}".encode() for n in range(5, MOST_PAYLOADS + 5)]
    await store.commit([read("kanmon.gw-1.up.data", b"late", NOW + KEPT_FOR + timedelta(seconds=1))])
    assert [payload for _, payload in await store.quarantined()] == [b"late"]


async def test_numbers_beyond_what_the_repeat_check_holds_are_refused(store: Store) -> None:
    """A gateway that counts from nowhere is answered and blocks nothing."""
    range_ = Range(EPOCH, Stream.DATA, SEQUENCE_END - 1, SEQUENCE_END)
    outcome = await store.commit([message(replace(levels(1, 2), range=range_), levels(3, 4))])
    assert (outcome.records, outcome.faults.total()) == (2, 1)
    assert outcome.receipts[GATEWAY] == [range_, Range(EPOCH, Stream.DATA, 3, 4)]


async def test_a_text_that_postgresql_cannot_hold_is_quarantined_and_blocks_nothing(store: Store) -> None:
    hello = read("kanmon.gw-2.up.hello", encode_hello(Hello("kanmon \0", EPOCH)), NOW)
    outcome = await store.commit([message(levels(1, 2)), hello, message(levels(3, 4))])
    assert outcome.records == 4
    assert await stored_levels(store) == [1.0, 2.0, 3.0, 4.0]


async def test_what_a_gateway_holds_receipts_for_and_the_hub_has_lost_is_a_gap_once(store: Store) -> None:
    """A hub restored from a backup says what it lost, and takes the numbers for known from then on."""
    await store.commit([message(levels(3, 5))])
    other = Epoch("00000000000000ff")
    receipted = (Range(EPOCH, Stream.DATA, 1, 7), Range(other, Stream.ALERT, 1, 10), Range(other, Stream.DATA, 9, 1))
    hello = read("kanmon.gw-1.up.hello", encode_hello(Hello("kanmon 0.1.0", other, receipted)), at(60))
    outcome = await store.commit([hello])
    assert Change("gap", GATEWAY, GATEWAY) in outcome.changes
    assert outcome.receipts == {}
    (gap,) = (await store.gaps()).items
    assert (gap.gateway, gap.subject, gap.quantity, gap.count) == (GATEWAY, GATEWAY, None, 14)
    assert (gap.reason, gap.start, gap.end) == (GapReason.HUB_RESTORED, at(60), at(60))
    await store.commit([hello])
    assert len((await store.gaps()).items) == 1
    assert (await store.commit([message(levels(1, 8))])).records == 1
    assert await stored_levels(store) == [3.0, 4.0, 5.0, 8.0]
