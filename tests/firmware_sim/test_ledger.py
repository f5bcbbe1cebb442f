"""The ledger sees exactly what was lost, doubled, counted or declared: no more, no less."""

from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.ledger import Balance, Books, Emission, Span, StoredSample, Window, balance, strays

START = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
READ_DELAY = timedelta(milliseconds=12)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def river(count: int) -> list[Emission]:
    """Two answers a second, numbered, with a level that repeats."""
    return [
        Emission("river-1", at(n * 0.5), {"device_counter": n + 1, "water_level": 1.25 + n % 3, "humidity": 71.0})
        for n in range(count)
    ]


def strap(count: int, device: str = "strap-1") -> list[Emission]:
    """One notification a second, always the same pulse: the hardest case to tell apart."""
    return [Emission(device, at(n), {"heart_rate": 72}) for n in range(count)]


def read(emission: Emission, *quantities: str, identity: str = "") -> StoredSample:
    values = {name: emission.values[name] for name in quantities}
    return StoredSample(emission.device, emission.at + READ_DELAY, values, identity)


def read_river(emissions: list[Emission]) -> list[StoredSample]:
    return [read(e, "device_counter", "water_level", identity=f"1:{n}") for n, e in enumerate(emissions)]


def read_strap(emissions: list[Emission]) -> list[StoredSample]:
    return [read(e, "heart_rate") for e in emissions]


def counts(result: Balance) -> tuple[int, ...]:
    return (
        *(result.emitted, result.stored, result.aggregated, result.withheld),
        *(result.in_gaps, result.missing, result.duplicated),
    )


def test_an_empty_run_balances() -> None:
    assert counts(balance(Books((), ()))) == (0,) * 7


def test_a_run_without_fault_is_all_stored() -> None:
    emissions = [*river(20), *strap(10)]
    result = balance(Books(emissions, [*read_river(river(20)), *read_strap(strap(10))], alerts=2))
    assert counts(result) == (30, 30, 0, 0, 0, 0, 0)
    assert result.alerts == 2
    assert result.holds
    assert (result.devices["river-1"].emitted, result.devices["strap-1"].stored) == (20, 10)


@given(st.sets(st.integers(0, 59)), st.sets(st.integers(0, 59)), st.randoms(use_true_random=False))
def test_loss_doubling_and_disorder_of_a_numbered_device_are_seen_exactly(
    lost: set[int], doubled: set[int], random: Random
) -> None:
    emissions = river(60)
    kept = [sample for n, sample in enumerate(read_river(emissions)) if n not in lost]
    stored = [*kept, *(sample for sample in kept if int(sample.identity[2:]) in doubled)]
    random.shuffle(stored)
    random.shuffle(emissions)
    result = balance(Books(emissions, stored))
    assert counts(result) == (60, 60 - len(lost), 0, 0, 0, len(lost), len(doubled - lost))
    assert result.holds == (not lost and not doubled)


@given(st.sets(st.integers(0, 59)), st.sets(st.integers(0, 59)), st.randoms(use_true_random=False))
def test_loss_and_doubling_of_a_device_without_numbers_are_seen_exactly(
    lost: set[int], doubled: set[int], random: Random
) -> None:
    kept = [sample for n, sample in enumerate(read_strap(strap(60))) if n not in lost]
    again = [sample for sample in kept if (sample.at - START) // timedelta(seconds=1) in doubled]
    stored = [*kept, *again]
    random.shuffle(stored)
    result = balance(Books(strap(60), stored, personal=frozenset({"strap-1"})))
    assert counts(result) == (60, 60 - len(lost), 0, 0, 0, len(lost), len(again))


@given(st.lists(st.floats(-0.4, 1.9), min_size=30, max_size=30))
def test_late_and_early_stamps_within_the_tolerance_lose_nothing(delays: list[float]) -> None:
    stored = [
        StoredSample(e.device, e.at + timedelta(seconds=d), {"device_counter": e.values["device_counter"]}, str(n))
        for n, (e, d) in enumerate(zip(river(30), delays, strict=True))
    ]
    assert counts(balance(Books(river(30), stored))) == (30, 30, 0, 0, 0, 0, 0)


def test_a_stamp_beyond_the_tolerance_is_no_match() -> None:
    late = [StoredSample("river-1", at(40.0), {"device_counter": 1})]
    assert counts(balance(Books(river(1), late))) == (1, 0, 0, 0, 0, 1, 1)
    assert counts(balance(Books(river(1), late), tolerance_s=45.0)) == (1, 1, 0, 0, 0, 0, 0)


def test_a_wrong_value_is_both_missing_and_double() -> None:
    wrong = [StoredSample("bus-1", at(0), {"lat": 33.95, "lon": 130.95001})]
    emitted = [Emission("bus-1", at(0), {"lat": 33.95, "lon": 130.95})]
    assert counts(balance(Books(emitted, wrong))) == (1, 0, 0, 0, 0, 1, 1)


def test_a_sample_of_an_unknown_device_is_double() -> None:
    assert counts(balance(Books((), [StoredSample("river-9", at(0), {})]))) == (0, 0, 0, 0, 0, 0, 1)


@given(st.integers(0, 18), st.integers(0, 12))
def test_only_loss_inside_a_declared_gap_of_that_device_is_in_gaps(first: int, length: int) -> None:
    lost = set(range(first, first + length))
    stored = [sample for n, sample in enumerate(read_river(river(30))) if n not in lost]
    covered = Span("river-1", at(first * 0.5), at((first + length) * 0.5 - 0.5))
    other = Span("bus-1", at(0), at(60))
    common = Span(None, at(0), at(60))
    assert counts(balance(Books(river(30), stored, gaps=[covered]))) == (30, 30 - length, 0, 0, length, 0, 0)
    assert balance(Books(river(30), stored, gaps=[other, common])).missing == length


def test_loss_beside_a_gap_is_missing() -> None:
    stored = [sample for n, sample in enumerate(read_river(river(30))) if n not in {5, 10, 11, 20}]
    result = balance(Books(river(30), stored, gaps=[Span("river-1", at(5.0), at(5.5))]))
    assert counts(result) == (30, 26, 0, 0, 2, 2, 0)


@given(st.integers(0, 20), st.integers(0, 5), st.integers(0, 5))
def test_aggregates_and_open_windows_account_for_as_many_as_they_say(lost: int, extra: int, resting: int) -> None:
    windows = [Window("strap-3", at(0), at(30), 30 - lost + extra), Window("strap-3", at(30), at(60), 30 - resting)]
    books = Books(
        strap(60, "strap-3"), (), windows, personal=frozenset({"strap-3"}), summed=frozenset({"strap-3"}),
        open_windows=resting,
    )  # fmt: skip
    result = balance(books)
    assert result.aggregated == 60 - max(0, lost - extra)
    assert (result.missing, result.duplicated) == (max(0, lost - extra), max(0, extra - lost))


def test_a_device_with_two_releases_counts_once_as_stored() -> None:
    stored = read_strap(strap(90))
    windows = [Window("strap-1", at(0), at(60), 60)]
    worn = frozenset({"strap-1"})
    books = Books(strap(90), stored, windows, personal=worn, summed=worn, open_windows=30)
    assert counts(balance(books)) == (90, 90, 0, 0, 0, 0, 0)


def test_statistics_agreed_to_before_the_study_count_as_aggregated() -> None:
    stored = read_strap(strap(90)[60:])
    windows = [Window("strap-1", at(0), at(60), 60)]
    books = Books(strap(90), stored, windows, personal=frozenset({"strap-1"}))
    assert counts(balance(books)) == (90, 30, 60, 0, 0, 0, 0)


@given(st.integers(0, 60), st.integers(0, 20))
def test_withheld_totals_are_shared_by_worn_devices_and_by_no_other(withheld: int, early: int) -> None:
    emissions = [*strap(60, "strap-4"), *strap(60), *river(10)]
    stored = [*read_strap(strap(60)[early:]), *read_river(river(10)[1:])]
    books = Books(emissions, stored, personal=frozenset({"strap-1", "strap-4"}), withheld=withheld + early)
    result = balance(books)
    assert result.withheld == withheld + early
    assert result.missing == 60 - withheld + 1
    assert result.devices["river-1"].missing == 1
    assert result.duplicated == 0


def test_more_withheld_than_emitted_is_double() -> None:
    books = Books(strap(10, "strap-4"), (), personal=frozenset({"strap-4"}), withheld=12)
    assert counts(balance(books)) == (10, 0, 0, 10, 0, 0, 2)


def test_counts_and_gaps_of_worn_devices_are_shared_so_that_a_balanced_run_balances() -> None:
    """The count of withheld samples does not say whose they are: no sharing out may invent a loss."""
    emissions = [*strap(60, "strap-4"), *strap(60)]
    gone = {0, 30, 31, 32}
    stored = [sample for n, sample in enumerate(read_strap(strap(60))) if n not in gone]
    gaps = [Span("strap-1", at(30), at(32)), Span(None, at(30), at(34))]
    books = Books(emissions, stored, gaps=gaps, personal=frozenset({"strap-1", "strap-4"}), withheld=55 + 1)
    assert counts(balance(books)) == (120, 56, 0, 56, 8, 0, 0)


def test_downtime_explains_only_devices_that_share_nothing() -> None:
    stored = [sample for n, sample in enumerate(read_strap(strap(60))) if n != 30]
    books = Books(strap(60), stored, gaps=[Span(None, at(29), at(31))], personal=frozenset({"strap-1"}))
    assert balance(books).missing == 1


def test_two_samples_read_at_one_moment_are_told_apart_by_what_was_stored_beside_them() -> None:
    """A gateway that was held up reads several notifications at once, which may say the same rate."""
    emissions = [Emission("strap-1", at(n), {"heart_rate": 72.0}) for n in range(2)]
    samples = [StoredSample("strap-1", at(2), {"heart_rate": 72.0}, beside=str(n)) for n in range(2)]
    assert balance(Books(emissions, samples)).holds
    assert balance(Books(emissions, [samples[0], samples[0]])).duplicated == 1


def test_strays_name_what_no_other_side_explains() -> None:
    emissions = [Emission("river-1", at(n * 20.0), {"device_counter": n}) for n in range(4)]
    samples = [StoredSample("river-1", at(0.1), {"device_counter": 0.0}, "e:data:1")]
    samples.append(StoredSample("river-1", at(61.0), {"device_counter": 9.0}, "e:data:2"))
    books = Books(emissions, samples, gaps=[Span("river-1", at(19), at(21))])
    assert strays(books) == (
        ("river-1", "emitted", at(40)),
        ("river-1", "emitted", at(60)),
        ("river-1", "stored", at(61)),
    )


def test_a_bus_that_stands_balances_however_late_its_fixes_are_read() -> None:
    """Each says the same: the nearest emission is another's, and what is left at both ends belongs together."""
    emissions = [Emission("bus-1", at(n * 0.5), {"lat": 33.9}) for n in range(16)]
    samples = [
        StoredSample("bus-1", at(n * 0.5 + (0.0 if n < 8 else 3.0)), {"lat": 33.9}, f"e:data:{n}") for n in range(16)
    ]
    assert balance(Books(emissions, samples)).holds
