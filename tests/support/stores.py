"""The hub's store on each engine it knows, and messages to put into it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cloud_sync import blob
from cloud_sync.envelope import Part, encode_envelope
from contract.consent import Purpose
from contract.ids import DeviceId, Epoch, GatewayId
from contract.record import Measured, Range, Record, Stream, records_in
from contract.sample import ClockQuality, Flag, Reading
from hub.arrival import Arrival, read
from hub.store.store import Store, open_store

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
EPOCH = Epoch("00000000000000a1")
GATEWAY = GatewayId("gw-1")
RIVER = DeviceId("river-1")


@dataclass(frozen=True)
class Place:
    """Where a store lies; opened as often as a test likes, also twice at once where the engine allows it."""

    path: Path
    url: str | None

    def open(self) -> Store:
        return open_store(self.path, self.url)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty database of each engine."""
    url = None if request.param == "sqlite" else request.getfixturevalue("database_url")
    return Place(tmp_path / "hub.sqlite", url)


@pytest.fixture
async def store(place: Place) -> AsyncIterator[Store]:
    """A store in use, of each engine."""
    async with place.open() as opened:
        yield opened


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def level(number: int, device: str = RIVER) -> Measured:
    """The record that carries sequence number `number`, recognisable by its value."""
    return Measured(device, at(number), ClockQuality.SYNCHRONISED, (Reading("water_level", float(number), Flag.GOOD),))


def part(first: int, records: Sequence[Record], purpose: Purpose | None = None, stream: Stream = Stream.DATA) -> Part:
    count = sum(map(records_in, records))
    return Part(Range(EPOCH, stream, first, first + count - 1), purpose, blob.encode(records))


def levels(first: int, last: int, device: str = RIVER) -> Part:
    return part(first, [level(number, device) for number in range(first, last + 1)])


def message(*parts: Part, gateway: str = GATEWAY, leaf: str = "data") -> Arrival:
    return read(f"kanmon.{gateway}.up.{leaf}", encode_envelope(parts), NOW)


async def stored_levels(store: Store, device: str = RIVER, limit: int = 7) -> list[float]:
    values, cursor = [], None
    while True:
        page = await store.readings(DeviceId(device), limit=limit, cursor=cursor)
        values += [row.value for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return values
