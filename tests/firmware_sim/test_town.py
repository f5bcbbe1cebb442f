"""The town as a process: what its readers got is what it wrote down, through hush, death and restart."""

import asyncio
import json
import os
import signal
import struct
import sys
import termios
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import Tampered
from firmware_sim.plan import BUS, RIVER, TownLayout
from firmware_sim.ports import HOST
from firmware_sim.recorder import read_emissions
from firmware_sim.town import began, turns
from support.waiting import until

READ_COUNTER = bytes.fromhex("0001 0000 0006 01 04 0000 0002")
"""Read input registers 0 and 1 (Messaging on TCP/IP V1.0b, 3.1.3; Application Protocol V1.1b3, 6.4)."""
BUSY = bytes.fromhex("0001 0000 0003 01 84 06")


@asynccontextmanager
async def town(state: Path, port: int = 0) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    command = (str(Path(sys.executable).with_name("kanmon-sim")), "town", "--state", str(state), "--json")
    process = await asyncio.create_subprocess_exec(*command, "--modbus-port", str(port), stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    facts = json.loads(await process.stdout.readline())
    try:
        yield process, facts["modbus_port"]
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def ask(port: int, count: int) -> list[bytes]:
    """Answers of the station to `count` reads on one connection."""
    reader, writer = await asyncio.open_connection(HOST, port)
    answers = []
    for _ in range(count):
        writer.write(READ_COUNTER)
        head = await reader.readexactly(6)
        answers.append(head + await reader.readexactly(struct.unpack(">H", head[4:])[0]))
    writer.close()
    await writer.wait_closed()
    return answers


def counters(state: Path) -> list[float]:
    emissions = read_emissions(TownLayout(state).emitted)
    return [emission.values["device_counter"] for emission in emissions if emission.device == RIVER]


async def test_answers_are_written_down_until_the_town_is_hushed(tmp_path: Path) -> None:
    async with town(tmp_path) as (process, port):
        answers = await ask(port, 3)
        assert [struct.unpack(">I", answer[-4:])[0] for answer in answers] == [1, 2, 3]
        process.send_signal(signal.SIGUSR1)
        await until(TownLayout(tmp_path).quiet.exists)
        assert await ask(port, 2) == [BUSY, BUSY]
        assert process.returncode is None
    assert process.returncode == 0
    assert counters(tmp_path) == [1, 2, 3]


async def test_a_killed_town_goes_on_where_the_clock_is_and_appends(tmp_path: Path) -> None:
    async with town(tmp_path) as (process, port):
        await ask(port, 2)
        await until(lambda: counters(tmp_path) == [1, 2])
        process.kill()
        await process.wait()
    facts = TownLayout(tmp_path).facts.read_bytes()
    async with town(tmp_path, port) as (_, same_port):
        assert same_port == port
        await ask(port, 1)
    assert counters(tmp_path) == [1, 2, 1]
    assert TownLayout(tmp_path).facts.read_bytes() == facts


async def test_fixes_are_written_down_only_while_somebody_reads(tmp_path: Path) -> None:
    layout = TownLayout(tmp_path)
    async with town(tmp_path):
        port = os.open(layout.gnss_port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            tty.setraw(port)
            termios.tcflush(port, termios.TCIFLUSH)
            data = bytearray()

            def fixes() -> int:
                with suppress(BlockingIOError):
                    data.extend(os.read(port, 4096))
                return data.count(b"$GPRMC")

            await until(lambda: fixes() >= 2)
        finally:
            os.close(port)
    buses = [emission for emission in read_emissions(layout.emitted) if emission.device == BUS]
    assert 0 <= len(buses) - data.count(b"$GPRMC") <= 1, "one more may have been said before the port was closed"


async def test_a_taken_port_is_one_sentence_and_exit_1(tmp_path: Path) -> None:
    async with await asyncio.start_server(lambda *_: None, HOST, 0) as server:
        taken = server.sockets[0].getsockname()[1]
        command = ("kanmon-sim", "town", "--state", str(tmp_path), "--modbus-port", str(taken))
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name(command[0])), *command[1:], stderr=asyncio.subprocess.PIPE
        )
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.count(b"\n") == 1
    assert b"ddress already in use" in errors


@pytest.mark.parametrize("text", ["", "{}", '{"began": 1}', '{"began": "2026-11-22T03:00:00"}'])
def test_a_spoilt_start_time_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "town.json").write_text(text)
    with pytest.raises(Tampered, match=r"^town\.json .*delete it to begin anew$"):
        began(tmp_path / "town.json")


@given(st.lists(st.floats(0, 3.0), min_size=2, max_size=30))
async def test_turns_keep_their_distance_however_late_the_machine_is(delays: list[float]) -> None:
    """Time is made up: sleeping takes as long as asked and the delay drawn besides."""
    now_s, at_s, left = 0.0, [], list(delays)

    async def sleep(wanted_s: float) -> None:
        nonlocal now_s
        now_s += wanted_s + left.pop()

    async for _ in turns(1.0, lambda: now_s, sleep):
        at_s.append(now_s)
        if not left:
            break
    assert all(later - earlier >= 0.5 - 1e-9 for earlier, later in pairwise(at_s))


async def test_turns_on_time_do_not_drift() -> None:
    now_s, at_s = 0.0, []

    async def sleep(wanted_s: float) -> None:
        nonlocal now_s
        now_s += wanted_s + 0.01

    async for _ in turns(0.5, lambda: now_s, sleep):
        at_s.append(now_s)
        if len(at_s) == 100:
            break
    assert at_s[-1] == pytest.approx(50.01)
