"""Retries: spread, bounded, and in an order that finds the hub that works."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.backoff import Backoff, Rounds
from cloud_sync.link import RECONNECT

FIXED = Backoff(first_s=1.0, limit_s=8.0, floor_s=0.1)


@given(st.integers(1, 10_000), st.integers(0, 2**32))
def test_a_delay_lies_below_its_ceiling_and_above_the_floor(attempt, seed):
    assert FIXED.floor_s <= FIXED.delay_s(attempt, Random(seed)) <= FIXED.ceiling_s(attempt) <= FIXED.limit_s


def test_the_next_address_is_tried_at_once_and_the_delay_grows_only_after_all_have_failed():
    rounds, random = Rounds(3, FIXED), Random(1)
    tried, waited = [], []
    for _ in range(9):
        tried.append(rounds.address)
        waited.append(rounds.after_failure(random))
    assert tried == [0, 1, 2] * 3
    assert [delay_s == FIXED.floor_s for delay_s in waited] == [True, True, False] * 3
    assert [delay_s <= FIXED.ceiling_s(n) for n, delay_s in enumerate(waited[2::3], start=1)] == [True] * 3


def test_after_the_loss_of_a_healthy_link_the_next_address_is_tried_and_kept():
    rounds, random = Rounds(2, FIXED), Random(1)
    assert rounds.after_loss(random) <= FIXED.first_s
    assert rounds.address == 1
    assert rounds.after_failure(random) <= FIXED.first_s
    assert rounds.address == 0
    assert rounds.after_loss(random) <= FIXED.first_s
    assert rounds.address == 1


def test_one_address_alone_is_given_more_and_more_time():
    rounds, random = Rounds(1, FIXED), Random(1)
    waited = [max(Rounds(1, FIXED).after_loss(Random(seed)) for seed in range(200))]
    for _ in range(6):
        rounds.after_failure(random)
    waited.append(max(rounds.after_failure(Random(seed)) for seed in range(200)))
    assert waited[0] <= 1.0 < waited[1] <= 8.0


@pytest.mark.parametrize("away_s", [0.0, 5.0, 30.0, 600.0])
def test_a_thousand_gateways_that_lose_their_hub_at_once_come_back_spread(away_s):
    """All are back within a minute, and no second sees more than three quarters of them."""
    back, tries = [], []
    for seed in range(1000):
        rounds, random = Rounds(1, RECONNECT), Random(seed)
        at_s = rounds.after_loss(random)
        while at_s < away_s:
            tries.append(at_s)
            at_s += rounds.after_failure(random)
        tries.append(at_s)
        back.append(at_s)
    assert max(back) < away_s + 16
    per_second = [sum(second <= at_s < second + 1 for at_s in tries) for second in range(int(away_s) + 17)]
    assert max(per_second) < 750
    assert sum(per_second[:30]) < 1000 * 8
