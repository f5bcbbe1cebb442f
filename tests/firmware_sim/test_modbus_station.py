"""The Modbus station against pymodbus, which nobody here wrote, and against bytes that no master would send."""

import asyncio
import struct
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.client import AsyncModbusTcpClient

from firmware_sim.farm import farm
from firmware_sim.modbus_faults import Fault, FaultKind
from firmware_sim.modbus_pdu import ExceptionCode, Span, Table, Tables, pack_bits, unpack_bits
from firmware_sim.modbus_station import MAX_CONNECTIONS, Equipment, ModbusStation, Said
from firmware_sim.river_station import SPANS, Weather, river_station
from support.waiting import until

WEATHER: Weather = {
    "water_level": -0.123,
    "air_temperature": -20.5,
    "humidity": 54.6,
    "pressure": 1013.25,
    "wind_speed": 12.3,
    "wind_direction": 271.0,
    "rainfall": 37.7,
}
READ_TWO = bytes.fromhex("0007 0000 0006 01 04 0000 0002")
"""Transaction 7, unit 1, function 04, input registers 0 and 1."""


def bench(registers: int = 10) -> Equipment:
    """Registers and bits that a master may also write; nothing is measured."""
    words = b"".join(struct.pack(">H", n) for n in range(registers))
    tables = Tables(words, bytearray(words), bytearray(20), bytes([1, 0, 1, 1, 0, 0, 0, 0, 1, 1]))
    return Equipment(tables, lambda _tables, number: {"device_counter": float(number)})


@asynccontextmanager
async def client(station: ModbusStation, timeout_s: float = 3.0) -> AsyncIterator[AsyncModbusTcpClient]:
    master = AsyncModbusTcpClient("127.0.0.1", port=station.port, timeout=timeout_s, retries=0, reconnect_delay=0)
    assert await master.connect()
    try:
        yield master
    finally:
        master.close()


@asynccontextmanager
async def socket(station: ModbusStation) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", station.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def receive(reader: asyncio.StreamReader) -> bytes:
    """One whole frame."""
    async with asyncio.timeout(3):
        head = await reader.readexactly(6)
        return head + await reader.readexactly(int.from_bytes(head[4:6], "big"))


async def test_pymodbus_reads_and_writes_every_table() -> None:
    async with ModbusStation(equipment=bench()) as station, client(station) as master:
        assert (await master.read_input_registers(2, count=3, device_id=1)).registers == [2, 3, 4]
        assert (await master.read_discrete_inputs(0, count=10, device_id=1)).bits[:10] == [
            *(True, False, True, True, False, False, False, False, True, True)
        ]
        assert not (await master.write_register(1, 0xBEEF, device_id=1)).isError()
        assert not (await master.write_registers(2, [7, 8, 9], device_id=1)).isError()
        assert (await master.read_holding_registers(0, count=6, device_id=1)).registers == [0, 0xBEEF, 7, 8, 9, 5]
        assert not (await master.write_coil(0, True, device_id=1)).isError()
        assert not (await master.write_coils(9, [True, False, True], device_id=1)).isError()
        bits = (await master.read_coils(0, count=12, device_id=1)).bits[:12]
        assert [place for place, bit in enumerate(bits) if bit] == [0, 9, 11]
        assert not (await master.write_coil(0, False, device_id=1)).isError()
        assert not any((await master.read_coils(0, count=9, device_id=1)).bits)


async def test_the_river_station_says_what_its_map_promises() -> None:
    """Each type of the map as pymodbus converts it, and the ledger is told the same values."""
    told: list[Said] = []
    equipment = river_station(lambda: WEATHER)
    async with ModbusStation(equipment=equipment, emitted=told.append) as station, client(station) as master:
        words = (await master.read_input_registers(0, count=11, device_id=1)).registers
        kinds = master.DATATYPE
        convert = master.convert_from_registers
        assert convert(words[0:2], kinds.UINT32) == 1
        assert convert(words[2:4], kinds.INT32) == -123
        assert convert(words[4:5], kinds.INT16) == -205
        assert words[5] == 546
        assert convert(words[6:8], kinds.FLOAT32, word_order="little") == pytest.approx(1013.25)
        assert words[8:] == [123, 271, 75]
    assert told == [{**WEATHER, "rainfall": 37.5, "device_counter": 1.0}]


async def test_a_broken_sensor_says_its_sentinel_and_no_value() -> None:
    told: list[Said] = []
    async with (
        ModbusStation(equipment=river_station(dict), emitted=told.append) as station,
        client(station) as master,
    ):
        words = (await master.read_input_registers(0, count=11, device_id=1)).registers
    assert words[2:6] == [0x7FFF, 0xFFFF, 0x7FFF, 0xFFFF]
    assert words[6:10] == [0x0000, 0x7FC0, 0xFFFF, 0xFFFF]
    assert told[0].keys() == {"device_counter", "rainfall"}


async def test_only_quantities_wholly_in_the_answer_are_told() -> None:
    told: list[Said] = []
    async with (
        ModbusStation(equipment=river_station(lambda: WEATHER), emitted=told.append) as station,
        client(station) as master,
    ):
        await master.read_input_registers(3, count=3, device_id=1)
        await master.read_input_registers(0, count=11, device_id=1)
    assert told[0].keys() == {"air_temperature", "humidity"}
    assert told[1]["device_counter"] == 2


async def test_the_counter_grows_by_one_for_each_answer_over_all_connections() -> None:
    async with ModbusStation(equipment=farm(100)) as station, client(station) as one, client(station) as two:
        answers = [await master.read_input_registers(0, count=100, device_id=1) for master in (one, two, one, two)]
    assert [answer.registers[1] for answer in answers] == [1, 2, 3, 4]
    rests = [answer.registers[2:] for answer in answers]
    assert all(before != after for before, after in pairwise(rests))


@pytest.mark.parametrize(
    ("request_pdu", "code"),
    [
        ("14 00", ExceptionCode.ILLEGAL_FUNCTION),
        ("04 0000 0000", ExceptionCode.ILLEGAL_VALUE),
        ("04 0000 007E", ExceptionCode.ILLEGAL_VALUE),
        ("04 0000 00", ExceptionCode.ILLEGAL_VALUE),
        ("01 0000 07D1", ExceptionCode.ILLEGAL_VALUE),
        ("04 0009 0002", ExceptionCode.ILLEGAL_ADDRESS),
        ("01 0000 0015", ExceptionCode.ILLEGAL_ADDRESS),
        ("02 FFFF 0001", ExceptionCode.ILLEGAL_ADDRESS),
        ("05 0000 0001", ExceptionCode.ILLEGAL_VALUE),
        ("05 0014 FF00", ExceptionCode.ILLEGAL_ADDRESS),
        ("06 000A 0000", ExceptionCode.ILLEGAL_ADDRESS),
        ("06 0000", ExceptionCode.ILLEGAL_VALUE),
        ("0F 0000 0009 01 FF", ExceptionCode.ILLEGAL_VALUE),
        ("0F 0014 0001 01 01", ExceptionCode.ILLEGAL_ADDRESS),
        ("10 0000 0002 02 0000", ExceptionCode.ILLEGAL_VALUE),
        ("10 0000 0001 02 00", ExceptionCode.ILLEGAL_VALUE),
        ("10 0009 0002 04 0000 0000", ExceptionCode.ILLEGAL_ADDRESS),
    ],
)
async def test_a_request_that_cannot_be_served_gets_its_exception(request_pdu: str, code: ExceptionCode) -> None:
    """Codes from Application Protocol V1.1b3, section 6, the state diagram of each function."""
    pdu = bytes.fromhex(request_pdu)
    async with ModbusStation(equipment=bench()) as station, socket(station) as (reader, writer):
        writer.write(struct.pack(">HHHB", 1, 0, len(pdu) + 1, 1) + pdu)
        assert await receive(reader) == struct.pack(">HHHBBB", 1, 0, 3, 1, pdu[0] | 0x80, code)
        assert station.answers == 0


async def test_requests_sent_ahead_are_answered_in_order() -> None:
    """Pipelining, and frames that arrive in single bytes."""
    requests = b"".join(READ_TWO.replace(b"\x00\x07", struct.pack(">H", n), 1) for n in range(300))
    async with ModbusStation(equipment=bench()) as station, socket(station) as (reader, writer):
        writer.write(requests)
        for n in range(300):
            assert await receive(reader) == struct.pack(">HHHBBBHH", n, 0, 7, 1, 4, 4, 0, 1)
        for byte in READ_TWO:
            writer.write(bytes([byte]))
            await writer.drain()
        assert await receive(reader) == bytes.fromhex("0007 0000 0007 01 04 04 0000 0001")


async def test_a_master_that_never_reads_is_not_read_from() -> None:
    """However much is asked, what waits unsent stays bounded, and every answer comes once it reads."""
    count = 40_000
    request = bytes.fromhex("0007 0000 0006 01 04 0000 007D")
    async with ModbusStation(equipment=farm(125)) as station, socket(station) as (reader, writer):
        writer.write(request * count)
        await until(lambda: station.answers > 0 and not next(iter(station.connections)).may_serve)
        assert station.answers < count
        async with asyncio.timeout(20):
            for _ in range(count):
                await reader.readexactly(259)


async def test_frames_that_are_not_for_us_are_passed_over() -> None:
    async with ModbusStation(equipment=bench()) as station, socket(station) as (reader, writer):
        other_protocol = READ_TWO[:3] + b"\x01" + READ_TWO[4:]
        other_unit = READ_TWO[:6] + b"\x09" + READ_TWO[7:]
        writer.write(other_protocol + other_unit + READ_TWO)
        assert (await receive(reader))[:2] == b"\x00\x07"
        assert station.discarded == 2
        assert station.answers == 1


@pytest.mark.parametrize("length", [0, 1, 255, 65535])
async def test_a_length_that_cannot_be_closes_the_connection(length: int) -> None:
    async with ModbusStation(equipment=bench()) as station, socket(station) as (reader, writer):
        writer.write(struct.pack(">HHHB", 1, 0, length, 1) + b"\x04")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await receive(reader)
        assert station.discarded == 1


async def test_faults_are_met_once_each_in_the_order_given() -> None:
    told: list[Said] = []
    async with (
        ModbusStation(equipment=farm(10), emitted=told.append) as station,
        socket(station) as (reader, writer),
    ):
        station.faults.once(
            Fault(FaultKind.EXCEPTION, code=ExceptionCode.DEVICE_BUSY),
            Fault(FaultKind.SILENCE),
            Fault(FaultKind.CORRUPT),
            Fault(FaultKind.LATE),
        )
        for transaction in range(1, 6):
            writer.write(struct.pack(">H", transaction) + READ_TWO[2:])
        assert await receive(reader) == bytes.fromhex("0001 0000 0003 01 84 06")
        assert await receive(reader) == bytes.fromhex("0003 0000 0007 01 04 FB 00000001")
        assert await receive(reader) == bytes.fromhex("0004 0000 0007 01 04 04 00000002")
        assert await receive(reader) == bytes.fromhex("0005 0000 0007 01 04 04 00000003")
        assert told == [{"device_counter": 3.0}]


async def test_a_delayed_answer_holds_up_the_rest_of_its_connection_alone() -> None:
    async with ModbusStation(equipment=bench()) as station, socket(station) as (slow, ask), client(station) as other:
        loop = asyncio.get_running_loop()
        start = loop.time()
        station.faults.once(Fault(FaultKind.DELAY, seconds=0.3))
        ask.write(READ_TWO + READ_TWO)
        await until(lambda: station.answers == 1)
        assert not (await other.read_input_registers(0, count=1, device_id=1)).isError()
        assert loop.time() - start < 0.3
        await receive(slow)
        assert loop.time() - start >= 0.29
        await receive(slow)


async def test_a_cut_answer_is_half_an_answer_and_is_not_told() -> None:
    told: list[Said] = []
    async with (
        ModbusStation(equipment=farm(10), emitted=told.append) as station,
        socket(station) as (reader, writer),
    ):
        station.faults.once(Fault(FaultKind.CUT))
        writer.write(READ_TWO)
        assert await reader.read() == bytes.fromhex("0007 0000 0007")
        await until(lambda: not station.connections)
        assert not told


async def test_a_station_that_stops_emitting_keeps_its_links_open() -> None:
    told: list[Said] = []
    async with ModbusStation(equipment=farm(10), emitted=told.append) as station, client(station) as master:
        station.stop_emitting()
        answer = await master.read_input_registers(0, count=2, device_id=1)
        assert answer.isError()
        assert answer.exception_code == ExceptionCode.DEVICE_BUSY
        assert len(station.connections) == 1
        assert not told


async def test_nothing_is_told_when_nobody_is_there_any_more() -> None:
    """The connection goes while its answer is delayed."""
    told: list[Said] = []
    async with ModbusStation(equipment=farm(10), emitted=told.append) as station:
        async with socket(station) as (_, writer):
            station.faults.once(Fault(FaultKind.DELAY, seconds=0.05))
            writer.write(READ_TWO)
            await until(lambda: station.answers == 1)
            station.cut_connections()
            await until(lambda: not station.connections)
        async with client(station) as master:
            await master.read_input_registers(0, count=2, device_id=1)
        await until(lambda: bool(told))
    assert told == [{"device_counter": 2.0}]


async def test_one_master_too_many_is_turned_away_and_the_rest_are_served() -> None:
    async with ModbusStation(equipment=bench()) as station:
        pairs = [await asyncio.open_connection("127.0.0.1", station.port) for _ in range(MAX_CONNECTIONS + 1)]
        pairs[0][1].write(READ_TWO)
        await receive(pairs[0][0])
        await until(lambda: len(station.connections) == MAX_CONNECTIONS)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await receive(pairs[-1][0])
        for _, writer in pairs:
            writer.close()


@settings(max_examples=60, deadline=None)
@given(
    chunks=st.lists(
        st.one_of(
            st.binary(max_size=300),
            st.binary(min_size=1, max_size=253).map(lambda pdu: struct.pack(">HHHB", 1, 0, len(pdu) + 1, 1) + pdu),
            st.tuples(st.sampled_from([1, 2, 3, 4, 5, 6, 15, 16]), st.binary(max_size=20)).map(
                lambda pair: struct.pack(">HHHBB", 1, 0, len(pair[1]) + 2, 1, pair[0]) + pair[1]
            ),
        ),
        max_size=6,
    )
)
async def test_any_bytes_at_the_port_leave_the_station_serving(chunks: list[bytes]) -> None:
    """Whatever one master sends, the next one is answered, and no exception reaches the loop."""
    loop, failures = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _loop, context: failures.append(context))
    try:
        async with ModbusStation(equipment=bench()) as station:
            async with socket(station) as (reader, writer):
                writer.writelines(chunks)
                writer.write_eof()
                async with asyncio.timeout(3):
                    try:
                        await reader.read()
                    except ConnectionError:
                        assert station.discarded
            async with socket(station) as (reader, writer):
                writer.write(READ_TWO)
                assert (await receive(reader))[:2] == b"\x00\x07"
    finally:
        loop.set_exception_handler(None)
    assert not failures


@given(st.binary(max_size=40).map(lambda data: bytes(byte & 1 for byte in data)))
def test_bits_survive_packing(bits: bytes) -> None:
    assert unpack_bits(pack_bits(bits), len(bits)) == bits


def test_bits_are_packed_lowest_first() -> None:
    """V1.1b3, 6.1: outputs 27 to 20 are shown as the byte value CD hex, output 20 being the lowest bit."""
    assert pack_bits(bytes([1, 0, 1, 1, 0, 0, 1, 1])) == b"\xcd"


def test_a_span_covers_what_lies_wholly_within_it() -> None:
    whole = Span(Table.INPUT, 2, 4)
    assert whole.covers(Span(Table.INPUT, 2, 4))
    assert whole.covers(Span(Table.INPUT, 5, 1))
    assert not whole.covers(Span(Table.INPUT, 5, 2))
    assert not whole.covers(Span(Table.HOLDING, 2, 1))


def test_the_shipped_map_names_the_registers_of_the_manual() -> None:
    """Every quantity of the station is in the map, at the manual's register number, and none besides."""
    map_file = Path(__file__).parents[2] / "deploy" / "maps" / "river-station.toml"
    document = tomllib.loads(map_file.read_text())
    width = {"int16": 1, "uint16": 1, "int32": 2, "uint32": 2, "float32": 2}
    rows = {
        row["quantity"]: Span(Table(row["table"]), row["address"] - document["address_base"], width[row["type"]])
        for row in document["register"]
    }
    assert rows == SPANS
