"""The fleet's balance: whatever the hub lost, doubled, changed or mixed up is counted as that."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.ids import Epoch
from firmware_sim.fleet_ledger import Emitted, Tally, tally
from firmware_sim.ledger import StoredSample

EPOCH, OTHER = Epoch("0123456789abcdef"), Epoch("f" * 16)
START = datetime(2026, 11, 22, tzinfo=UTC)
SAID = Emitted("fleet-0001-d2", EPOCH, (2, 4, 6))
"""The second of two devices: each turn takes two numbers."""


def row(sequence: int, counter: float, epoch: Epoch = EPOCH) -> StoredSample:
    at = START + timedelta(seconds=sequence)
    return StoredSample(SAID.device, at, {"device_counter": counter}, f"{epoch}:data:{sequence}")


WHOLE = (row(2, 0), row(4, 1), row(6, 2))


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (WHOLE, Tally(3, 3)),
        ((), Tally(3, 0, missing=3)),
        ((row(2, 0), row(6, 2)), Tally(3, 2, missing=1)),
        ((*WHOLE, row(6, 2)), Tally(3, 3, duplicated=1)),
        ((*WHOLE, row(8, 2)), Tally(3, 3, duplicated=1)),
        ((row(2, 0), row(4, 2), row(6, 1)), Tally(3, 3, altered=2)),
        ((row(4, 1), row(2, 0), row(6, 2)), Tally(3, 3, disordered=1)),
        ((row(2, 9, OTHER), *WHOLE), Tally(3, 3)),
        ((row(2, 0, OTHER), row(4, 1), row(6, 2)), Tally(3, 2, missing=1)),
    ],
    ids=[
        *("whole", "nothing", "one lost", "one twice", "one under a second number", "two exchanged", "listed too late"),
        *("an earlier run's", "one under another epoch"),
    ],
)
def test_each_fault_is_counted_as_what_it_is(stored: Sequence[StoredSample], expected: Tally) -> None:
    assert tally(SAID, stored) == expected
    assert expected.holds == (stored == WHOLE or stored[1:] == WHOLE)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_missing_and_double_are_exact_whatever_happens_to_each_record(copies: list[int]) -> None:
    """`copies` says how often each record reached the database."""
    said = Emitted("d", EPOCH, range(1, len(copies) + 1))
    stored = [row(number, number - 1) for number, times in enumerate(copies, 1) for _ in range(times)]
    result = tally(said, stored)
    assert (result.missing, result.duplicated) == (copies.count(0), sum(max(0, times - 1) for times in copies))
    assert result.stored + result.missing == result.emitted == len(copies)
    assert (result.altered, result.disordered) == (0, 0)


def test_tallies_add_up() -> None:
    assert Tally(1, 2, 3, 4, 5, 6) + Tally(10, 20, 30, 40, 50, 60) == Tally(11, 22, 33, 44, 55, 66)
