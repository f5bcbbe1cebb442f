"""Sentences to records. Vectors: receivers' captures of corpus/nmea where named, else u-blox M8 specification, 31.2."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import ProtocolError
from drivers.codecs.nmea0183 import Dated, Kind, Located, Moving, Place, Recommended, Sentence, decode


def summed(body: str) -> bytes:
    """A whole sentence; the sum is folded here on its own, not by the code under test."""
    total = 0
    for byte in body.encode("latin-1"):
        total ^= byte
    return f"${body}*{total:02X}".encode("latin-1")


def us(hours: int, minutes: int, seconds: int, fraction_us: int = 0) -> int:
    return ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + fraction_us


WHOLE: list[tuple[bytes, Sentence]] = [
    (  # u-blox M8: RMC
        b"$GPRMC,083559.00,A,4717.11437,N,00833.91522,E,0.004,77.52,091202,,,A*57",
        Recommended(
            us(8, 35, 59),
            date(2002, 12, 9),
            Place(47 + 17.11437 / 60, 8 + 33.91522 / 60),
            pytest.approx(0.004 * 1852 / 3600),
            77.52,
        ),
    ),
    (  # u-blox M8: GGA
        b"$GPGGA,092725.00,4717.11399,N,00833.91590,E,1,08,1.01,499.6,M,48.0,M,,*5B",
        Located(Kind.GGA, us(9, 27, 25), Place(47 + 17.11399 / 60, 8 + 33.9159 / 60), 499.6, 8),
    ),
    (  # u-blox M8: VTG
        b"$GPVTG,77.52,T,,M,0.004,N,0.008,K,A*06",
        Moving(pytest.approx(0.004 * 1852 / 3600), 77.52),
    ),
    (  # u-blox M8: ZDA
        b"$GPZDA,082710.00,16,09,2002,00,00*64",
        Dated(us(8, 27, 10), date(2002, 9, 16)),
    ),
    (  # u-blox M8: GLL
        b"$GPGLL,4717.11364,N,00833.91565,E,092321.00,A,A*60",
        Located(Kind.GLL, us(9, 23, 21), Place(47 + 17.11364 / 60, 8 + 33.91565 / 60), None, None),
    ),
    (  # u-blox M8: GNS of GPS and GLONASS together
        b"$GNGNS,103600.01,5114.51176,N,00012.29380,W,ANNN,07,1.18,111.5,45.6,,,V*00",
        Located(Kind.GNS, us(10, 36, 0, 10_000), Place(51 + 14.51176 / 60, -(12.2938 / 60)), 111.5, 7),
    ),
    (  # bu353s4.log: southern half
        b"$GPGGA,030719.000,3747.0873,S,17518.8938,E,1,08,1.1,59.9,M,23.7,M,,0000*7D",
        Located(Kind.GGA, us(3, 7, 19), Place(-(37 + 47.0873 / 60), 175 + 18.8938 / 60), 59.9, 8),
    ),
    (  # beidou-bd.log: GNS of GPS and BeiDou
        b"$GNGNS,074155.799,3114.8770,N,12135.2463,E,ANNA,05,1.3,156.9,8.3,,0000*52",
        Located(Kind.GNS, us(7, 41, 55, 799_000), Place(31 + 14.877 / 60, 121 + 35.2463 / 60), 156.9, 5),
    ),
]
EMPTY: list[tuple[bytes, Sentence]] = [
    (b"$GPRMC,,V,,,,,,,,,,N*53", Recommended(None, None, None, None, None)),  # april6_2019.log
    (b"$GPGGA,142816.359,,,,,0,00,,,M,0.0,M,,0000*51", Located(Kind.GGA, us(14, 28, 16, 359_000), None, None, 0)),
    (b"$GPGLL,,,,,142816.359,V,N*7D", Located(Kind.GLL, us(14, 28, 16, 359_000), None, None, None)),
    (b"$GNGNS,074150.799,,,,,NNNN,00,,,0.0,,0000*63", Located(Kind.GNS, us(7, 41, 50, 799_000), None, None, 0)),
    (b"$GPVTG,,T,,M,,N,,K,N*2C", Moving(None, None)),
]


@pytest.mark.parametrize(("sentence", "record"), WHOLE + EMPTY)
def test_a_sentence_gives_its_record(sentence: bytes, record: Sentence) -> None:
    if sentence.endswith(b"*00"):
        sentence = summed(sentence[1:-3].decode())  # the manual prints this example with a sum of another one
    assert decode(sentence) == record


@pytest.mark.parametrize("talker", ["GP", "GN", "GL", "GA", "GB", "BD", "PQ", "QZ", "GQ", "GI", "IN"])
def test_any_talker_is_read(talker: str) -> None:
    record = decode(summed(f"{talker}GGA,092725.00,3357.5,N,13056.25,E,1,08,1.01,4.5,M,30.0,M,,"))
    assert record == Located(Kind.GGA, us(9, 27, 25), Place(33 + 57.5 / 60, 130 + 56.25 / 60), 4.5, 8)


@pytest.mark.parametrize(
    "sentence",
    [
        b"$PSRFEPE,074150.799,V,,,,,*23",  # beidou-bd.log
        b"$PQVERNO,R,L70BGR03A05S,2019/10/09,21:12*23",  # quectel-L70.log
        b"$PMTK001,320,2*30",
        b"$PSRFTXTVersion GSW3.2.2_3.1.00.12-SDK003P1.01a *78",  # blumax-gps009.log
        summed("GPGSA,A,3,10,28,09,13,,,,,,,,,03.4,01.7,03.0"),
        b"$PGRME,15.0,M",
        b"$",
    ],
)
def test_other_sentences_are_skipped_quietly(sentence: bytes) -> None:
    assert decode(sentence) is None


def test_a_date_that_is_none_leaves_the_position() -> None:
    """april6_2019.log: after the week rollover the year reads -1."""
    record = decode(b"$GPRMC,000231.099,A,4829.0005,N,00022.0015,E,0.15,212.28,2208-1,,,A*73")
    assert isinstance(record, Recommended)
    assert record.date is None
    assert record.place == Place(48 + 29.0005 / 60, 22.0015 / 60)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("132820.60", us(13, 28, 20, 600_000)),
        ("132820.6", us(13, 28, 20, 600_000)),
        ("132820.600000", us(13, 28, 20, 600_000)),
        ("132820", us(13, 28, 20)),
        ("132820.", us(13, 28, 20)),
        ("235960.00", us(23, 59, 60)),
        ("240000", None),
        ("126000", None),
        ("1328", None),
        ("13:28:20", None),
    ],
)
def test_moments_are_whole_microseconds(text: str, moment: int | None) -> None:
    record = decode(summed(f"GPZDA,{text},18,03,2020,00,00"))
    assert isinstance(record, Dated)
    assert record.time_us == moment


@pytest.mark.parametrize(
    ("text", "day"),
    [("220899", date(1999, 8, 22)), ("311279", date(2079, 12, 31)), ("010180", date(1980, 1, 1)), ("310226", None)],
)
def test_a_two_digit_year_lies_after_the_birth_of_gps(text: str, day: date | None) -> None:
    record = decode(summed(f"GPRMC,000231.42,A,4829.0005,N,00022.0016,E,0.16,212.28,{text},,,A"))
    assert isinstance(record, Recommended)
    assert record.date == day


@pytest.mark.parametrize(
    "body",
    [
        "GPGGA,092725.00,9000.001,N,13056.25,E,1,08,1.01,4.5,M,30.0,M,,",
        "GPGGA,092725.00,3360.0,N,13056.25,E,1,08,1.01,4.5,M,30.0,M,,",
        "GPGGA,092725.00,3357.5,N,18000.001,E,1,08,1.01,4.5,M,30.0,M,,",
        "GPGGA,092725.00,3357.5,X,13056.25,E,1,08,1.01,4.5,M,30.0,M,,",
        "GPGGA,092725.00,3357.5,NS,13056.25,E,1,08,1.01,4.5,M,30.0,M,,",
        "GPGGA,092725.00,-357.5,N,13056.25,E,1,08,1.01,4.5,M,30.0,M,,",
        "GPGGA,092725.00,nan,N,13056.25,E,1,08,1.01,4.5,M,30.0,M,,",
        "GPGGA,092725.00,33\xb27.5,N,13056.25,E,1,08,1.01,4.5,M,30.0,M,,",
    ],
)
def test_a_position_that_is_none_is_a_fault(body: str) -> None:
    with pytest.raises(ProtocolError):
        decode(summed(body))


@pytest.mark.parametrize(
    "sentence",
    [b"$GPRMC,,V,,,,,,,,,,N*54", b"$GPRMC,,V,,,,,,,,,,N", b"$PMTK001,320,2*31", b"GPRMC", b"", b"$GPRMC*5", b"$*"],
)
def test_a_missing_or_wrong_checksum_is_a_fault(sentence: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(sentence)


@given(st.binary(max_size=120))
def test_any_bytes_give_a_record_nothing_or_a_fault(data: bytes) -> None:
    for sentence in (data, b"$" + data, summed(data.decode("latin-1"))):
        try:
            decode(sentence)
        except ProtocolError:
            continue


FIELD = st.sampled_from(["", "A", "V", "N", "T", "M", "E", "S", "00", "1", "0.5", "-1", "3357.5", "13056.2", "999999"])


@given(st.sampled_from(["RMC", "GGA", "GNS", "GLL", "VTG", "ZDA"]), st.lists(FIELD | st.text(max_size=8), max_size=20))
def test_any_fields_give_a_record_or_a_fault(kind: str, fields: list[str]) -> None:
    body = ",".join([f"GP{kind}", *fields]).encode("latin-1", "replace").decode("latin-1")
    try:
        record = decode(summed(body))
    except ProtocolError:
        return
    place = record.place if isinstance(record, Recommended | Located) else None
    if place is not None:
        assert abs(place.lat_deg) <= 90
        assert abs(place.lon_deg) <= 180
