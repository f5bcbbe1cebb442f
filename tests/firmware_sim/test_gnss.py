"""The GNSS receiver on its pseudo-terminal, read with pyserial as a gateway reads it."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
import serial

from firmware_sim.gnss import GnssFault, GnssReceiver
from firmware_sim.nmea import Fix, burst, checksum
from firmware_sim.pty_line import PtyLine
from support.waiting import until

AT = datetime(2026, 11, 22, 4, 0, 0, 120_000, tzinfo=UTC)
BURST = b"".join(burst(Fix(AT, 33.95, 130.94)))
HERE = {"lat": 33.95, "lon": 130.94}


@dataclass
class Bench:
    """A receiver, its line, and what it was told to have said."""

    line: PtyLine
    told: list[Mapping[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.receiver = GnssReceiver(
            self.line,
            lambda at: Fix(at, 33.95, 130.94),
            now=lambda: AT,
            emitted=self.told.append,
            random=Random(1),
        )

    def open(self) -> serial.Serial:
        """A reader that the receiver has noticed."""
        port = serial.Serial(str(self.line.link), 9600, timeout=2)
        assert not self.receiver.say()
        return port


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with PtyLine(tmp_path / "bus-1") as line:
        yield Bench(line)


def lines(port: serial.Serial, count: int = 4) -> list[bytes]:
    return [port.readline() for _ in range(count)]


def test_a_burst_arrives_byte_for_byte_and_is_told_once(bench: Bench) -> None:
    with bench.open() as port:
        assert bench.receiver.say()
        assert b"".join(lines(port)) == BURST
    assert bench.told == [HERE]


def test_nothing_is_said_or_told_when_nobody_reads(bench: Bench) -> None:
    assert not bench.receiver.say()
    with bench.open() as port:
        assert bench.receiver.say()
        lines(port)
    assert not bench.receiver.say()
    assert len(bench.told) == 1


def test_a_reader_finds_nothing_that_was_said_before_it_came(bench: Bench) -> None:
    """Bytes that the last reader left unread are gone, as on a UART."""
    with bench.open():
        assert bench.receiver.say()
    assert not bench.receiver.say()
    with bench.open() as port:
        assert port.in_waiting == 0
        assert bench.receiver.say()
        assert b"".join(lines(port)) == BURST


def test_the_name_stays_the_same_over_readers_and_restarts(tmp_path: Path) -> None:
    link = tmp_path / "bus-1"
    link.symlink_to("/dev/pts/left-behind-by-a-killed-process")
    for _ in range(2):
        with PtyLine(link) as line:
            bench = Bench(line)
            for _ in range(3):
                with bench.open() as port:
                    bench.receiver.say()
                    assert lines(port, 1) == [burst(Fix(AT, 33.95, 130.94))[0]]
                assert not bench.receiver.say()
        assert not link.is_symlink()


def test_a_reader_that_does_not_read_never_blocks_the_receiver_and_what_did_not_fit_is_not_told(bench: Bench) -> None:
    """Every burst told of is one that the reader then gets, whole, and no other."""
    with bench.open() as port:
        said = 0
        while bench.receiver.say():
            said += 1
        assert said > 10
        assert not bench.receiver.say()
        received = b""
        while len(received) < said * len(BURST) and (chunk := port.read(len(BURST))):
            received += chunk
            bench.line.push()
        assert received == BURST * said
        assert port.in_waiting == 0
        assert len(bench.told) == said


def test_what_a_reader_left_half_taken_is_not_told_and_not_sent_to_the_next(bench: Bench) -> None:
    with bench.open():
        while bench.receiver.say():
            pass
        told = len(bench.told)
    assert not bench.receiver.say()
    with bench.open() as port:
        assert bench.receiver.say()
        assert b"".join(lines(port)) == BURST
    assert len(bench.told) == told + 1


def test_a_reader_may_write_without_being_blocked(bench: Bench) -> None:
    with bench.open() as port:
        port.write_timeout = 1
        for _ in range(40):
            port.write(b"$PMTK220,500*2B\r\n" * 100)
            bench.receiver.say()
            port.read(port.in_waiting)


@pytest.mark.parametrize("fault", list(GnssFault))
def test_a_spoilt_burst_is_told_only_where_its_position_can_be_believed(bench: Bench, fault: GnssFault) -> None:
    with bench.open() as port:
        bench.receiver.faults.once(fault)
        assert bench.receiver.say()
        port.timeout = 0.05
        data = port.read(4096)
        assert data != BURST
        assert bench.told == ([HERE] if fault in {GnssFault.GARBAGE, GnssFault.ROLLOVER} else [])
        match fault:
            case GnssFault.GARBAGE:
                assert data.endswith(BURST)
            case GnssFault.CUT:
                assert b"*" not in data
            case GnssFault.CHECKSUM:
                assert all(checksum(line[1:-5]) != int(line[-4:-2], 16) for line in data.splitlines(keepends=True))
            case GnssFault.ROLLOVER:
                assert b",08,04,2007," in data
            case GnssFault.NO_FIX:
                assert b"3357" not in data
        assert bench.receiver.say()
        assert port.read(4096) == BURST


async def test_it_says_one_burst_a_period_and_falls_silent_with_the_line_open(bench: Bench) -> None:
    """The periods are ten milliseconds long here."""
    with bench.open() as port:
        async with asyncio.TaskGroup() as tasks:
            speaking = tasks.create_task(bench.receiver.run(period_s=0.01))
            await until(lambda: len(bench.told) >= 3)
            bench.receiver.stop_emitting()
            speaking.cancel()
        said = len(bench.told)
        assert not bench.receiver.say()
        assert len(bench.told) == said
        assert lines(port, 4 * said) == [*burst(Fix(AT, 33.95, 130.94))] * said
        assert os.path.exists(bench.line.link)
