"""The envelope: header and blobs fit exactly, or it is a protocol error; a newer minor version is read."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync import topics
from cloud_sync.backoff import Backoff
from cloud_sync.envelope import (
    Hello,
    Part,
    Receipt,
    decode_envelope,
    decode_hello,
    decode_receipt,
    encode_envelope,
    encode_hello,
    encode_receipt,
)
from contract.boot import BootId, BootTime
from contract.consent import Purpose
from contract.errors import ProtocolError
from contract.ids import Epoch, GatewayId, is_id
from contract.record import Range, Stream

EPOCH = Epoch("0123456789abcdef")
ranges = st.builds(
    lambda stream, first, more: Range(EPOCH, stream, first, first + more),
    st.sampled_from(Stream),
    st.integers(1, 2**40),
    st.integers(0, 1000),
)
parts = st.lists(st.builds(Part, ranges, st.none() | st.sampled_from(Purpose), st.binary(max_size=40)), max_size=5)


@given(parts)
def test_parts_come_back_unchanged(given_parts):
    assert decode_envelope(encode_envelope(given_parts)).parts == tuple(given_parts)


@given(parts)
def test_every_cut_and_every_trailing_byte_is_a_protocol_error(given_parts):
    message = encode_envelope(given_parts)
    for wrong in [*(message[:end] for end in range(len(message))), message + b"\0"]:
        with pytest.raises(ProtocolError):
            decode_envelope(wrong)


@given(st.binary(max_size=200))
def test_any_bytes_are_nothing_worse_than_a_protocol_error(data):
    for decode in (decode_envelope, decode_receipt, decode_hello):
        try:
            decode(data)
        except ProtocolError as error:
            assert len(str(error)) < 400


def with_header(**changes: object) -> bytes:
    header = {"v": [1, 0], "parts": []} | changes
    return json.dumps(header).encode() + b"\n"


def test_a_newer_minor_version_with_unknown_members_is_read():
    assert decode_envelope(with_header(v=[1, 7], colour="blue")).parts == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"v": [2, 0]},
        {"parts": [{"epoch": "x", "stream": "data", "first": 1, "last": 1, "purpose": None, "size": 0}]},
        {"parts": [{"epoch": EPOCH, "stream": "data", "first": 2, "last": 1, "purpose": None, "size": 0}]},
        {"parts": [{"epoch": EPOCH, "stream": "data", "first": 0, "last": 1, "purpose": None, "size": 0}]},
        {"parts": [{"epoch": EPOCH, "stream": "data", "first": 1, "last": 1, "purpose": "sale", "size": 0}]},
        {"parts": [{"epoch": EPOCH, "stream": "data", "first": 1, "last": 1, "purpose": None, "size": -1}]},
    ],
)
def test_a_header_that_lies_is_a_protocol_error(changes):
    with pytest.raises(ProtocolError):
        decode_envelope(with_header(**changes))


@given(st.lists(ranges, max_size=4))
def test_receipts_and_hellos_come_back(given_ranges):
    receipt = Receipt(tuple(given_ranges), datetime(2026, 11, 22, 1, 2, 3, tzinfo=UTC))
    assert decode_receipt(encode_receipt(receipt)) == receipt
    hello = Hello("0.1.0", EPOCH, tuple(given_ranges))
    assert decode_hello(encode_hello(hello)) == hello


def test_a_hello_of_the_minor_version_before_states_no_receipts():
    said = json.dumps({"v": [1, 0], "software": "0.1.0", "epoch": EPOCH}).encode()
    assert decode_hello(said) == Hello("0.1.0", EPOCH)


def test_what_is_known_of_boots_travels_in_the_header():
    boots = [BootTime(BootId("a" * 32), 1_700_000_000_000), BootTime(BootId("b" * 32), None, 1, 2)]
    assert decode_envelope(encode_envelope([], boots)).boots == {boot.boot: boot for boot in boots}


def test_a_receipt_without_a_time_zone_is_a_protocol_error():
    with pytest.raises(ProtocolError):
        decode_receipt(b'{"v":[1,0],"ranges":[],"time":"2026-11-22T00:00:00"}')


def test_topics_and_subjects_name_the_same_gateway():
    gateway = GatewayId("gw-1")
    topic = topics.up(gateway, Stream.DATA)
    assert topics.parse_up_subject(topic.replace("/", ".")) == (gateway, "data")
    assert topics.down_leaf(gateway, topics.down_subject(gateway, "receipt").replace(".", "/")) == "receipt"
    for stranger in ("kanmon.gw-1.down.x", "kanmon.GW.up.x", "other.gw-1.up.x", "kanmon.gw-1.up"):
        with pytest.raises(ProtocolError):
            topics.parse_up_subject(stranger)
    with pytest.raises(ProtocolError):
        topics.down_leaf(gateway, "kanmon/gw-2/down/receipt")


@given(st.text(max_size=70))
def test_an_id_is_safe_as_topic_level_and_file_name(text):
    if is_id(text):
        assert text.isascii()
        assert not set(text) & set("/.+#>* \\")


@given(st.integers(1, 5000), st.randoms())
def test_backoff_stays_between_floor_and_limit(attempt, random):
    backoff = Backoff(first_s=0.5, limit_s=60, floor_s=0.05)
    assert 0.05 <= backoff.delay_s(attempt, random) <= 60
    assert backoff.ceiling_s(1) == 0.5
