"""Which bytes answer a request. Frames by hand from the Messaging Guide V1.0b, 3.1.3."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import ProtocolError
from drivers.codecs.modbus_frame import Expected, holds_answer, is_whole

EXPECTED = Expected(transaction=7, unit=1, function=4, data_bytes=4)
ANSWER = bytes.fromhex("0007 0000 0007 01 04 04 0131 0222")
LATE = bytes.fromhex("0006 0000 0007 01 04 04 0999 0999")
REFUSAL = bytes.fromhex("0007 0000 0003 01 84 02")


@pytest.mark.parametrize("frames", [ANSWER, LATE + ANSWER, REFUSAL, LATE + LATE + REFUSAL])
def test_an_answer_is_seen_once_it_is_whole(frames: bytes) -> None:
    assert [holds_answer(frames[:end], EXPECTED) for end in range(len(frames))] == [False] * len(frames)
    assert holds_answer(frames, EXPECTED)
    assert holds_answer(frames + b"\xff\xff", EXPECTED)


def test_a_late_answer_is_not_the_present_one() -> None:
    assert not holds_answer(LATE, EXPECTED)


@pytest.mark.parametrize(
    ("frame", "cause"),
    [
        ("0007 0001 0007 01 04 04 0131 0222", "without a Modbus TCP header"),
        ("0007 0000 00FF 01 04 04 0131 0222", "without a Modbus TCP header"),
        ("0007 0000 0002 01 84", "without a Modbus TCP header"),
        ("0007 0000 0007 02 04 04 0131 0222", "another unit"),
        ("0007 0000 0007 01 03 04 0131 0222", "another function"),
        ("0007 0000 0003 01 83 02", "another function"),
        ("0007 0000 0005 01 04 02 0131", "another length"),
        ("0007 0000 0007 01 04 06 0131 0222", "another length"),
        ("0007 0000 0004 01 84 02 00", "wrong length"),
        ("0000 0000 0007 01 04 04 0131 0222", "answer to no request"),
    ],
)
def test_what_is_no_answer_is_a_protocol_error(frame: str, cause: str) -> None:
    with pytest.raises(ProtocolError, match=cause):
        holds_answer(bytes.fromhex(frame), EXPECTED)


def test_left_over_bytes_are_whole_frames_or_not() -> None:
    assert is_whole(b"")
    assert is_whole(LATE + ANSWER)
    assert not is_whole(LATE + ANSWER[:-1])
    with pytest.raises(ProtocolError):
        is_whole(b"GET / HTTP/1.1")


@given(st.binary(max_size=300))
def test_any_bytes_give_a_verdict(data: bytes) -> None:
    for stream in (data, ANSWER[:4] + data, LATE + data):
        try:
            holds_answer(stream, EXPECTED)
            is_whole(stream)
        except ProtocolError:
            continue
