"""The NMEA encoder against sentences written down elsewhere, and its roundings as properties."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.nmea import Fix, burst, checksum, gga, rmc, rolled_over, said, vtg, zda
from support.corpus import corpus

AT = datetime(2026, 11, 22, 13, 59, 59, 999_999, tzinfo=UTC)
KARATO = Fix(AT, 33.9576, 130.9438, speed_mps=10.0, course_deg=47.128)


def test_the_sentences_of_a_fix() -> None:
    """Worked out by hand: 33.9576 deg is 33 deg 57.456 min; 10 m/s is 19.44 knots and 36 km/h."""
    assert [sentence[: sentence.index(b"*")] for sentence in burst(KARATO)] == [
        b"$GPGGA,135959.99,3357.45600,N,13056.62800,E,1,09,0.9,5.0,M,32.0,M,,",
        b"$GPRMC,135959.99,A,3357.45600,N,13056.62800,E,19.44,47.13,221126,,,A,V",
        b"$GPVTG,47.13,T,,M,19.44,N,36.00,K,A",
        b"$GPZDA,135959.99,22,11,2026,00,00",
    ]


def test_a_receiver_that_stands_still_says_no_course_and_one_without_a_fix_no_position() -> None:
    still = Fix(AT, -0.5, -0.25)
    assert b",0030.00000,S,00015.00000,W,0.00,,221126," in rmc(still)
    lost = Fix(AT, 33.9, 130.9, is_valid=False)
    assert rmc(lost).startswith(b"$GPRMC,135959.99,V,,,,,,,221126,,,N,V*")
    assert gga(lost).startswith(b"$GPGGA,135959.99,,,,,0,00,")
    assert vtg(lost).startswith(b"$GPVTG,,T,,M,,N,,K,N*")
    assert b"33" not in gga(lost)


@pytest.mark.parametrize("log", ["bu353s4.log", "quectel-L70.log", "beidou-bd.log"])
def test_the_checksum_is_that_of_real_receivers(log: str) -> None:
    path: Path = corpus(f"nmea/{log}")
    sentences = [line.strip() for line in path.read_bytes().splitlines() if line.startswith(b"$")]
    assert sentences
    for sentence in sentences:
        body, _, stated = sentence[1:].rpartition(b"*")
        assert checksum(body) == int(stated, 16)


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_what_is_said_lies_within_half_a_step_and_never_has_sixty_minutes(lat: float, lon: float) -> None:
    fields = gga(Fix(AT, lat, lon)).split(b",")
    told = said(Fix(AT, lat, lon))
    for angle, text, half, digits in ((told["lat"], fields[2], fields[3], 2), (told["lon"], fields[4], fields[5], 3)):
        degrees, minutes = int(text[:digits]), float(text[digits:])
        assert minutes < 60
        sign = -1 if half in {b"S", b"W"} else 1
        assert sign * (degrees + minutes / 60) == pytest.approx(angle, abs=1e-9)
    assert told["lat"] == pytest.approx(lat, abs=0.51 / 60e5)
    assert told["lon"] == pytest.approx(lon, abs=0.51 / 60e5)


def test_a_rolled_over_receiver_is_1024_weeks_behind() -> None:
    """The pair of dates is GPS's own rollover: 2019-04-07 00:00 is week 2048, which such a receiver takes for 1024."""
    assert rolled_over(datetime(2019, 4, 7, tzinfo=UTC)) == datetime(1999, 8, 22, tzinfo=UTC)
    assert b",08,04,2007," in zda(Fix(rolled_over(AT), 0, 0))
    assert AT - rolled_over(AT) == timedelta(days=7168)
