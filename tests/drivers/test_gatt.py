"""GATT values decode as public vectors say, refuse what breaks the specification, and never raise anything else."""

import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import ProtocolError
from drivers.codecs.gatt import (
    BodyLocation,
    Contact,
    ControlPoint,
    HeartRateMeasurement,
    decode_battery_level,
    decode_body_location,
    decode_control_point,
    decode_heart_rate,
    decode_text,
    encode_control_point,
    long_uuid,
)
from support.corpus import corpus


def heart_rate(value: bytes) -> dict[str, object]:
    told = asdict(decode_heart_rate(value))
    return {
        "heart_rate_bpm": told["bpm"],
        "sensor_contact": told["contact"].value,
        "energy_expended_kj": told["energy_kj"],
        "rr_1024": list(told["rr_1024"]),
    }


DECODERS = {
    "2A37": heart_rate,
    "2A38": lambda value: {"body_sensor_location": decode_body_location(value).name.lower()},
    "2A39": lambda value: {"command": decode_control_point(value).name.lower()},
    "2A19": lambda value: {"percent": decode_battery_level(value)},
    "2A24": lambda value: {"text": decode_text(value)},
    "2A25": lambda value: {"text": decode_text(value)},
    "2A26": lambda value: {"text": decode_text(value)},
    "2A27": lambda value: {"text": decode_text(value)},
    "2A28": lambda value: {"text": decode_text(value)},
    "2A29": lambda value: {"text": decode_text(value)},
}


def vectors(name: str = "2A") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(corpus("gatt/vectors.json").read_text())["vectors"]
    return [row for row in rows if row["characteristic"] in DECODERS and row["characteristic"].startswith(name)]


def decoded(characteristic: str, value: bytes) -> dict[str, object] | None:
    """What the codec says; None where it refuses. Anything but a ProtocolError fails the test."""
    try:
        return DECODERS[characteristic](value)
    except ProtocolError:
        return None


def test_every_vector_decodes_as_its_source_states() -> None:
    rows = vectors()
    assert len(rows) >= 40
    wrong = [row["id"] for row in rows if decoded(row["characteristic"], bytes.fromhex(row["hex"])) != row["expected"]]
    assert wrong == []


def test_every_vector_that_is_invalid_is_refused() -> None:
    refused = [row for row in vectors() if not row["valid"]]
    assert len(refused) >= 5
    for row in refused:
        with pytest.raises(ProtocolError):
            DECODERS[row["characteristic"]](bytes.fromhex(row["hex"]))


def test_a_measurement_cut_anywhere_is_refused_or_decodes_as_the_specification_permits() -> None:
    """Fields before the RR list must be whole; the list may lose its newest intervals, but not all of them."""
    for row in vectors("2A37"):
        whole = bytes.fromhex(row["hex"])
        for end in range(len(whole)):
            told = decoded("2A37", whole[:end])
            flags = whole[0] if end else 0
            fixed = 2 + (flags & 1) + (2 if flags & 8 else 0) if end else 1
            needed = fixed + (2 if flags & 16 else 0)
            assert (told is None) == (end < needed), f"{row['id']} cut to {end} bytes"
            if told is not None and row["expected"]:
                kept = (end - fixed) // 2 if flags & 16 else 0
                assert told == {**row["expected"], "rr_1024": row["expected"]["rr_1024"][:kept]}


@pytest.mark.parametrize("name", ["2A38", "2A39", "2A19"])
def test_values_of_one_byte_are_refused_cut_and_with_trailing_bytes(name: str) -> None:
    for row in vectors(name):
        assert decoded(name, b"") is None
        assert decoded(name, bytes.fromhex(row["hex"]) + b"\0") is None


def test_bytes_after_a_measurement_change_nothing_where_no_flag_promises_them() -> None:
    for row in vectors("2A37"):
        value = bytes.fromhex(row["hex"])
        if row["valid"] and not value[0] & 16:
            assert decoded("2A37", value + b"\xa5\x5a\xff") == row["expected"]


def test_half_an_interval_after_a_measurement_is_ignored() -> None:
    for row in vectors("2A37"):
        value = bytes.fromhex(row["hex"])
        ends_whole = (len(value) - (2 + (value[0] & 1))) % 2 == 0 if value else False
        if row["valid"] and value[0] & 16 and ends_whole:
            assert decoded("2A37", value + b"\xa5") == row["expected"]


@given(
    bpm=st.integers(0, 65535),
    contact=st.sampled_from(list(Contact)),
    energy=st.none() | st.integers(0, 65535),
    rr=st.lists(st.integers(0, 65535), max_size=9),
    reserved=st.integers(0, 7),
)
def test_a_measurement_put_together_by_the_specification_comes_back(
    bpm: int, contact: Contact, energy: int | None, rr: list[int], reserved: int
) -> None:
    bits = {Contact.NOT_SUPPORTED: 0, Contact.NOT_DETECTED: 4, Contact.DETECTED: 6}[contact]
    flags = bits | (bpm > 255) | (8 if energy is not None else 0) | (16 if rr else 0) | reserved << 5
    value = bytes([flags]) + bpm.to_bytes(2 if bpm > 255 else 1, "little")
    value += b"" if energy is None else energy.to_bytes(2, "little")
    value += b"".join(interval.to_bytes(2, "little") for interval in rr)
    assert decode_heart_rate(value) == HeartRateMeasurement(bpm, contact, energy, tuple(rr))


@given(name=st.sampled_from(sorted(DECODERS)), value=st.binary(max_size=40))
def test_no_bytes_raise_anything_but_a_protocol_error(name: str, value: bytes) -> None:
    decoded(name, value)


@pytest.mark.parametrize("value", [7, 8, 127, 255])
def test_a_body_location_that_nobody_defined_is_refused(value: int) -> None:
    with pytest.raises(ProtocolError):
        decode_body_location(bytes([value]))


def test_body_locations_are_those_of_the_heart_rate_service() -> None:
    names = ["other", "chest", "wrist", "finger", "hand", "ear_lobe", "foot"]
    assert [decode_body_location(bytes([code])).name.lower() for code in range(7)] == names
    assert len(BodyLocation) == 7


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"", ""),
        (b"\0\0", ""),
        (b"H10\0\0\0", "H10"),
        (b"Dx\0rest", "Dx"),
        ("下関".encode(), "下関"),
        (b" 2.1 ", " 2.1 "),
    ],
)
def test_a_text_ends_at_its_padding(value: bytes, text: str) -> None:
    assert decode_text(value) == text


@pytest.mark.parametrize("value", [b"\xff\xfe", b"SN-\xe4\xb8", bytes(513)])
def test_a_text_that_is_none_is_refused_without_repeating_it(value: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_text(value)
    assert caught.value.__cause__ is None
    assert "SN-" not in str(caught.value)


def test_the_control_point_asks_for_a_reset_and_nothing_else() -> None:
    assert encode_control_point(ControlPoint.RESET_ENERGY_EXPENDED) == b"\x01"
    for value in (b"", b"\x00", b"\x02", b"\x01\x01", b"\xff"):
        with pytest.raises(ProtocolError):
            decode_control_point(value)


def test_a_short_uuid_lies_on_the_base_uuid() -> None:
    assert long_uuid(0x2A37) == "00002a37-0000-1000-8000-00805f9b34fb"
