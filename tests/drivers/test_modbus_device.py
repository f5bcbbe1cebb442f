"""The Modbus driver against a server written from the protocol: polls, refusals, bad bytes, late answers, outages."""

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import ValidationError

from contract.configuration import parse
from contract.errors import Misconfigured, Unreachable
from contract.sample import Flag, Reading, Sample
from drivers import modbus
from drivers.modbus import Config, ModbusDevice, next_deadline
from support.driving import START, Noted
from support.modbus_server import Server, modbus_server
from support.waiting import until

READ_INPUT = 4


def map_of(*addresses: int, period_s: float = 0.0, rest: str = "") -> str:
    registers = [
        f'{{quantity = "raw_value", table = "input", address = {each}, type = "uint16"}}' for each in addresses
    ]
    return f"period_s = {period_s}\n{rest}\nregister = [{', '.join(registers)}]"


def config_of(server: Server, text: str, folder: Path, timeout_s: float = 2.0) -> Config:
    (folder / "map.toml").write_text(text)
    device = (
        f'host = "127.0.0.1"\nport = {server.port}\ntimeout_s = {timeout_s}\nmap = "map.toml"\nunit_id = {server.unit}'
    )
    return parse(Config, device, "gateway.toml", {"folder": folder})


@asynccontextmanager
async def device(
    server: Server, text: str, folder: Path, noted: Noted, timeout_s: float = 2.0
) -> AsyncIterator[ModbusDevice]:
    async with modbus.open(config_of(server, text, folder, timeout_s), noted.context("river-1")) as driver:
        yield driver


async def next_of(driver: ModbusDevice) -> Sample:
    async with asyncio.timeout(5):
        return await anext(driver)


async def polled(
    server: Server, text: str, folder: Path, noted: Noted, count: int, timeout_s: float = 2.0
) -> list[Sample]:
    """The first `count` samples of one connection."""
    async with device(server, text, folder, noted, timeout_s) as driver:
        return [await next_of(driver) for _ in range(count)]


def values(sample: Sample) -> list[float | None]:
    return [member.value for member in sample.members if isinstance(member, Reading)]


async def test_a_poll_becomes_a_stamped_sample(tmp_path: Path) -> None:
    noted = Noted()
    async with (
        modbus_server({READ_INPUT: {0: 11, 1: 22}}, unit=17) as server,
        device(server, map_of(0, 1), tmp_path, noted) as driver,
    ):
        first = await next_of(driver)
        server.tables[READ_INPUT][1] = 23
        second = await next_of(driver)
    assert (first.device, values(first), values(second)) == ("river-1", [11, 22], [11, 23])
    assert START < first.stamp.at < second.stamp.at
    assert server.requests == [(READ_INPUT, 0, 2)] * 2
    assert noted.faults == []


async def test_every_table_is_read_with_its_function(tmp_path: Path) -> None:
    registers = [
        '{quantity = "raw_value", table = "coil", address = 0}',
        '{quantity = "raw_value", table = "discrete", address = 9}',
        '{quantity = "raw_value", table = "holding", address = 5, type = "int16"}',
        '{quantity = "raw_value", table = "input", address = 6, type = "int16"}',
    ]
    text = f"period_s = 0\nregister = [{', '.join(registers)}]"
    async with (
        modbus_server({1: {0: 1}, 2: {9: 1}, 3: {5: 0xFFFF}, 4: {6: 7}}) as server,
        device(server, text, tmp_path, Noted()) as driver,
    ):
        found = [values(await next_of(driver)) for _ in range(4)]
    assert found == [[1], [1], [-1], [7]]
    assert {function for function, _, _ in server.requests} == {1, 2, 3, 4}


async def test_polls_keep_to_their_deadlines(tmp_path: Path) -> None:
    noted = Noted()
    async with (
        modbus_server({READ_INPUT: {0: 1}}) as server,
        device(server, map_of(0, period_s=0.05), tmp_path, noted) as driver,
    ):
        start = time.monotonic()
        for _ in range(9):  # the first was made on entering
            await next_of(driver)
        took = time.monotonic() - start
    assert 0.35 < took < 1.0


@pytest.mark.parametrize(
    ("due_s", "period_s", "now_s", "deadline_s"),
    [
        (10.0, 2.0, 10.5, 12.0),
        (10.0, 2.0, 12.0, 12.0),
        (10.0, 2.0, 12.1, 14.0),
        (10.0, 2.0, 17.0, 18.0),
        (10.0, 0.0, 17.0, 17.0),
    ],
)
def test_a_missed_deadline_is_left_out(due_s: float, period_s: float, now_s: float, deadline_s: float) -> None:
    assert next_deadline(due_s, period_s, now_s) == deadline_s


async def test_a_block_across_a_hole_is_split_and_stays_so(tmp_path: Path) -> None:
    noted = Noted()
    async with (
        modbus_server({READ_INPUT: {0: 1, 1: 2, 3: 4}}) as server,
        device(server, map_of(0, 1, 3, rest="max_gap = 1"), tmp_path, noted) as driver,
    ):
        found = [values(await next_of(driver)) for _ in range(4)]
    assert found == [[1, 2], [4]] * 2
    assert server.requests.count((READ_INPUT, 0, 4)) == 1
    assert noted.faults == []


async def test_a_register_that_does_not_exist_is_told_once_and_has_no_value(tmp_path: Path) -> None:
    noted = Noted()
    async with (
        modbus_server({READ_INPUT: {0: 1, 1: 2}}) as server,
        device(server, map_of(0, 1, 2), tmp_path, noted) as driver,
    ):
        found = [await next_of(driver) for _ in range(6)]
    assert [values(sample) for sample in found] == [[1], [2], [None]] * 2
    assert found[2].members[0].flag is Flag.MISSING
    assert [str(fault) for fault in noted.faults] == [
        "input register 2 (raw_value): exception 02 (illegal data address); correct the register map"
    ]


@pytest.mark.parametrize("code", [1, 2, 3])
async def test_a_device_that_refuses_all_is_misconfigured(tmp_path: Path, code: int) -> None:
    async with modbus_server({}) as server:
        server.refuse = lambda *_: code
        with pytest.raises(Misconfigured, match=r"river-1: 127.0.0.1:\d+ unit 1 refuses all .* input register"):
            await polled(server, map_of(0, 1), tmp_path, Noted(), 3)


async def test_a_device_that_answered_before_and_refuses_all_is_in_trouble(tmp_path: Path) -> None:
    async with modbus_server({READ_INPUT: {0: 1}}) as server, device(server, map_of(0), tmp_path, Noted()) as driver:
        await next_of(driver)
        server.tables.clear()
        with pytest.raises(Unreachable, match="now refuses all"):
            await next_of(driver)


async def test_a_busy_device_is_asked_again(tmp_path: Path) -> None:
    noted = Noted()
    busy = iter([6, 6, 0])
    async with modbus_server({READ_INPUT: {0: 5}}) as server:
        server.refuse = lambda *_: next(busy, 0)
        async with device(server, map_of(0), tmp_path, noted) as driver:
            assert values(await next_of(driver)) == [5]
    assert noted.faults == []


async def test_a_device_that_only_fails_is_lost(tmp_path: Path) -> None:
    noted = Noted()
    async with modbus_server({READ_INPUT: {0: 5}}) as server, device(server, map_of(0), tmp_path, noted) as driver:
        await next_of(driver)
        server.refuse = lambda *_: 4
        with pytest.raises(Unreachable, match="only answers exception 04"):
            await next_of(driver)
    assert str(noted.faults[0]) == "input register 0 (raw_value): exception 04 (server device failure)"


@pytest.mark.parametrize("code", [10, 11])
async def test_a_silent_unit_behind_a_gateway_is_unreachable(tmp_path: Path, code: int) -> None:
    async with modbus_server({}) as server:
        server.refuse = lambda *_: code
        with pytest.raises(Unreachable, match="gateway"):
            async with device(server, map_of(0), tmp_path, Noted()):
                pass


async def test_an_absent_server_is_unreachable_by_place(tmp_path: Path) -> None:
    async with modbus_server({}) as server:
        pass
    with pytest.raises(Unreachable, match=f"127.0.0.1:{server.port}"):
        async with device(server, map_of(0), tmp_path, Noted()):
            pass


async def test_a_silent_server_is_unreachable_within_the_time_limit(tmp_path: Path) -> None:
    async with modbus_server({READ_INPUT: {0: 1}}) as server:
        server.is_silent = True
        with pytest.raises(Unreachable, match=r"gave no answer within 0\.1 s"):
            async with device(server, map_of(0), tmp_path, Noted(), timeout_s=0.1):
                pass


async def test_a_server_that_hangs_up_is_lost_at_once(tmp_path: Path) -> None:
    async with (
        modbus_server({READ_INPUT: {0: 1}}) as server,
        device(server, map_of(0), tmp_path, Noted(), timeout_s=30) as driver,
    ):
        await next_of(driver)
        server.is_silent = True
        asked = asyncio.create_task(next_of(driver))
        await asyncio.sleep(0)
        server.hang_up()
        with pytest.raises(Unreachable):
            await asked


async def test_a_late_answer_is_never_taken_for_the_present_one(tmp_path: Path) -> None:
    """Each answer carries a second one of an earlier request with other values, before or behind it."""
    async with modbus_server({READ_INPUT: {0: 5}}) as server:

        def doubled(frame: bytes) -> bytes:
            transaction = struct.unpack(">H", frame[:2])[0]
            late = struct.pack(">H", transaction - 1 or 65535) + frame[2:-2] + b"\x09\x99"
            return late + frame + late

        server.spoil = doubled
        async with device(server, map_of(0), tmp_path, Noted()) as driver:
            assert [values(await next_of(driver)) for _ in range(20)] == [[5]] * 20
    assert server.connections == 1


SPOILT = {
    "other unit": lambda frame: frame[:6] + b"\x09" + frame[7:],
    "other function": lambda frame: frame[:7] + b"\x03" + frame[8:],
    "transaction 0": lambda frame: b"\0\0" + frame[2:],
    "other protocol": lambda frame: frame[:2] + b"\0\1" + frame[4:],
    "too short": lambda frame: frame[:4] + b"\0\3" + frame[6:9],
    "web server": lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "noise": lambda _: bytes(range(256)) * 4,
    "trailing bytes": lambda frame: frame + b"\xff",
    "nothing": lambda _: b"",
}


@pytest.mark.parametrize("kind", SPOILT)
async def test_bytes_that_are_no_answer_end_the_connection_and_nothing_else(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with modbus_server({READ_INPUT: {0: 5}}) as server:
        server.spoil = SPOILT[kind]
        with pytest.raises(Unreachable):
            await polled(server, map_of(0), tmp_path, Noted(), 3, timeout_s=0.2)
        server.spoil = None
        async with device(server, map_of(0), tmp_path, Noted()) as driver:
            assert values(await next_of(driver)) == [5]
    assert caplog.records == []


async def test_bytes_out_of_turn_do_not_reach_the_next_answer(tmp_path: Path) -> None:
    async with modbus_server({READ_INPUT: {0: 5}}) as server:
        noted = Noted()
        async with device(server, map_of(0), tmp_path, noted) as driver:
            await next_of(driver)
            server.writers[0].write(b"\x00\x02\x00\x00\x00\x05")
            await until(lambda: driver._link._client and driver._link._client.ctx.recv_buffer)
            with pytest.raises(Unreachable, match="nobody asked for"):
                await next_of(driver)
        assert len(noted.faults) == 1


def test_a_wrong_map_is_told_with_the_maps_own_lines(tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text(
        'period_s = 1\n[[register]]\nquantity = "water_levl"\ntable = "input"\naddress = 0\ntype = "int16"\n'
    )
    with pytest.raises(Misconfigured) as caught:
        parse(Config, 'host = "127.0.0.1"\nmap = "map.toml"\n', "gateway.toml", {"folder": tmp_path})
    (fault,) = caught.value.faults
    assert fault.file == str(tmp_path / "map.toml")
    assert "quantity" in fault.cause


def test_a_group_wider_than_a_request_is_told(tmp_path: Path) -> None:
    registers = [
        f'{{quantity = "raw_value", table = "input", address = {place}, type = "int16", group = "g"}}'
        for place in (0, 200)
    ]
    (tmp_path / "map.toml").write_text(f"period_s = 1\nregister = [{', '.join(registers)}]")
    with pytest.raises(Misconfigured, match="a group spans 201 addresses"):
        parse(Config, 'host = "127.0.0.1"\nmap = "map.toml"\n', "gateway.toml", {"folder": tmp_path})


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('host = "127.0.0.1"\nmap = "absent.toml"', "absent.toml cannot be read"),
        ('host = "127.0.0.1"\nmap = 3', "'map' is no file name"),
        ('host = "..."\nmap = "map.toml"', "'host' is no host name"),
        ('host = "127.0.0.1"\nmap = "map.toml"\nport = 0', "port"),
        ('host = "127.0.0.1"\nmap = "map.toml"\ntimeout_s = 0', "timeout_s"),
        ('host = "127.0.0.1"\nmap = "map.toml"\nunit = 3', "unit"),
    ],
)
def test_a_wrong_device_is_told(tmp_path: Path, text: str, cause: str) -> None:
    (tmp_path / "map.toml").write_text(map_of(0))
    with pytest.raises(Misconfigured, match=cause):
        parse(Config, text, "gateway.toml", {"folder": tmp_path})


def test_a_device_without_a_map_is_refused() -> None:
    with pytest.raises(ValidationError):
        Config.model_validate({"host": "127.0.0.1"})
