"""`kanmon-sim` as a command: recordings through real ports, one JSON object, errors as one sentence."""

import asyncio
import json
import os
import sys
import tty
from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firmware_sim.cli import app
from firmware_sim.ports import HOST
from support.waiting import until

NO_LEVEL = 0x7FFFFFFF
"""The station's "no value": what it says until the table is read."""
SENTENCES = (
    b"$GPGLL,3355.818,N,13055.332,E,120000.00,A,A*66\r\n",
    b"$GPGLL,3355.820,N,13055.335,E,120001.00,A,A*6B\r\n",
)
"""Without an epoch of their own making: any lines that start like sentences are played as they stand."""


def command(*words: str) -> tuple[str, ...]:
    return (str(Path(sys.executable).with_name("kanmon-sim")), *words)


async def test_a_log_is_played_byte_for_byte_through_a_serial_port(tmp_path: Path) -> None:
    log = tmp_path / "drive.nmea"
    log.write_bytes(b"".join(SENTENCES))
    words = command("replay", "--nmea", str(log), "--state", str(tmp_path / "s"), "--speed", "10", "--json")
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    link = (await process.stderr.readline()).decode().strip()
    port = os.open(link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    data = bytearray()
    try:
        tty.setraw(port)

        def all_heard() -> bool:
            with suppress(BlockingIOError):
                data.extend(os.read(port, 4096))
            return len(data) >= len(log.read_bytes())

        await until(all_heard)
    finally:
        os.close(port)
    output, _ = await process.communicate()
    assert bytes(data) == log.read_bytes()
    assert json.loads(output) == {"played": 2, "total": 2}
    assert process.returncode == 0


async def test_a_table_is_measured_row_after_row_by_the_station(tmp_path: Path) -> None:
    table = tmp_path / "river.csv"
    table.write_text("seconds,water_level\n0,1.25\n1,2.5\n")
    words = command("replay", "--modbus", str(table), "--state", str(tmp_path / "s"), "--speed", "10", "--json")
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    port = int((await process.stderr.readline()).decode().rpartition(":")[2])
    levels_mm = []
    reader, writer = await asyncio.open_connection(HOST, port)

    async def level_mm() -> int:
        # Read input registers 2 and 3, which the station's manual calls 3 and 4: int32, millimetres.
        writer.write(bytes.fromhex("0001 0000 0006 01 04 0002 0002"))
        return int.from_bytes((await reader.readexactly(13))[-4:], signed=True)

    async def has_risen() -> bool:
        levels_mm.append(await level_mm())
        return levels_mm[-1] == 2500

    await until(has_risen)
    writer.close()
    await writer.wait_closed()
    output, _ = await process.communicate()
    assert [level for level in dict.fromkeys(levels_mm) if level != NO_LEVEL] == [1250, 2500]
    assert json.loads(output) == {"played": 2, "total": 2}


@pytest.mark.parametrize(
    ("words", "code", "family"),
    [
        (("replay", "--nmea", "/nonexistent/file", "--json"), 2, "Misconfigured"),
        (("demo", "--state", "/proc/kanmon", "--port", "0", "--json"), 1, "StateUnusable"),
        (("town", "--state", "/proc/kanmon", "--json"), 1, "StateUnusable"),
    ],
)
def test_an_error_is_one_json_object(words: tuple[str, ...], code: int, family: str) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == code
    assert json.loads(result.stdout)["error"]["family"] == family


@pytest.mark.parametrize(
    "words", [("replay",), ("replay", "--nmea", "a", "--rr", "b"), ("town",), ("demo", "--for", "-1")]
)
def test_wrong_usage_is_exit_2(words: tuple[str, ...]) -> None:
    assert CliRunner().invoke(app, words).exit_code == 2
