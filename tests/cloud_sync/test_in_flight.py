"""The index of what is in flight finds exactly what a look at every range would find."""

import time

from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.in_flight import InFlight
from contract.ids import Epoch
from contract.record import Range, Stream

EPOCHS = [Epoch("0" * 16), Epoch("f" * 16)]
places = st.tuples(st.sampled_from(EPOCHS), st.sampled_from(Stream))
ranges = st.builds(
    lambda place, first, size: Range(*place, first, first + size), places, st.integers(1, 60), st.integers(-3, 12)
)


@st.composite
def disjoint(draw) -> list[Range]:
    """Ranges of several epochs and streams that do not touch each other's numbers."""
    found = []
    for epoch in EPOCHS:
        for stream in Stream:
            first = 1
            for gap, size in draw(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 9)), max_size=8)):
                found.append(Range(epoch, stream, first + gap, first + gap + size - 1))
                first += gap + size
    return draw(st.permutations(found))


@given(disjoint(), st.lists(ranges, max_size=20), st.data())
def test_a_receipt_finds_what_lies_whole_in_it_and_nothing_else(sent, receipts, data):
    in_flight: InFlight[int] = InFlight()
    for number, range_ in enumerate(sent):
        in_flight.add([range_], number)
    open_ = dict(zip(sent, range(len(sent)), strict=True))
    gone = data.draw(st.lists(st.sampled_from(sent), unique=True) if sent else st.just([]))
    in_flight.discard(gone)
    for range_ in gone:
        del open_[range_]
    for receipt in receipts:
        covered = {
            r: n
            for r, n in open_.items()
            if r[:2] == receipt[:2] and receipt.first <= r.first and r.last <= receipt.last
        }
        assert dict(in_flight.covered(receipt)) == covered
        for range_ in covered:
            del open_[range_]
    assert len(in_flight) == len(open_)


def test_a_receipt_of_a_thousand_ranges_costs_little_beside_a_full_window():
    """Sixty messages of a thousand parts in flight, and a thousand ranges that name none of them: ten milliseconds."""
    in_flight: InFlight[int] = InFlight()
    in_flight.add([Range(EPOCHS[0], Stream.DATA, n * 100, n * 100 + 99) for n in range(1, 60_001)], 1)
    receipts = [Range(EPOCHS[1], Stream.DATA, n, n) for n in range(1, 1001)]
    fastest_s = float("inf")
    for _ in range(3):
        start_s = time.process_time()
        for receipt in receipts:
            in_flight.covered(receipt)
        fastest_s = min(fastest_s, time.process_time() - start_s)
    assert fastest_s < 0.1, "ten times what was measured"
