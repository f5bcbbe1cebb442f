"""Pseudonyms of persons: keyed, per purpose and per epoch. Keys come from outside and never travel with the data."""

import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from enum import StrEnum
from types import MappingProxyType

from contract.consent import Purpose

KEY_BYTES = 32
"""Shortest key taken: the length of a SHA-256 value, below which the key is easier to try than the hash."""

_JAPAN = timezone(timedelta(hours=9))


class EpochLength(StrEnum):
    """How long one key serves before it is destroyed and pseudonyms can no longer be joined."""

    DAY = "%Y-%m-%d"
    MONTH = "%Y-%m"


EPOCH_LENGTHS: Mapping[Purpose, EpochLength] = MappingProxyType(
    {
        Purpose.RESEARCH: EpochLength.MONTH,
        Purpose.STATISTICS: EpochLength.DAY,
    }
)
"""One month for operation, one day for what ends in public. The other purposes name the resident or stay here."""


def pseudonym(key: bytes, scope: str, id: str) -> str:  # noqa: A002 - the word of the contract: a thing's id
    """The name of `id` within `scope` under `key`: 32 hex digits of HMAC-SHA256(key, scope | id).

    `key` belongs to one purpose and one epoch. A plain hash would be found by trying every address of a maker.
    """
    if len(key) < KEY_BYTES:
        raise ValueError(f"pseudonym key is shorter than {KEY_BYTES} bytes")
    if "|" in scope:
        raise ValueError("pseudonym scope holds '|', which parts it from the id")
    return hmac.new(key, f"{scope}|{id}".encode(), "sha256").hexdigest()[:32]


def epoch_of(at: datetime, purpose: Purpose) -> str:
    """The epoch whose key serves `purpose` at `at`, by the city's calendar: "2026-11" or "2026-11-22".

    ValueError for a purpose that has no pseudonyms.
    """
    length = EPOCH_LENGTHS.get(purpose)
    if length is None:
        raise ValueError(f"purpose {purpose} has no pseudonyms")
    return at.astimezone(_JAPAN).strftime(length)
