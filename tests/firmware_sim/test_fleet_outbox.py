"""A simulated gateway and its outbox: numbers fit what was said, and only a receipt takes anything out."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from cloud_sync import blob
from cloud_sync.uplink import Entry, Page, Stretch
from contract.errors import StoreFull
from contract.ids import Epoch, GatewayId
from contract.record import Measured, Range, Stream
from firmware_sim import fleet_outbox
from firmware_sim.fleet_gateway import FleetGateway
from firmware_sim.fleet_outbox import MemoryOutbox, Receipted

EPOCH = Epoch("0123456789abcdef")
START = datetime(2026, 11, 22, tzinfo=UTC)
PAGE = Page(1024, 2**19)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gateway(clock: Clock) -> FleetGateway:
    """Two devices that have spoken three times, a second apart."""
    gateway = FleetGateway(GatewayId("fleet-0001"), 2, EPOCH, clock)
    for turn in range(3):
        clock.now_s = float(turn)
        gateway.emit(START + timedelta(seconds=turn))
    return gateway


def numbers(first: int, last: int) -> Range:
    return Range(EPOCH, Stream.DATA, first, last)


async def waiting(outbox: MemoryOutbox, after: int = 0, page: Page = PAGE) -> tuple[Entry, ...]:
    return await outbox.peek(Stream.DATA, Stretch(after), page)


async def test_numbers_in_the_ledger_are_those_of_the_records_in_the_blobs(gateway: FleetGateway) -> None:
    sent: dict[str, list[tuple[int, float | None]]] = {device: [] for device in gateway.devices}
    for entry in await waiting(gateway.outbox):
        for number, record in enumerate(blob.decode(entry.part.blob), entry.part.range.first):
            assert isinstance(record, Measured)
            sent[record.subject].append((number, record.members[0].value))
    for said in gateway.emitted():
        assert sent[said.device] == [(number, float(counter)) for counter, number in enumerate(said.sequences)]
        assert len(said.sequences) == 3


async def test_only_whole_blobs_that_a_receipt_names_leave(gateway: FleetGateway, clock: Clock) -> None:
    outbox = gateway.outbox
    clock.now_s = 5.0
    await outbox.remove([numbers(1, 1), Range(Epoch("f" * 16), Stream.DATA, 1, 6), numbers(3, 4)])
    assert [entry.part.range for entry in await waiting(outbox)] == [numbers(1, 2), numbers(5, 6)]
    assert outbox.receipts == [Receipted(1.0, 5.0)]
    await outbox.remove([numbers(1, 6)])
    assert len(outbox) == 0
    assert numbers(1, 6) in outbox.receipted()
    assert await outbox.newest(Stream.DATA) == 0


async def test_a_page_is_bounded_in_entries_and_bytes_and_never_empty(gateway: FleetGateway) -> None:
    outbox = gateway.outbox
    size = len((await waiting(outbox))[0].part.blob)
    assert [entry.id for entry in await waiting(outbox, page=Page(2, 10**6))] == [1, 2]
    assert [entry.id for entry in await waiting(outbox, page=Page(9, size + 1))] == [1]
    assert [entry.id for entry in await waiting(outbox, after=1, page=Page(9, 1))] == [2]
    assert [entry.id for entry in await outbox.peek(Stream.DATA, Stretch(0, 2), PAGE)] == [1, 2]
    assert await outbox.newest(Stream.DATA) == 3
    assert await outbox.peek(Stream.ALERT, Stretch(0), PAGE) == ()
    assert [entry.id for entry in await outbox.again([3, 4, 1])] == [3, 1]


async def test_whoever_waits_hears_once_of_what_was_added(gateway: FleetGateway) -> None:
    await asyncio.wait_for(gateway.outbox.added(Stream.DATA), 1)
    again = asyncio.ensure_future(gateway.outbox.added(Stream.DATA))
    await asyncio.sleep(0)
    assert not again.done()
    gateway.emit(START)
    await asyncio.wait_for(again, 1)


def test_it_has_a_bound_and_says_when_it_is_reached(gateway: FleetGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_outbox, "MOST_ENTRIES", 4)
    gateway.emit(START)
    with pytest.raises(StoreFull, match="4 blobs wait"):
        gateway.emit(START)
    assert [len(said.sequences) for said in gateway.emitted()] == [4, 4]
