"""Recordings of real devices, read from files: NMEA logs, RR intervals, tables of a station's quantities.

A file that cannot be read raises Misconfigured with the line and the way to put it right; never with the line's
content, which may be a person's.
"""

import csv
import gzip
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.errors import Fault, Misconfigured
from firmware_sim.beats import MAX_RR, to_ticks
from firmware_sim.river_station import SPANS, Weather, registers

MAX_PAUSE_S = 10.0
"""A hole in a log is shortened to this."""
_DAY_S = 86_400.0
_TIME_FIELD = {b"GGA": 1, b"RMC": 1, b"GNS": 1, b"ZDA": 1, b"GLL": 5}
_SENTENCE = re.compile(rb"\$[A-Z][0-9A-Z]{2,}[,*]")
_TIME = re.compile(rb"(\d\d)(\d\d)(\d\d(?:\.\d+)?)")
_COOKIE = re.compile(rb"# Delay-Cookie: (\S) ([0-9.]+)\s*")
"""gpsd's logs name a character that marks the boundary between two writes and the seconds between them."""
_SAMPLE_RATE = re.compile(r"#.*\bfs=(\d+) ?Hz")
_MILLISECONDS = 1000
_HRM_RR_INTERVAL = "Interval=238"
"""Polar HRM format: this interval means that HRData holds RR intervals in milliseconds."""
_MEASURED = tuple(name for name in SPANS if name != "device_counter")


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes that a receiver sent together, `pause_s` after those before."""

    pause_s: float
    data: bytes


@dataclass(frozen=True, slots=True)
class StationRow:
    """What a station measured from `at_s` on; a quantity that is absent had no value."""

    at_s: float
    weather: Weather


def read_nmea(path: Path) -> tuple[Write, ...]:
    """The bytes of a log, comment lines left out, one write for all sentences of one time, in the log's own rhythm."""
    lines = _content(path).splitlines(keepends=True)
    if not any(map(_SENTENCE.match, lines)):
        raise _fault(path, 1, "the file holds no NMEA sentence", "Give a log whose sentences start lines with $")
    cookie = next(filter(None, map(_COOKIE.fullmatch, lines)), None)
    writes: list[Write] = []
    last_s: float | None = None
    for line in lines:
        if line.startswith(b"#"):
            continue
        time_s = _time_s(line)
        if time_s is None or time_s == last_s:
            pause_s = 0.0
        else:
            pause_s = 0.0 if last_s is None else _pause_s(last_s, time_s)
            last_s = time_s
        writes.extend(_split(Write(pause_s, line), cookie))
    return tuple(_joined(writes))


def read_rr(path: Path) -> tuple[int, ...]:
    """RR intervals in 1/1024 s from a text file (milliseconds, one a line), a Polar .hrm or a gzipped beat list.

    A comment line with "fs=<n> Hz" says that the intervals are samples at that rate instead.
    """
    # Polar's files are Latin-1; every other kind is ASCII.
    lines = _text(path, "latin-1").splitlines()
    intervals, per_second = [], _MILLISECONDS
    for number, text in _interval_lines(path, lines):
        if text.startswith("#"):
            rate = _SAMPLE_RATE.match(text)
            per_second = int(rate[1]) if rate else per_second
        elif text:
            intervals.append(_interval(path, number, text, per_second))
    if not intervals:
        raise _fault(path, len(lines), "the file holds no RR interval", "Give one interval in milliseconds a line")
    return tuple(to_ticks(intervals, per_second))


def read_station(path: Path) -> tuple[StationRow, ...]:
    """The rows of a CSV headed `seconds` and names of the station's quantities; an empty cell means no value."""
    reader = csv.reader(_text(path, "utf-8-sig").splitlines(), strict=True)
    rows: list[StationRow] = []
    try:
        names = _header(path, next(reader, []))
        for cells in reader:
            if cells:
                rows.append(_row(path, reader.line_num, names, cells))
                _check_rising(path, reader.line_num, rows)
    except csv.Error as error:
        raise _fault(path, reader.line_num, "the line is not CSV", "Separate plain numbers by commas") from error
    if not rows:
        raise _fault(path, 1, "the file holds no row", "Give at least one line of numbers below the header")
    return tuple(rows)


def _content(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _fault(path, 0, "the file is not a whole gzip file", "Copy it again") from error
    except OSError as error:
        raise _fault(path, 0, f"the file cannot be read: {error.strerror}", "Check its name and its mode") from error


def _text(path: Path, encoding: str) -> str:
    data = _content(path)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _fault(path, line, "the line is not UTF-8 text", "Save the file as plain text") from error


def _time_s(line: bytes) -> float | None:
    """Seconds since midnight that a sentence of any talker says."""
    fields = line.split(b"*")[0].split(b",")
    index = _TIME_FIELD.get(fields[0][3:]) if fields[0].startswith(b"$") else None
    if index is None or index >= len(fields):
        return None
    match = _TIME.fullmatch(fields[index])
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else None


def _pause_s(last_s: float, time_s: float) -> float:
    """The step from one time of day to the next; none where the log goes back."""
    step = (time_s - last_s) % _DAY_S
    return 0.0 if step > _DAY_S / 2 else min(step, MAX_PAUSE_S)


def _split(write: Write, cookie: re.Match[bytes] | None) -> Iterator[Write]:
    if cookie is None:
        yield write
        return
    first, *others = write.data.split(cookie[1])
    yield Write(write.pause_s, first)
    for part in others:
        yield Write(float(cookie[2]), part)


def _joined(writes: Sequence[Write]) -> Iterator[Write]:
    """Writes without a pause between them are one."""
    parts: list[bytes] = []
    pause_s = 0.0
    for write in writes:
        if write.pause_s and parts:
            yield Write(pause_s, b"".join(parts))
            parts, pause_s = [], 0.0
        pause_s = pause_s or write.pause_s
        parts.append(write.data)
    yield Write(pause_s, b"".join(parts))


def _interval_lines(path: Path, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """(number, text) of the lines that hold intervals: all of them, or the HRData section of a Polar file."""
    numbered = enumerate((line.strip() for line in lines), start=1)
    if not lines or not lines[0].startswith("[Params]"):
        yield from numbered
        return
    is_inside = False
    for number, text in numbered:
        if text.startswith("Interval=") and text != _HRM_RR_INTERVAL:
            raise _fault(path, number, "the file holds heart rates, not RR intervals", "Record with Interval=238")
        if text.startswith("["):
            is_inside = text == "[HRData]"
        elif is_inside:
            yield number, text


def _interval(path: Path, number: int, text: str, per_second: int) -> int:
    try:
        interval = int(text)
    except ValueError:
        raise _fault(path, number, "the line is not a whole number", "Give one RR interval a line") from None
    if not 0 < interval <= (MAX_RR - 1) * per_second // 1024:
        raise _fault(path, number, "no RR interval is that long", "Give intervals above 0 and below 64 s")
    return interval


def _header(path: Path, cells: Sequence[str]) -> tuple[str, ...]:
    names = tuple(cell.strip() for cell in cells)
    fix = f"Start with seconds, then any of {', '.join(_MEASURED)}"
    if len(names) < 2 or names[0] != "seconds":
        raise _fault(path, 1, "the header does not start with seconds and a quantity", fix)
    for name in names[1:]:
        if name not in _MEASURED:
            raise _fault(path, 1, f"the station has no register for {name[:40]!r}", fix)
    if len(set(names)) < len(names):
        raise _fault(path, 1, "the header names a quantity twice", fix)
    return names


def _row(path: Path, line: int, names: Sequence[str], cells: Sequence[str]) -> StationRow:
    if len(cells) != len(names):
        cause = f"the line has {len(cells)} cells and the header {len(names)}"
        raise _fault(path, line, cause, "Give every column a cell, an empty one for no value")
    try:
        values = {name: float(cell) for name, cell in zip(names, cells, strict=True) if cell.strip()}
        if not all(map(math.isfinite, values.values())):
            raise ValueError("not finite")  # noqa: TRY301  one sentence for every cell that is no number
        at_s = values.pop("seconds")
    except (ValueError, KeyError):
        raise _fault(path, line, "a cell is not a number", "Write numbers with a decimal point") from None
    try:
        registers(values, 0)
    except ValueError as error:
        raise _fault(path, line, str(error), "Give values the station can measure") from error
    return StationRow(at_s, values)


def _check_rising(path: Path, line: int, rows: Sequence[StationRow]) -> None:
    before_s = rows[-2].at_s if len(rows) > 1 else -math.inf
    if not max(before_s, 0.0) <= rows[-1].at_s:
        raise _fault(path, line, "seconds go back", "Sort the lines by seconds, from 0 on")


def _fault(path: Path, line: int, cause: str, fix: str) -> Misconfigured:
    return Misconfigured(Fault(path.name, line, cause, fix))
