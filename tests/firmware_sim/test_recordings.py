"""Recordings: what real files hold arrives unchanged, and a file that is broken is refused with its line."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import Misconfigured
from firmware_sim.beats import TICKS_PER_S
from firmware_sim.recordings import MAX_PAUSE_S, Write, read_nmea, read_rr, read_station
from support.corpus import corpus

RECORDS = ["00735", "04015", "04126", "04908", "05121", "06426", "07162", "07879", "08219", "08405"]


@pytest.mark.parametrize("record", RECORDS)
def test_a_recording_of_ten_hours_keeps_every_beat_within_a_tick(record: str) -> None:
    """MIT-BIH AFDB: samples at 250 Hz. Every beat of the 40,000 to 60,000 lies where it was recorded."""
    path = corpus(f"afdb/{record}.rr.gz")
    samples = [int(line) for line in gzip.decompress(path.read_bytes()).split(b"\n") if line[:1].isdigit()]
    told = read_rr(path)
    assert len(told) == len(samples)
    elapsed = ticks = 0
    for sample, tick in zip(samples, told, strict=True):
        elapsed += sample
        ticks += tick
        assert abs(ticks / TICKS_PER_S - elapsed / 250) <= 1 / TICKS_PER_S


@pytest.mark.parametrize(("name", "beats", "total_ms"), [("rest_rri.txt", 910, None), ("noisy_rri.hrm", 3581, 2403015)])
def test_intervals_in_milliseconds_are_read_from_text_and_from_polar_files(
    name: str, beats: int, total_ms: int | None
) -> None:
    """The Polar file's own head says Length=00:40:03.0, which is the sum of its intervals."""
    told = read_rr(corpus(f"rr/{name}"))
    assert len(told) == beats
    assert told[0] == round((1114 if total_ms is None else 904) * 1.024)
    if total_ms is not None:
        assert sum(told) / TICKS_PER_S == pytest.approx(40 * 60 + 3.015, abs=0.001)
        assert sum(told) / TICKS_PER_S == pytest.approx(total_ms / 1000, abs=0.001)


@pytest.mark.parametrize(
    "log", ["bu353s4", "quectel-L70", "beidou-bd", "blumax-gps009", "motorola-t805", "nmea-fuzzy-cases", "april6_2019"]
)
def test_a_log_is_played_byte_for_byte_without_its_comments(log: str) -> None:
    path = corpus(f"nmea/{log}.log")
    lines = [line for line in path.read_bytes().splitlines(keepends=True) if not line.startswith(b"#")]
    assert b"".join(write.data for write in read_nmea(path)) == b"".join(lines)


def test_a_log_is_played_in_the_rhythm_of_its_sentences() -> None:
    """quectel-L70 holds one burst a second."""
    writes = read_nmea(corpus("nmea/quectel-L70.log"))
    assert writes[0].pause_s == 0
    assert {write.pause_s for write in writes[1:]} == {1.0}
    assert all(b"RMC" in write.data for write in writes)


def test_the_write_boundaries_of_a_log_are_kept_and_not_sent() -> None:
    """tcp-torture marks them with '|' and says so in its head: the fragments of one sentence come 10 ms apart."""
    writes = read_nmea(corpus("nmea/tcp-torture.log"))
    assert b"|" not in b"".join(write.data for write in writes)
    assert writes[0].data.endswith(b"$GPGGA,")
    assert [write.pause_s for write in writes[1:4]] == [0.01] * 3
    assert writes[1] == Write(0.01, b"19322")


def test_a_log_that_passes_midnight_a_hole_or_goes_back_keeps_moving(tmp_path: Path) -> None:
    path = tmp_path / "night.log"
    times = ("235959.50", "000000.00", "010000.00", "005959.00", "005959.25")
    path.write_text("".join(f"$GPGGA,{time},,,,,0,00,,,M,,M,,*00\n" for time in times))
    assert [write.pause_s for write in read_nmea(path)] == [0.0, 0.5, MAX_PAUSE_S, 0.25]


@pytest.mark.parametrize(
    ("content", "line", "cause"),
    [
        (b"", 0, "no RR interval"),
        (b"# nothing\n\n", 2, "no RR interval"),
        (b"800\n8O0\n", 2, "not a whole number"),
        (b"800\n\n812.5\n", 3, "not a whole number"),
        (b"800\n0\n", 2, "that long"),
        (b"800\n-5\n", 2, "that long"),
        (b"800\n64000\n", 2, "that long"),
        (b"# fs=250 Hz\n16001\n", 2, "that long"),
        (b"\xff\xfe8\x000\x00", 1, "not a whole number"),
        (b"[Params]\nInterval=5\n[HRData]\n70\n", 2, "heart rates"),
        (b"[Params]\nInterval=238\n[HRData]\n700\nabc\n", 5, "not a whole number"),
        (b"[Params]\nInterval=238\n", 2, "no RR interval"),
    ],
)
def test_intervals_that_cannot_be_read_are_refused_with_their_line(
    tmp_path: Path, content: bytes, line: int, cause: str
) -> None:
    path = tmp_path / "beats.txt"
    path.write_bytes(content)
    _assert_refused(path, line, cause)


def _assert_refused(path: Path, line: int, cause: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        (read_station if path.suffix == ".csv" else read_rr)(path)
    [fault] = refused.value.faults
    assert (fault.file, fault.line) == (path.name, line)
    assert cause in fault.cause
    assert fault.fix


def test_a_line_that_is_refused_is_not_quoted(tmp_path: Path) -> None:
    """RR intervals are somebody's."""
    path = tmp_path / "beats.txt"
    path.write_text("284\n284.1731\n")
    with pytest.raises(Misconfigured) as refused:
        read_rr(path)
    assert "284" not in str(refused.value)


@pytest.mark.parametrize("content", [b"plain text", gzip.compress(b"800\n" * 1000)[:-20], b"\x1f\x8b\x08"])
def test_a_gzip_file_that_is_none_or_is_cut_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "beats.rr.gz"
    path.write_bytes(content)
    with pytest.raises(Misconfigured, match="not a whole gzip file"):
        read_rr(path)


def test_a_file_that_is_absent_or_holds_no_sentence_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"gone\.log: the file cannot be read: No such file"):
        read_nmea(tmp_path / "gone.log")
    with pytest.raises(Misconfigured, match="no NMEA sentence"):
        read_nmea(corpus("nmea/ublox-neo-m8n.log"))


def test_the_rows_of_a_station_are_read_with_their_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "river.csv"
    path.write_text("\ufeffseconds, water_level,rainfall\n0,0.5,0\n\n2.5,,0.5\n2.5,1,0.5\n", encoding="utf-8")
    rows = [(row.at_s, row.weather) for row in read_station(path)]
    assert rows == [
        (0.0, {"water_level": 0.5, "rainfall": 0.0}),
        (2.5, {"rainfall": 0.5}),
        (2.5, {"water_level": 1.0, "rainfall": 0.5}),
    ]


@pytest.mark.parametrize(
    ("content", "line", "cause"),
    [
        ("", 1, "header"),
        ("water_level,seconds\n1,2\n", 1, "header"),
        ("seconds\n1\n", 1, "header"),
        ("seconds,water_levle\n1,2\n", 1, "no register for 'water_levle'"),
        ("seconds,device_counter\n1,2\n", 1, "no register"),
        ("seconds,humidity,humidity\n1,2,3\n", 1, "twice"),
        ("seconds,humidity\n", 1, "no row"),
        ("seconds,humidity\n1,2,3\n", 2, "3 cells"),
        ("seconds,humidity\n1,50\n2,fifty\n", 3, "not a number"),
        ("seconds,humidity\n1,nan\n", 2, "not a number"),
        ("seconds,humidity\n,50\n", 2, "not a number"),
        ("seconds,humidity\n1,-1\n", 2, "does not fit"),
        ("seconds,humidity\n1,7000\n", 2, "does not fit"),
        ("seconds,pressure\n1,1e300\n", 2, "does not fit"),
        ("seconds,humidity\n2,50\n1,50\n", 3, "go back"),
        ("seconds,humidity\n-1,50\n", 2, "go back"),
        ("seconds,humidity\n1,50\n2,\x00\n", 3, "not"),
        ('seconds,humidity\n1,"50\n', 2, "not"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_with_its_line(
    tmp_path: Path, content: str, line: int, cause: str
) -> None:
    path = tmp_path / "river.csv"
    path.write_text(content)
    _assert_refused(path, line, cause)


def test_a_table_that_is_not_text_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "river.csv"
    path.write_bytes(b"seconds,humidity\n1,50\n2,\xff\n")
    _assert_refused(path, 3, "not UTF-8")


@given(st.binary(max_size=200), st.sampled_from(["a.csv", "a.txt", "a.rr.gz", "a.log"]))
def test_any_file_is_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(content)
    read = {".csv": read_station, ".log": read_nmea}.get(path.suffix, read_rr)
    try:
        assert read(path)
    except Misconfigured as refused:
        assert refused.faults
