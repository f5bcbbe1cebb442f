"""Pseudonyms cannot be joined across purposes and epochs, nor found without the key (promise 2)."""

import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.pseudonym import EPOCH_LENGTHS, epoch_of, pseudonym
from contract.consent import PURPOSES, Form, Purpose

KEY = bytes(range(32))


def test_a_pseudonym_is_hmac_sha256_by_its_definition() -> None:
    """RFC 2104 spelled out with plain SHA-256, so that the library is not its own oracle."""
    block = KEY.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + b"wearable|resident-1").digest()
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block) + inner).hexdigest()
    assert pseudonym(KEY, "wearable", "resident-1") == outer[:32]


@given(other=st.binary(min_size=32, max_size=64).filter(lambda key: key != KEY))
def test_another_key_gives_a_pseudonym_that_cannot_be_joined(other: bytes) -> None:
    assert pseudonym(KEY, "person", "resident-1") != pseudonym(other, "person", "resident-1")


def test_scope_and_id_cannot_be_shifted_into_each_other() -> None:
    assert pseudonym(KEY, "a", "b|c") != pseudonym(KEY, "ab", "c")
    with pytest.raises(ValueError, match="scope"):
        pseudonym(KEY, "a|b", "c")


@pytest.mark.parametrize("key", [b"", b"secret", bytes(31)])
def test_a_short_key_is_not_taken(key: bytes) -> None:
    with pytest.raises(ValueError, match="shorter"):
        pseudonym(key, "person", "resident-1")


def test_epochs_follow_the_calendar_of_the_city() -> None:
    before = datetime(2026, 11, 30, 14, 59, 59, tzinfo=UTC)
    after = datetime(2026, 11, 30, 15, 0, 0, tzinfo=UTC)
    assert (epoch_of(before, Purpose.RESEARCH), epoch_of(after, Purpose.RESEARCH)) == ("2026-11", "2026-12")
    assert (epoch_of(before, Purpose.STATISTICS), epoch_of(after, Purpose.STATISTICS)) == ("2026-11-30", "2026-12-01")


def test_every_purpose_that_leaves_without_a_name_has_an_epoch_length() -> None:
    nameless = {purpose for purpose, rule in PURPOSES.items() if rule.form in (Form.PSEUDONYMOUS, Form.AGGREGATE)}
    assert set(EPOCH_LENGTHS) == nameless


def test_a_purpose_that_names_the_resident_has_no_epoch() -> None:
    with pytest.raises(ValueError, match="no pseudonyms"):
        epoch_of(datetime(2026, 11, 22, tzinfo=UTC), Purpose.KEEP_HUB)
