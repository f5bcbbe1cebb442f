"""The strap's own encoder of 2A37, against bytes that nobody here wrote, and its other characteristics."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.bluez import Strap
from firmware_sim.bluez.errors import AttError
from firmware_sim.bluez.strap import BATTERY_LEVEL, CONTROL_POINT, MEASUREMENT, SENSOR_LOCATION, SERIAL, measurement
from support.corpus import corpus

CONTACT = {"not_supported": None, "detected": True, "not_detected": False}
CONTACT_WITHOUT_SUPPORT = 0x02
"""Two vectors set the contact bit and not the one that says it is supported; a strap of ours never does."""
HALF_AN_INTERVAL = "2a37-038"
"""Its last byte belongs to nothing: for readers to survive, not for a strap to say."""


def vectors(characteristic: str) -> list[dict[str, Any]]:
    rows = json.loads(corpus("gatt/vectors.json").read_text(encoding="utf-8"))["vectors"]
    return [row for row in rows if row["characteristic"] == characteristic and row["valid"]]


def test_every_public_vector_of_2a37_is_encoded_to_its_very_bytes() -> None:
    compared = 0
    for row in vectors("2A37"):
        value, said = bytes.fromhex(row["hex"]), row["expected"]
        if value[0] & 0x06 == CONTACT_WITHOUT_SUPPORT or row["id"] == HALF_AN_INTERVAL:
            continue
        encoded = measurement(
            said["heart_rate_bpm"],
            said["rr_1024"],
            CONTACT[said["sensor_contact"]],
            said["energy_expended_kj"],
            is_wide=bool(value[0] & 1),
        )
        if value[0] & 0x10 and not said["rr_1024"]:  # the flag alone says nothing; ours leaves it out
            encoded = bytes([encoded[0] | 0x10]) + encoded[1:]
        assert encoded == value, row["id"]
        compared += 1
    assert compared >= 25


@pytest.mark.parametrize(
    ("bpm", "energy", "mtu", "kept"),
    [(60, None, 23, 9), (60, 10, 23, 8), (300, None, 23, 8), (300, 10, 23, 7), (60, None, 65, 30)],
)
def test_the_oldest_intervals_are_lost_where_the_frame_is_full(
    bpm: int, energy: int | None, mtu: int, kept: int
) -> None:
    """MTU 23 leaves 20 bytes of value (Bluetooth Core 5.4, volume 3, part F, 3.4.7.1)."""
    intervals = list(range(800, 840))
    value = measurement(bpm, intervals, energy_kj=energy, mtu=mtu)
    assert len(value) <= mtu - 3
    tail = value[-2 * kept :]
    assert [int.from_bytes(tail[place : place + 2], "little") for place in range(0, len(tail), 2)] == intervals[-kept:]


@given(
    st.integers(0, 0xFFFF),
    st.lists(st.integers(0, 0xFFFF), max_size=20),
    st.sampled_from([None, True, False]),
    st.none() | st.integers(0, 0x1FFFF),
)
def test_no_measurement_outgrows_its_frame(bpm: int, rr: list[int], contact: bool | None, energy: int | None) -> None:
    value = measurement(bpm, rr, contact, energy)
    assert 2 <= len(value) <= 20
    assert value[0] & 0xE0 == 0


def test_a_strap_reads_and_writes_as_its_profiles_say() -> None:
    strap = Strap("c0:ff:ee:00:00:01", "Belt", "SN-1", 77, energy_kj=12)
    assert strap.address == "C0:FF:EE:00:00:01"
    assert strap.read(BATTERY_LEVEL) == b"\x4d"
    assert strap.read(SENSOR_LOCATION) == b"\x01"
    assert strap.read(SERIAL) == b"SN-1"
    strap.write(CONTROL_POINT, b"\x01")
    assert strap.energy_kj == 0
    for uuid, value, code in ((CONTROL_POINT, b"\x02", 0x80), (BATTERY_LEVEL, b"\x01", 0x03)):
        with pytest.raises(AttError) as refused:
            strap.write(uuid, value)
        assert refused.value.code == code
    with pytest.raises(AttError):
        strap.read(MEASUREMENT)


def test_a_strap_that_no_radio_carries_emits_nothing() -> None:
    emitted: list[object] = []
    strap = Strap("C0:FF:EE:00:00:01", "Belt", "SN-1", emitted=emitted.append)
    assert not strap.notify(70, [800])
    assert emitted == []
