"""Recordings through the ports: a pseudo-terminal read by pyserial, a Modbus station read by pymodbus, a strap."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
import serial
from pymodbus.client import AsyncModbusTcpClient

from contract.errors import Misconfigured
from firmware_sim.beats import TICKS_PER_S
from firmware_sim.modbus_station import ModbusStation
from firmware_sim.pty_line import PtyLine
from firmware_sim.recordings import read_rr
from firmware_sim.replay import Pace, Progress, replay_modbus, replay_nmea, replay_rr
from firmware_sim.river_station import Weather, river_station
from support.corpus import corpus
from support.waiting import until


class Hours:
    """A clock that a sleep moves on at once; what else is ready runs meanwhile."""

    def __init__(self) -> None:
        self.now = 0.0

    async def sleep(self, delay_s: float) -> None:
        self.now += delay_s
        await asyncio.sleep(0)

    def pace(self, speed: float = 1.0) -> Pace:
        return Pace(speed, lambda: self.now, self.sleep)


@pytest.mark.parametrize("log", ["bu353s4", "quectel-L70", "beidou-bd", "motorola-t805"])
async def test_a_log_arrives_byte_for_byte_at_a_serial_port(tmp_path: Path, log: str) -> None:
    path = corpus(f"nmea/{log}.log")
    lines = [line for line in path.read_bytes().splitlines(keepends=True) if not line.startswith(b"#")]
    hours, seen = Hours(), list[Progress]()
    with PtyLine(tmp_path / "gnss") as line:
        async with asyncio.TaskGroup() as tasks:
            playing = tasks.create_task(replay_nmea(path, line, pace=hours.pace(), progress=seen.append))
            await until(lambda: hours.now > 5)
            assert not seen, "nothing is sent before somebody reads"
            with serial.Serial(str(line.link), 9600, timeout=0) as port:
                received = b""
                async with asyncio.timeout(5):
                    while not playing.done() or len(received) < len(b"".join(lines)):
                        received += port.read(4096)
                        await asyncio.sleep(0)
    assert received == b"".join(lines)
    assert seen[-1].done == seen[-1].total


async def test_a_log_takes_as_long_as_it_says_and_half_of_it_at_double_speed(tmp_path: Path) -> None:
    path = tmp_path / "bus.log"
    path.write_bytes(b"".join(b"$GPGGA,0000%02d.00,,,,,0,00,,,M,,M,,*00\r\n" % second for second in range(31)))
    took = []
    for speed in (1.0, 2.0):
        hours = Hours()
        with PtyLine(tmp_path / "gnss") as line, serial.Serial(str(line.link), 9600, timeout=0) as port:
            await replay_nmea(path, line, pace=hours.pace(speed), progress=lambda _: port.read(4096))
        took.append(hours.now)
    assert took[0] - took[1] == pytest.approx(15.0)


async def test_a_reader_that_comes_back_gets_the_rest_of_the_log(tmp_path: Path) -> None:
    path = tmp_path / "bus.log"
    bursts = [b"$GPGGA,0000%02d.00,,,,,0,00,,,M,,M,,*00\r\n" % second for second in range(4)]
    path.write_bytes(b"".join(bursts))
    hours, seen = Hours(), list[Progress]()
    with PtyLine(tmp_path / "gnss") as line:
        port = serial.Serial(str(line.link), 9600, timeout=2)

        def leave_after_two(progress: Progress) -> None:
            seen.append(progress)
            if progress.done == 2:
                assert port.read(2 * len(bursts[0])) == b"".join(bursts[:2])
                port.close()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(replay_nmea(path, line, pace=hours.pace(), progress=leave_after_two))
            await until(lambda: hours.now > 20)
            assert len(seen) == 2
            port.open()
            await until(lambda: len(seen) == 4)
        assert port.read(2 * len(bursts[0])) == b"".join(bursts[2:])
        port.close()


@pytest.mark.parametrize("recording", ["afdb/04126.rr.gz", "rr/noisy_rri.hrm"])
async def test_every_beat_is_told_once_at_its_time_also_when_nobody_listens_for_a_while(recording: str) -> None:
    path = corpus(recording)
    hours, told, deaf = Hours(), list[int](), [0]
    beats = read_rr(path)

    def notify(_bpm: int, rr_1024: Sequence[int]) -> bool:
        deaf[0] += 1
        if deaf[0] % 50 < 5:
            return False
        told.extend(rr_1024)
        return True

    await replay_rr(path, notify, pace=hours.pace(speed=1.0))
    assert tuple(told) == beats
    assert hours.now >= sum(beats) / TICKS_PER_S - 1


async def test_beats_come_once_a_second_with_the_rate_they_make(tmp_path: Path) -> None:
    path = tmp_path / "beats.txt"
    path.write_text("500\n" * 20)
    hours, told = Hours(), list[tuple[float, int, tuple[int, ...]]]()

    def notify(bpm: int, rr_1024: Sequence[int]) -> bool:
        told.append((hours.now, bpm, tuple(rr_1024)))
        return True

    await replay_rr(path, notify, pace=hours.pace())
    assert told == [(float(second), 120, (512, 512)) for second in range(1, 11)]


async def test_a_table_is_measured_row_by_row_through_the_registers(tmp_path: Path) -> None:
    path = tmp_path / "river.csv"
    path.write_text("seconds,water_level,rainfall\n0,0.500,0\n1,,0.5\n2,2.125,1\n")
    now: dict[str, Weather] = {"weather": {}}
    hours, words = Hours(), list[list[int]]()
    equipment = river_station(lambda: now["weather"])
    async with ModbusStation(equipment=equipment) as station, asyncio.TaskGroup() as tasks:
        turns: asyncio.Queue[Progress] = asyncio.Queue()
        go_on = asyncio.Semaphore(0)

        async def sleep(delay_s: float) -> None:
            await hours.sleep(delay_s)
            if delay_s >= 1:
                await go_on.acquire()

        tasks.create_task(
            replay_modbus(
                path,
                lambda weather: now.update(weather=weather),
                lambda: bool(station.connections),
                pace=Pace(1.0, lambda: hours.now, sleep),
                progress=turns.put_nowait,
            )
        )
        await until(lambda: hours.now > 3)
        assert turns.empty(), "the table begins when somebody polls"
        master = AsyncModbusTcpClient("127.0.0.1", port=station.port)
        await master.connect()
        for row in range(3):
            async with asyncio.timeout(3):
                assert await turns.get() == Progress(row + 1, 3)
            words.append((await master.read_input_registers(2, count=9, device_id=1)).registers)
            go_on.release()
        master.close()
    assert [row[:2] for row in words] == [[0, 500], [0x7FFF, 0xFFFF], [0, 2125]]
    assert [row[8] for row in words] == [0, 1, 2]


async def test_a_recording_that_cannot_be_read_is_refused_before_anything_is_said(tmp_path: Path) -> None:
    path = tmp_path / "beats.txt"
    path.write_text("800\nno\n")
    with pytest.raises(Misconfigured, match=r"beats\.txt:2: "):
        await replay_rr(path, lambda _bpm, _rr: pytest.fail("said something"))


def test_a_speed_is_above_zero() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Pace(speed=0.0)
