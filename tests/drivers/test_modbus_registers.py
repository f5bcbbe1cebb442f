"""Registers to readings. Vectors: corpus/modbus (vendor pages), makers' conventions as named, IEEE 754 by hand."""

import json
from math import inf, isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.configuration import parse
from contract.errors import Misconfigured, ProtocolError
from contract.sample import Flag, Reading
from drivers.codecs.modbus_map import RegisterMap
from drivers.codecs.modbus_registers import Block, blocks
from support.corpus import corpus

SHT20 = """
name = "XY-MD02 / SHT20"
period_s = 2.0
[[register]]
quantity = "air_temperature"
table = "input"
address = 1
type = "int16"
scale = 0.1
[[register]]
quantity = "humidity"
table = "input"
address = 2
type = "uint16"
scale = 0.1
"""


def planned(*registers: str, head: str = "period_s = 1.0") -> tuple[Block, ...]:
    """The blocks of a map whose registers are written as inline tables."""
    return blocks(parse(RegisterMap, f"{head}\nregister = [{', '.join(registers)}]", "test.toml"))


def one(register: str, words: list[int], head: str = "period_s = 1.0") -> Reading:
    (block,) = planned(f'{{quantity = "raw_value", table = "input", address = 0, {register}}}', head=head)
    (reading,) = block.decode(words)
    return reading


def test_sht20_answers_decode_as_the_vendor_says() -> None:
    quantities = {"temperature_c": "air_temperature", "humidity_pct": "humidity"}
    (block,) = blocks(parse(RegisterMap, SHT20, "sht20.toml"))
    assert (block.address, block.count) == (1, 2)
    for frame in json.loads(corpus("modbus/sht20.json").read_text())["frames"]:
        request, response = bytes.fromhex(frame["request"]), bytes.fromhex(frame["response"])
        first, count = int.from_bytes(request[2:4], "big"), int.from_bytes(request[4:6], "big")
        words = [0x7FFF] * block.count
        for place in range(count):
            words[first - block.address + place] = int.from_bytes(response[3 + 2 * place : 5 + 2 * place], "big")
        readings = {reading.quantity: reading.value for reading in block.decode(words)}
        for name, value in frame["decoded"].items():
            assert readings[quantities[name]] == value


@pytest.mark.parametrize(
    ("register", "words", "value"),
    [
        ('type = "int16"', [0xFF33], -205.0),
        ('type = "uint16"', [0xFF33], 65331.0),
        ('type = "int16", scale = 0.1', [305], 30.5),
        ('type = "int16", scale = 0.1', [3], 0.3),
        ('type = "int16", scale = 0.01', [29], 0.29),
        ('type = "uint16", scale = 0.1, offset = -40', [805], 40.5),
        ('type = "uint16", scale = 2.5', [3], 7.5),
        ('type = "int32"', [0xFFFF, 0xFFFE], -2.0),
        ('type = "uint32"', [0x0001, 0x0002], 65538.0),
        ('type = "int32", word_order = "little"', [0xFFFE, 0xFFFF], -2.0),
        ('type = "uint32", word_order = "little"', [0x0002, 0x0001], 65538.0),
        ('type = "uint32", byte_order = "little"', [0x0100, 0x0200], 65538.0),
        ('type = "uint32", word_order = "little", byte_order = "little"', [0x0200, 0x0100], 65538.0),
        ('type = "uint16", byte_order = "little"', [0x3412], 0x1234),
        ('type = "int16", byte_order = "little"', [0x33FF], -205.0),
        ('type = "float32"', [0x41F4, 0x0000], 30.5),  # 0x41F40000 is 30.5
        ('type = "float32", word_order = "little"', [0x0000, 0x41F4], 30.5),  # Vaisala: low word first
        ('type = "float32", byte_order = "little"', [0xF441, 0x0000], 30.5),
        ('type = "int16", sign = "offset", scale = 0.1', [10205], -20.5),  # KinCony SHT30: 10000 and above is negative
        ('type = "int16", sign = "offset", scale = 0.1', [9999], 999.9),
        ('type = "int16", sign = "sign_bit", scale = 0.1', [0x80CD], -20.5),
        ('type = "int32", sign = "sign_bit"', [0x8000, 0x0005], -5.0),
        ('type = "bits"', [0x0105], 261.0),
        ('type = "bits", bit = 8', [0x0105], 1.0),
        ('type = "bits", bit = 1', [0x0105], 0.0),
    ],
)
def test_a_register_gives_its_number(register: str, words: list[int], value: float) -> None:
    assert one(register, words) == Reading("raw_value", value, Flag.UNKNOWN)


@pytest.mark.parametrize(
    ("register", "words"),
    [
        ('type = "int16", scale = 0.1, invalid = [0x8000]', [0x8000]),  # SunSpec
        ('type = "int16", scale = 0.1, invalid = [-32768]', [0x8000]),
        ('type = "int16", invalid = [0x7FFF]', [0x7FFF]),  # Lufft, signed
        ('type = "uint16", invalid = [0xFFFF]', [0xFFFF]),
        ('type = "uint16", invalid = [-1]', [0xFFFF]),
        ('type = "int32", invalid = [0x7FFFFFFF]', [0x7FFF, 0xFFFF]),  # Lambrecht, Thies
        ('type = "int32", invalid = [0x80000000], word_order = "little"', [0x0000, 0x8000]),
        ('type = "uint32", invalid = [0xFFFFFFFF]', [0xFFFF, 0xFFFF]),
        ('type = "int16", sign = "sign_bit", invalid = [0x8000]', [0x8000]),
        ('type = "int16", sign = "offset", invalid = [0xFFFF]', [0xFFFF]),
        ('type = "float32"', [0x7FC0, 0x0000]),  # NaN
        ('type = "float32"', [0x7F80, 0x0000]),  # infinity
        ('type = "float32"', [0xFF80, 0x0000]),
        ('type = "float32", invalid = [-999.9]', [0xC479, 0xF99A]),
    ],
)
def test_a_sentinel_is_no_value_whatever_the_scale(register: str, words: list[int]) -> None:
    assert one(register, words) == Reading("raw_value", None, Flag.MISSING)


def test_map_wide_orders_hold_unless_a_register_says_otherwise() -> None:
    head = 'period_s = 1.0\nword_order = "little"\naddress_base = 1'
    low_first = '{quantity = "pressure", table = "input", address = 1, type = "float32"}'
    high_first = '{quantity = "water_level", table = "input", address = 3, type = "float32", word_order = "big"}'
    (block,) = planned(low_first, high_first, head=head)
    assert (block.address, block.count) == (0, 4)
    values = {reading.quantity: reading.value for reading in block.decode([0x0000, 0x41F4, 0x41F4, 0x0000])}
    assert values == {"pressure": 30.5, "water_level": 30.5}


def test_bits_of_coils_and_discrete_inputs() -> None:
    registers = [f'{{quantity = "raw_value", table = "discrete", address = {place}}}' for place in (3, 5)]
    (block,) = planned(*registers, head="period_s = 1.0\nmax_gap = 1")
    assert (block.address, block.count) == (3, 3)
    assert [reading.value for reading in block.decode([True, False, False, False, False, False, False, False])] == [
        1,
        0,
    ]


def test_registers_may_overlap() -> None:
    registers = [
        f'{{quantity = "raw_value", table = "holding", address = 0, type = "{kind}"}}' for kind in ("uint32", "int16")
    ]
    (block,) = planned(*registers)
    assert sorted(reading.value or 0 for reading in block.decode([0xFFFF, 0x0000])) == [-1, 0xFFFF0000]


def raw(address: int, kind: str = "uint16", table: str = "input", group: str = "") -> str:
    rest = f', group = "{group}"' if group else ""
    return f'{{quantity = "raw_value", table = "{table}", address = {address}, type = "{kind}"{rest}}}'


def spans(found: tuple[Block, ...]) -> list[tuple[str, int, int]]:
    return [(block.table.value, block.address, block.count) for block in found]


def test_neighbours_are_read_in_one_request_and_tables_apart() -> None:
    found = planned(raw(2), raw(0, "uint32"), raw(3, table="holding"), raw(10))
    assert spans(found) == [("holding", 3, 1), ("input", 0, 3), ("input", 10, 1)]


def test_small_gaps_are_read_along_where_the_map_allows_it() -> None:
    assert spans(planned(raw(0), raw(4), raw(9), head="period_s = 1.0\nmax_gap = 3")) == [
        ("input", 0, 5),
        ("input", 9, 1),
    ]


def test_a_request_reads_at_most_125_registers() -> None:
    found = planned(*(raw(2 * place, "uint32") for place in range(100)))
    assert spans(found) == [("input", 0, 124), ("input", 124, 76)]
    assert spans(planned(*(raw(place) for place in range(30)), head="period_s = 1.0\nmax_block = 10")) == [
        ("input", 0, 10),
        ("input", 10, 10),
        ("input", 20, 10),
    ]


def test_a_group_stays_in_one_request() -> None:
    far = planned(raw(0, group="wind"), raw(5), raw(8, group="wind"), raw(12))
    assert spans(far) == [("input", 0, 9), ("input", 12, 1)]
    assert spans(far[0].split()) == [("input", 0, 9)]
    near_limit = planned(raw(0), raw(1, group="a"), raw(4, group="a"), head="period_s = 1.0\nmax_block = 4")
    assert spans(near_limit) == [("input", 0, 1), ("input", 1, 4)]


def test_a_block_splits_at_its_gaps_and_then_in_halves() -> None:
    (block,) = planned(raw(0), raw(1), raw(3), head="period_s = 1.0\nmax_gap = 1")
    parts = block.split()
    assert spans(parts) == [("input", 0, 2), ("input", 3, 1)]
    assert spans(parts[0].split()) == [("input", 0, 1), ("input", 1, 1)]
    assert spans(parts[1].split()) == [("input", 3, 1)]


def test_a_short_answer_is_a_protocol_error() -> None:
    (block,) = planned(raw(0), raw(1))
    with pytest.raises(ProtocolError):
        block.decode([1])


@given(
    st.lists(st.integers(0, 0xFFFF), min_size=2, max_size=2), st.sampled_from(["int32", "uint32", "float32", "int16"])
)
def test_any_words_give_a_number_or_no_value(words: list[int], kind: str) -> None:
    reading = one(f'type = "{kind}", scale = 0.001, offset = 3', words)
    assert (reading.value is None) == (reading.flag is Flag.MISSING)
    assert reading.value is None or abs(reading.value) < inf


@given(st.integers(-32768, 32767), st.sampled_from(["0.1", "0.01", "0.5", "0.001", "2", "10"]))
def test_a_scaled_number_is_the_decimal_it_means(number: int, scale: str) -> None:
    """The nearest float to number x scale, which is what the decimal's own text reads as."""
    value = one(f'type = "int16", scale = {scale}', [number & 0xFFFF]).value
    assert value is not None
    digits = len(scale.partition(".")[2])
    assert float(f"{value:.{digits}f}") == value
    assert isclose(value, number * float(scale), rel_tol=1e-12)


@pytest.mark.parametrize(
    ("register", "cause"),
    [
        ('quantity = "water_levl", type = "int16"', "not in the quantity table"),
        ('quantity = "position", type = "int16"', "not in the quantity table"),
        ('quantity = "water_level"', "'type' is missing"),
        ('quantity = "water_level", type = "int16", scale = 0', "no usable number"),
        ('quantity = "water_level", type = "uint16", sign = "sign_bit"', "'sign' applies"),
        ('quantity = "water_level", type = "int16", bit = 3', "'bit' applies"),
        ('quantity = "water_level", type = "int16", invalid = [70000]', "cannot hold"),
        ('quantity = "water_level", type = "int16", invalid = [1.5]', "broken number"),
        ('quantity = "water_level", type = "int16", unit = "cm"', "'unit' is not the quantity's"),
        ('quantity = "water_level", type = "int16", scal = 0.1', "scal"),
    ],
)
def test_a_wrong_register_is_told_in_an_installers_words(register: str, cause: str) -> None:
    text = f'period_s = 1.0\n[[register]]\ntable = "input"\naddress = 0\n{register.replace(", ", chr(10))}'
    with pytest.raises(Misconfigured) as caught:
        parse(RegisterMap, text, "wrong.toml")
    assert "wrong.toml" in str(caught.value)
    assert cause in str(caught.value)


@pytest.mark.parametrize(
    ("registers", "cause"),
    [
        ([raw(0).replace("raw_value", "water_level"), raw(1).replace("raw_value", "water_level")], "stands twice"),
        (
            ['{quantity = "raw_value", table = "input", address = 0, type = "int16", address_base = 1}'],
            "does not exist",
        ),
        ([raw(65535, "uint32")], "does not exist"),
        ([raw(0, group="a"), raw(0, table="holding", group="a")], "two tables"),
        (['{quantity = "raw_value", table = "coil", address = 0, type = "int16"}'], "holds bits"),
        ([], "at least 1"),
    ],
)
def test_registers_that_contradict_each_other_are_told(registers: list[str], cause: str) -> None:
    with pytest.raises(Misconfigured, match=cause):
        planned(*registers)
