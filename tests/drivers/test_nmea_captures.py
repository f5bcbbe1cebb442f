"""Captures of real receivers: every position as gpsd decodes it, however the bytes arrive."""

import json
import re
from collections.abc import Iterable
from datetime import datetime

import pytest

from contract.errors import ProtocolError
from drivers.codecs.lines import LineBuffer
from drivers.codecs.nmea0183 import decode
from drivers.codecs.nmea_fix import Fix, FixAssembler
from support.corpus import ROOT, corpus
from support.driving import Noted

NEAR_DEG = 2e-7
"""gpsd prints nine decimals; this is two centimetres."""
CAPTURES = sorted(path.name for path in (ROOT / "nmea").glob("*.log")) or ["april6_2019.log"]


def chunks(name: str) -> list[bytes]:
    """The bytes of a capture as they were written: at once, or in the pieces that its delay cookie marks."""
    data = corpus(f"nmea/{name}").read_bytes()
    cookie = re.search(rb"^# Delay-Cookie: (\S)", data, re.MULTILINE)
    if not cookie:
        return [data]
    body = b"".join(line for line in data.splitlines(keepends=True) if not line.startswith(b"#"))
    return body.split(cookie[1])


def fixes(pieces: Iterable[bytes]) -> tuple[list[Fix], list[str]]:
    lines, assembler, noted = LineBuffer(), FixAssembler(), Noted()
    found: list[Fix] = []
    faults: list[str] = []
    for piece in pieces:
        for line in lines.feed(piece):
            try:
                sentence = decode(line)
            except ProtocolError as error:
                faults.append(str(error))
                continue
            if sentence is not None:
                found += assembler.feed(sentence, noted.now())
    return found + list(assembler.settle()), faults


def gpsd_reports(name: str) -> list[dict[str, float | str]]:
    """The reports of gpsd that hold a position, in order."""
    lines = corpus(f"nmea/{name}.chk").read_bytes().splitlines()
    reports = [json.loads(line) for line in lines if line.startswith(b'{"class":"TPV"')]
    return [report for report in reports if "lat" in report]


def has_sentences(name: str) -> bool:
    return re.search(rb"^\$[A-Z]{2}(RMC|GGA|GNS|GLL),", b"".join(chunks(name)), re.MULTILINE) is not None


def is_near(fix: Fix, report: dict[str, float | str]) -> bool:
    lat, lon = float(report["lat"]), float(report["lon"])
    return abs(fix.place.lat_deg - lat) <= NEAR_DEG and abs(fix.place.lon_deg - lon) <= NEAR_DEG


@pytest.mark.parametrize("name", CAPTURES)
def test_every_position_is_one_that_gpsd_gives(name: str) -> None:
    found, faults = fixes(chunks(name))
    reports = gpsd_reports(name)
    if not has_sentences(name):
        assert found == []
        return
    assert found
    assert faults == []
    for fix in found:
        assert any(is_near(fix, report) for report in reports), f"{fix.device_time} is not gpsd's"


@pytest.mark.parametrize("name", CAPTURES)
def test_every_timed_position_of_gpsd_is_given(name: str) -> None:
    """The last report of each moment is what the receiver's cycle came to.

    Moments are times of day, since gpsd mends rolled-over dates by the day its own code was made.
    """
    if not has_sentences(name):
        return
    found, _ = fixes(chunks(name))
    given = {fix.device_time.time(): fix for fix in found if fix.device_time}
    last = {datetime.fromisoformat(str(each["time"])).time(): each for each in gpsd_reports(name) if "time" in each}
    assert last.keys() <= given.keys()
    for moment, report in last.items():
        assert is_near(given[moment], report), f"{moment} differs"
        if "speed" in report and given[moment].speed_mps is not None:
            assert given[moment].speed_mps == pytest.approx(report["speed"], abs=0.001)
        if "altMSL" in report and given[moment].altitude_m is not None:
            assert given[moment].altitude_m == pytest.approx(report["altMSL"], abs=0.001)


@pytest.mark.parametrize("name", CAPTURES)
def test_fragments_and_trailing_bytes_change_nothing(name: str) -> None:
    def places(pieces: Iterable[bytes]) -> list[tuple[object, ...]]:
        return [(fix.place, fix.speed_mps, fix.altitude_m, fix.device_time) for fix in fixes(pieces)[0]]

    data = b"".join(chunks(name))
    expected = places(chunks(name))
    assert places([data]) == expected
    assert places(data[at : at + 1] for at in range(len(data))) == expected
    assert places([data + b"\r\n$GPRMC,0002\xff\xfe$$*"]) == expected
    assert places([b"\x00\xff,1.7,-30*7D\r\n" + data]) == expected


def test_the_corpus_holds_what_was_promised() -> None:
    """A folder of captures without sentences would pass the tests above in silence."""
    if corpus("nmea").is_dir():
        assert sum(map(has_sentences, CAPTURES)) >= 8
