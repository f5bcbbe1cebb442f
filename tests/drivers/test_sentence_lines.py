"""Cutting a stream into sentences: fragments, garbage, bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.codecs.lines import LONGEST_SENTENCE, LineBuffer

A = b"$GPRMC,,V,,,,,,,,,,N*53"
B = b"$GPVTG,230.5,T,229.1,M,5.6,N,10.4,K,A*19"

VECTORS = [
    ("with line ends", A + b"\r\n" + B + b"\r\n", [A, B], 0),
    ("with bare line feeds", A + b"\n" + B + b"\n", [A, B], 0),
    ("without line ends", A + B, [A, B], 0),
    ("lower-case checksum", b"$GPXXX*4a\r\n", [b"$GPXXX*4a"], 0),
    ("no checksum", b"$GPRMC,,V\r\n" + A, [b"$GPRMC,,V", A], 0),
    ("entered in mid-sentence", b",N*53\r\n" + A, [A], 0),
    ("cut by the next sentence", b"$GPRMC,0002" + A, [A], 11),
    ("a binary frame between", A + b"\xb5\x62\x01\x07\x05" + B, [A, B], 4 + 1),
    ("a binary byte inside", b"$GPRMC,\xff1234*00\r\n" + A, [A], 7 + 8),
    ("checksum cut", b"$GPRMC*5\r\n" + A, [A], 7 + 1),
    ("checksum that is none", b"$GPRMC*ZZ\r\n" + A, [A], 7 + 2),
    ("dollar in place of a checksum", b"$GPRMC*" + A, [A], 7),
    ("comment lines", A + b"\r\n# note\r\n" + B, [A, B], 5),
    ("blanks and padding", A + b" \r\n\r\n\0" + B, [A, B], 0),
    ("nothing but dollars", b"$$$$" + A, [A], 4),
]


@pytest.mark.parametrize(("stream", "sentences", "discarded"), [v[1:] for v in VECTORS], ids=[v[0] for v in VECTORS])
def test_a_stream_is_cut_alike_however_it_arrives(stream: bytes, sentences: list[bytes], discarded: int) -> None:
    whole = LineBuffer()
    assert whole.feed(stream) == sentences
    assert whole.discarded == discarded

    byte_by_byte = LineBuffer()
    assert [line for at in range(len(stream)) for line in byte_by_byte.feed(stream[at : at + 1])] == sentences
    assert byte_by_byte.discarded == discarded

    trailing = LineBuffer()
    assert trailing.feed(stream + b"\r\n$GPGG") == sentences
    assert trailing.feed(b"A,,,,,,0*00") == [b"$GPGGA,,,,,,0*00"]


def test_a_sentence_without_end_is_given_up_at_the_bound() -> None:
    lines = LineBuffer()
    for _ in range(100):
        assert lines.feed(b"$" + b"x" * LONGEST_SENTENCE) == []
    assert lines.feed(A) == [A]
    assert lines.discarded == 100 * (LONGEST_SENTENCE + 1)


@given(st.lists(st.binary(max_size=64) | st.sampled_from([b"$", b"*", b"$GP", b"*53", b"\r\n", A])))
def test_no_bytes_upset_it_and_the_next_sentence_is_found(chunks: list[bytes]) -> None:
    lines = LineBuffer()
    given_out = 0
    for chunk in chunks:
        for line in lines.feed(chunk):
            assert line.startswith(b"$")
            assert len(line) <= LONGEST_SENTENCE + 3
            given_out += len(line)
    assert given_out + lines.discarded <= sum(map(len, chunks))
    assert lines.feed(b"\r\n" + A + b"\r\n")[-1] == A
