"""Times stamped before synchronisation: put right by what is known of their boot, never changed where they lie."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.blob import decode, encode, from_ms, to_ms
from contract.boot import BootId, BootTime, TimeBase
from contract.errors import ProtocolError
from contract.record import Aggregate, Gap, GapReason, Measured, Record
from contract.sample import ClockQuality, Flag, Reading

BOOT = BootId("0123456789abcdef" * 2)
DAWN = datetime(1970, 1, 1, tzinfo=UTC)
BASE = TimeBase(BOOT, 0)
TRUE_ZERO = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)


def stamped(seconds: float) -> datetime:
    return DAWN + timedelta(seconds=seconds)


def records() -> list[Record]:
    return [
        Measured("river-1", stamped(30), ClockQuality.UNSYNCHRONISED, (Reading("water_level", 1.5, Flag.GOOD),)),
        Aggregate("p", "heart_rate", stamped(60), 60.0, 9, 70.0, 60.0, 80.0, 9),
        Gap("river-1", None, stamped(10), stamped(30), GapReason.UNREACHABLE),
    ]


def test_a_boot_whose_time_was_learnt_corrects_every_time():
    blob = encode(records(), BASE)
    measured, aggregate, gap = decode(blob, {BOOT: BootTime(BOOT, to_ms(TRUE_ZERO))})
    assert measured == Measured(
        "river-1",
        TRUE_ZERO + timedelta(seconds=30),
        ClockQuality.CORRECTED,
        (Reading("water_level", 1.5, Flag.GOOD),),
    )
    assert aggregate.start == TRUE_ZERO + timedelta(seconds=60)
    assert (gap.start, gap.end) == (TRUE_ZERO + timedelta(seconds=10), TRUE_ZERO + timedelta(seconds=30))


def test_a_boot_that_never_learnt_the_time_is_told_within_its_bounds():
    before = TRUE_ZERO + timedelta(seconds=20)
    bounds = BootTime(BOOT, None, after_ms=to_ms(TRUE_ZERO), before_ms=to_ms(before))
    measured, _, gap = decode(encode(records(), BASE), {BOOT: bounds})
    assert (measured.at, measured.clock) == (before, ClockQuality.BOUNDED)
    assert (gap.start, gap.end) == (TRUE_ZERO + timedelta(seconds=10), before)


def test_without_knowledge_of_the_boot_times_stay_as_they_were_stamped():
    assert decode(encode(records(), BASE)) == records()
    assert decode(encode(records(), BASE), {BOOT: BootTime(BOOT, None)}) == records()


@pytest.mark.parametrize("zero_ms", [10**18, -(10**18), 2**62])
def test_a_boot_beyond_all_calendars_is_a_protocol_error(zero_ms):
    for time in (BootTime(BOOT, zero_ms), BootTime(BOOT, None, 0, zero_ms), BootTime(BOOT, None, zero_ms)):
        with pytest.raises(ProtocolError):
            decode(encode(records(), BASE), {BOOT: time})


def test_a_time_from_before_the_boot_stays_as_it_is():
    """A restart's gap begins in an earlier boot, whose time was known."""
    held = TRUE_ZERO + timedelta(hours=5)
    base = TimeBase(BOOT, to_ms(held))
    before = held - timedelta(minutes=9)
    given_records = [
        Aggregate("p", "heart_rate", before, 60.0, 9, 70.0, 60.0, 80.0, 9),
        Gap("river-1", None, before, held + timedelta(seconds=10), GapReason.RESTART),
    ]
    aggregate, gap = decode(encode(given_records, base), {BOOT: BootTime(BOOT, to_ms(held + timedelta(days=1)))})
    assert aggregate.start == before
    assert (gap.start, gap.end) == (before, held + timedelta(days=1, seconds=10))


def test_a_gap_whose_start_was_known_too_late_does_not_end_before_it_starts():
    """The time of the earlier boot turns out to have been the wrong one of the two."""
    held = TRUE_ZERO + timedelta(days=400)
    gap = Gap("river-1", None, held - timedelta(minutes=9), held + timedelta(seconds=10), GapReason.RESTART)
    (right,) = decode(encode([gap], TimeBase(BOOT, to_ms(held))), {BOOT: BootTime(BOOT, to_ms(TRUE_ZERO))})
    assert right.start == right.end == TRUE_ZERO + timedelta(seconds=10)


def test_a_window_that_began_on_the_whole_minute_before_the_boot_is_of_the_boot():
    base = TimeBase(BOOT, to_ms(TRUE_ZERO) + 30_000)
    window = Aggregate("p", "heart_rate", TRUE_ZERO, 60.0, 9, 70.0, 60.0, 80.0, 9)
    (right,) = decode(encode([window], base), {BOOT: BootTime(BOOT, base.zero_ms + 3_600_000)})
    assert right.start == TRUE_ZERO + timedelta(hours=1)


_uptimes = st.lists(st.integers(0, 10**10), min_size=1, max_size=20).map(sorted)
_moments = st.integers(-(10**12), 4 * 10**12)


@given(_uptimes, _moments, _moments)
def test_what_was_learnt_dates_every_sample_to_the_millisecond_in_order(uptimes, held_ms, zero_ms):
    blob = encode([_measured(held_ms + uptime_ms) for uptime_ms in uptimes], TimeBase(BOOT, held_ms))
    right = decode(blob, {BOOT: BootTime(BOOT, zero_ms)})
    assert [to_ms(record.at) for record in right] == [zero_ms + uptime_ms for uptime_ms in uptimes]
    assert {record.clock for record in right} == {ClockQuality.CORRECTED}


@given(_uptimes, _moments, _moments, st.none() | _moments)
def test_bounds_keep_the_order_and_are_kept(uptimes, held_ms, after_ms, before_ms):
    blob = encode([_measured(held_ms + uptime_ms) for uptime_ms in uptimes], TimeBase(BOOT, held_ms))
    right = [to_ms(record.at) for record in decode(blob, {BOOT: BootTime(BOOT, None, after_ms, before_ms)})]
    assert right == sorted(right)
    for at_ms, uptime_ms in zip(right, uptimes, strict=True):
        assert at_ms == (after_ms + uptime_ms if before_ms is None else min(after_ms + uptime_ms, before_ms))


def _measured(at_ms: int) -> Measured:
    reading = Reading("water_level", 1.5, Flag.GOOD)
    return Measured("river-1", from_ms(at_ms), ClockQuality.UNSYNCHRONISED, (reading,))
