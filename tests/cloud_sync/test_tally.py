"""What a blob is about, told without its values, is what decoding it says."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.blob import encode, to_ms
from cloud_sync.tally import Series, Span, tally
from contract.boot import BootId, TimeBase
from contract.errors import ProtocolError
from contract.record import Aggregate, Gap, GapReason, Measured
from contract.sample import ClockQuality, Flag, Position, Reading
from support.outboxes import alert

AT = datetime(2026, 11, 22, tzinfo=UTC)
AT_MS = to_ms(AT)

subjects = st.sampled_from(["river-1", "river-2", "bus-1"])
times = st.integers(0, 100_000).map(lambda ms: AT + timedelta(milliseconds=ms))
members = st.lists(
    st.one_of(
        st.sampled_from(["water_level", "air_temperature"]).map(lambda name: Reading(name, 1.5, Flag.GOOD)),
        st.just(Position(33.9, 130.9)),
    ),
    min_size=1,
    max_size=4,
).map(tuple)
samples = st.builds(Measured, subjects, times, st.just(ClockQuality.SYNCHRONISED), members)


@given(st.lists(samples, min_size=1, max_size=30))
def test_a_tally_counts_each_quantity_of_each_subject(records):
    expected: dict[Series, Span] = {}
    for record in records:
        for member in record.members:
            series, span = Series(record.subject, member.quantity, None), Span(to_ms(record.at), to_ms(record.at), 1)
            expected[series] = span.joined(expected[series]) if series in expected else span
    assert tally(encode(records)).spans == expected


def test_gaps_aggregates_and_alerts_are_told_with_their_times():
    later = AT + timedelta(seconds=5)
    records = [
        Gap("river-1", None, AT, later, GapReason.RESTART),
        Gap("river-1", None, later, later, GapReason.RESTART, 7),
        Gap("river-1", "water_level", AT, later, GapReason.THINNED, 7),
        Aggregate("pseudonym", "heart_rate", AT, 60.0, 5, 70.0, 60.0, 80.0, 5),
        alert(later),
    ]
    assert tally(encode(records)).spans == {
        Series("river-1", None, GapReason.RESTART): Span(AT_MS, AT_MS + 5000, None),
        Series("river-1", "water_level", GapReason.THINNED): Span(AT_MS, AT_MS + 5000, 7),
        Series("pseudonym", "heart_rate", None): Span(AT_MS, AT_MS + 60_000, 1),
        Series("river-1", None, None): Span(AT_MS + 5000, AT_MS + 5000, 1),
    }


def test_what_the_times_rest_on_is_told():
    base = TimeBase(BootId("b" * 32), 5)
    assert tally(encode([alert()], base)).base == base
    assert tally(encode([alert()])).base is None


@pytest.mark.parametrize("blob", [b"", b"garbage", encode([alert()])[:-1]])
def test_what_is_no_blob_is_refused(blob):
    with pytest.raises(ProtocolError):
        tally(blob)
