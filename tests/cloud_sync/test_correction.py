"""Times stamped before synchronisation: put right by what is known of their boot, never changed where they lie."""

from datetime import UTC, datetime, timedelta

import pytest

from cloud_sync.blob import decode, encode, to_ms
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
