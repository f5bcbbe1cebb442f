"""The receiver's driver on a real pty: fixes, silence, a port that is absent, held, pulled out."""

import asyncio
import fcntl
import os
import struct
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import ValidationError

from contract.errors import Unreachable
from contract.sample import ClockQuality, Flag, Position, Reading, Sample
from drivers import nmea_receiver
from drivers.nmea_receiver import Config, NmeaReceiver
from support.corpus import corpus
from support.driving import START, Noted
from support.waiting import until

GREETING = b"$PMTK001,320,2*30\r\n"
RMC = b"$GPRMC,030000.00,A,3357.0000,N,13056.4000,E,10.0,90.0,221126,,,A*56\r\n"
GGA = b"$GPGGA,030000.00,3357.0000,N,13056.4000,E,1,08,1.0,12.5,M,30.0,M,,*54\r\n"


class Line:
    """The master's end of a pty; `port` is what the driver opens."""

    def __init__(self) -> None:
        self.master, slave = os.openpty()
        tty.setraw(slave)
        self.port = os.ttyname(slave)
        os.close(slave)

    def say(self, data: bytes) -> None:
        assert os.write(self.master, data) == len(data)

    async def say_and_see_it_read(self, data: bytes) -> None:
        """Return once the other end has taken `data` out of the port."""
        watcher = os.open(self.port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            self.say(data)
            while not self._waiting_bytes(watcher):  # the kernel hands the bytes over in a moment of its own
                os.sched_yield()
            await until(lambda: not self._waiting_bytes(watcher))
        finally:
            os.close(watcher)

    @staticmethod
    def _waiting_bytes(port: int) -> int:
        (count,) = struct.unpack("i", fcntl.ioctl(port, termios.FIONREAD, b"\0\0\0\0"))
        return count

    def pull_out(self) -> None:
        if self.master >= 0:
            os.close(self.master)
        self.master = -1


@contextmanager
def serial_line() -> Iterator[Line]:
    line = Line()
    try:
        yield line
    finally:
        line.pull_out()


async def entered(driver: NmeaReceiver, line: Line, first: bytes) -> None:
    """Enter while the receiver speaks, as it would all the time: what came before the opening is flushed."""
    entering = asyncio.create_task(driver.__aenter__())
    while not entering.done():
        line.say(first)
        await asyncio.wait([entering], timeout=0.05)
    await entering


def driver_of(line: Line, noted: Noted, silence_s: float = 5.0) -> NmeaReceiver:
    return nmea_receiver.open(Config(port=line.port, baud=9600, silence_s=silence_s), noted.context("bus-1"))


async def next_of(driver: NmeaReceiver) -> Sample:
    async with asyncio.timeout(5):
        return await anext(driver)


async def test_a_fix_becomes_a_stamped_sample() -> None:
    noted = Noted()
    with serial_line() as line:
        driver = driver_of(line, noted)
        await entered(driver, line, GREETING)
        line.say(GGA + RMC)
        sample = await next_of(driver)
        await driver.__aexit__(None, None, None)
    assert sample.device == "bus-1"
    assert sample.stamp.at > START
    assert sample.members == (
        Position(33.95, pytest.approx(130.94), pytest.approx(5.1444, abs=1e-4), 90.0, Flag.UNKNOWN),
        Reading("altitude", 12.5),
        Reading("satellites", 8.0),
    )
    assert noted.faults == []


async def test_a_lone_position_is_given_when_the_burst_ends() -> None:
    with serial_line() as line:
        driver = driver_of(line, Noted())
        await entered(driver, line, GREETING)
        line.say(GGA)
        sample = await next_of(driver)
        await driver.__aexit__(None, None, None)
    assert isinstance(sample.members[0], Position)
    assert sample.members[0].speed_mps is None


async def test_what_gathered_before_the_opening_is_flushed() -> None:
    """Stale positions of a parked bus are not news."""
    stale = b"$GPRMC,020000.00,A,3300.0000,N,13000.0000,E,10.0,90.0,221126,,,A*52\r\n"
    with serial_line() as line:
        slave = os.open(line.port, os.O_RDWR | os.O_NOCTTY)  # holds the line up, so that the bytes wait in it
        line.say(stale * 10)
        driver = driver_of(line, Noted())
        await entered(driver, line, GREETING)
        line.say(RMC)
        sample = await next_of(driver)
        await driver.__aexit__(None, None, None)
        os.close(slave)
    assert isinstance(sample.members[0], Position)
    assert sample.members[0].lat_deg == 33.95


async def test_bad_sentences_are_counted_and_passed_over() -> None:
    noted = Noted()
    with serial_line() as line:
        driver = driver_of(line, noted)
        await entered(driver, line, GREETING)
        line.say(b"$GPRMC,1*00\r\n\xff\xfe\xfdnoise" + GGA + RMC)
        await next_of(driver)
        await driver.__aexit__(None, None, None)
    assert [str(fault) for fault in noted.faults] == ["sentence with a wrong checksum", "8 bytes were no sentence"]


async def test_a_rolled_over_date_is_told_once_and_the_position_counts() -> None:
    noted = Noted()
    old = RMC.replace(b"221126,,,A*56", b"080407,,,A*59")  # 1024 weeks before
    with serial_line() as line:
        driver = driver_of(line, noted)
        await entered(driver, line, GREETING)
        line.say(old)
        await next_of(driver)
        line.say(old.replace(b"030000.00", b"030001.00").replace(b"*59", b"*58"))
        await next_of(driver)
        await driver.__aexit__(None, None, None)
    assert [str(fault) for fault in noted.faults] == [
        "the receiver's date is more than a day off by whole 1024-week periods"
    ]


async def test_a_gateway_without_the_time_judges_no_date() -> None:
    noted = Noted(clock=ClockQuality.UNSYNCHRONISED)
    with serial_line() as line:
        driver = driver_of(line, noted)
        await entered(driver, line, GREETING)
        line.say(RMC.replace(b"221126,,,A*56", b"080407,,,A*59"))
        await next_of(driver)
        await driver.__aexit__(None, None, None)
    assert noted.faults == []


async def test_an_absent_port_is_unreachable_by_name(tmp_path: Path) -> None:
    driver = nmea_receiver.open(Config(port=str(tmp_path / "ttyUSB7")), Noted().context())
    with pytest.raises(Unreachable, match="ttyUSB7 is not there"):
        await driver.__aenter__()


async def test_a_file_that_is_no_port_is_unreachable_by_name(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("no port")
    driver = nmea_receiver.open(Config(port=str(tmp_path / "notes")), Noted().context())
    with pytest.raises(Unreachable, match="notes is no serial port"):
        await driver.__aenter__()


async def test_a_held_port_is_unreachable_by_name() -> None:
    with serial_line() as line:
        holder = os.open(line.port, os.O_RDWR | os.O_NOCTTY)
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(Unreachable, match=f"{line.port} is held by another program"):
            await driver_of(line, Noted()).__aenter__()
        os.close(holder)


async def test_a_silent_port_is_unreachable_and_released() -> None:
    with serial_line() as line:
        with pytest.raises(Unreachable, match=f"{line.port} has said nothing for 0.3 s"):
            await driver_of(line, Noted(), silence_s=0.3).__aenter__()
        again = driver_of(line, Noted())
        await entered(again, line, RMC)
        await again.__aexit__(None, None, None)


async def test_a_receiver_that_falls_silent_is_lost() -> None:
    with serial_line() as line:
        driver = driver_of(line, Noted(), silence_s=0.4)
        await entered(driver, line, b"\xff\r\n" + GREETING)
        with pytest.raises(Unreachable, match=r"has said nothing for 0\.4 s"):
            await next_of(driver)
        await driver.__aexit__(None, None, None)


async def test_a_receiver_at_another_baud_rate_is_lost_however_much_it_says() -> None:
    noted = Noted()
    with serial_line() as line:
        driver = driver_of(line, noted, silence_s=0.4)
        with pytest.raises(Unreachable, match="only noise: check baud"):
            await entered(driver, line, b"$\xff\x80\x00\xf8" * 20)
    assert noted.faults


async def test_a_port_pulled_out_gives_what_it_had_said_and_is_lost() -> None:
    with serial_line() as line:
        driver = driver_of(line, Noted())
        await entered(driver, line, GREETING)
        await line.say_and_see_it_read(GGA)
        line.pull_out()
        assert isinstance((await next_of(driver)).members[0], Position)
        for _ in range(2):
            with pytest.raises(Unreachable, match=line.port):
                await next_of(driver)
        await driver.__aexit__(None, None, None)


async def test_a_capture_through_a_pty_gives_every_position() -> None:
    data = corpus("nmea/bu353s4.log").read_bytes()
    found: list[Position] = []
    with serial_line() as line:
        driver = driver_of(line, Noted())
        await entered(driver, line, GREETING)
        for at in range(0, len(data), 97):
            line.say(data[at : at + 97])
            await asyncio.sleep(0)
        while len(found) < data.count(b"$GPRMC"):
            member = (await next_of(driver)).members[0]
            assert isinstance(member, Position)
            found.append(member)
        await driver.__aexit__(None, None, None)
    assert found[0].lat_deg == pytest.approx(-37.784788333, abs=2e-7)
    assert found[-1].lon_deg == pytest.approx(175.314911667, abs=2e-5)


@pytest.mark.parametrize("wrong", [{"baud": 0}, {"port": ""}, {"silence_s": 0.1}, {"speed": 3}])
def test_a_wrong_configuration_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Config.model_validate({"port": "/dev/ttyUSB0", **wrong})
