"""Records <-> bytes: what was encoded comes back in the order of its numbers, and no bytes do harm."""

import json
import zlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_sync.blob import MAX_BLOB_BYTES, decode, encode, from_ms, in_blob_order, to_ms
from contract.alert import Alert, Transition
from contract.errors import ProtocolError
from contract.ids import AlertId
from contract.record import Aggregate, AlertRecord, Gap, GapReason, Measured
from contract.sample import ClockQuality, Flag, Position, Reading, Series

numbers = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(min_size=1, max_size=12)
times = st.integers(0, 4_000_000_000_000).map(from_ms)
flags = st.sampled_from(Flag)
readings = st.builds(Reading, names, st.none() | numbers, flags)
positions = st.builds(Position, numbers, numbers, st.none() | numbers, st.none() | numbers, flags)
series = st.builds(
    Series,
    names,
    st.lists(numbers, max_size=5).map(tuple),
    st.lists(numbers, max_size=5).map(tuple),
    st.booleans(),
    flags,
)
measured = st.builds(
    Measured,
    names,
    times,
    st.sampled_from(ClockQuality),
    st.lists(readings | positions | series, max_size=6).map(tuple),
)
aggregates = st.builds(
    Aggregate, names, names, times, numbers, st.integers(0, 99), numbers, numbers, numbers, st.integers(0, 99)
)
gaps = st.builds(Gap, names, st.none() | names, times, times, st.sampled_from(GapReason), st.none() | st.integers(0, 9))
alerts = st.builds(
    Alert,
    *(names.map(AlertId), names, names, st.sampled_from(Transition), times, names, numbers, numbers, st.integers(0, 5)),
    *(names, names, st.lists(st.tuples(names, numbers), max_size=3).map(tuple)),
)
records = st.lists(measured | aggregates | gaps | st.builds(AlertRecord, names, alerts), max_size=8)


@settings(max_examples=200)
@given(records)
def test_what_was_encoded_comes_back_in_the_order_of_its_numbers(given_records):
    assert decode(encode(given_records)) == in_blob_order(given_records)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_protocol_error_or_records(data):
    for blob in (data, zlib.compress(data)):
        try:
            decode(blob)
        except ProtocolError:
            continue


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=300)
@given(st.sampled_from(["subjects", "layouts", "start", "s", "l", "t", "c", "values", "flags", "other", "v"]), _JSON)
def test_a_blob_with_any_member_replaced_is_a_protocol_error_or_records(member, value):
    sample = Measured("river-1", from_ms(0), ClockQuality.SYNCHRONISED, (Reading("water_level", 1.0, Flag.GOOD),))
    document = json.loads(zlib.decompress(encode([sample]))) | {member: value}
    try:
        decode(zlib.compress(json.dumps(document).encode()))
    except ProtocolError:
        return


def test_every_cut_and_every_trailing_byte_is_a_protocol_error():
    blob = encode([Measured("r", from_ms(0), ClockQuality.SYNCHRONISED, (Reading("q", 1.0, Flag.GOOD),))])
    for wrong in [*(blob[:end] for end in range(len(blob))), blob + b"\0"]:
        with pytest.raises(ProtocolError):
            decode(wrong)


def test_a_bomb_is_not_inflated():
    with pytest.raises(ProtocolError):
        decode(zlib.compress(b" " * (MAX_BLOB_BYTES + 1)))


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_time_is_kept_to_the_millisecond_below(at):
    assert timedelta(0) <= at - from_ms(to_ms(at)) < timedelta(milliseconds=1)
