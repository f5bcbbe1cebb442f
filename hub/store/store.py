"""The hub's store as ingest, API and pages use it: coroutines over one SQLite file."""

from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from contract.consent import Purpose
from contract.errors import ProtocolError
from contract.ids import DeviceId
from hub.arrival import Arrival, refused
from hub.store import incidents, persons, things
from hub.store.database import Database
from hub.store.persons import Wanted
from hub.store.quarantine import quarantine_of
from hub.store.rows import (
    AggregateRow,
    AlertRow,
    DeviceRow,
    GapRow,
    GatewayRow,
    LatestRow,
    Page,
    ReadingRow,
    ReceivedRow,
    ReleasedRow,
)
from hub.store.writing import Outcome, Writer

FILE_NAME = "hub.sqlite"
Audience = Collection[Purpose | None]
"""Purposes whose records may be answered with; None stands for things."""
EVERYTHING: Audience = (None, *Purpose)


class Store:
    """What the hub keeps. Lists are pages: `cursor` is the `next_cursor` of the page before.

    `start` is included, `end` is not. `audience` limits the answer to what the asker may see (hub.policy decides).
    A cursor that is none raises ProtocolError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = Database(path)
        self._writer: Writer | None = None

    async def __aenter__(self) -> Self:
        """Open and migrate the file; Misconfigured when it cannot be written."""
        self._writer = Writer(quarantine_of(self._path))
        await self._database.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._database.__aexit__(kind, error, traceback)

    async def commit(self, arrivals: Sequence[Arrival]) -> Outcome:
        """Write `arrivals` in one transaction. What no database can hold is quarantined; StoreFull keeps nothing."""
        writer = self._writer
        if writer is None:
            raise RuntimeError("the store was not entered")
        try:
            return await self._database.transact(lambda c: writer.write(c, arrivals))
        except ProtocolError as error:
            if len(arrivals) == 1:
                return await self.commit([refused(arrivals[0], str(error))])
        # One of several cannot be stored: each on its own, so that the others are.
        outcome = Outcome()
        for arrival in arrivals:
            outcome.add(await self.commit([arrival]))
        return outcome

    async def gateways(self) -> tuple[GatewayRow, ...]:
        """All gateways by id."""
        return await self._database.read(things.gateways)

    async def devices(self) -> tuple[DeviceRow, ...]:
        """All things that have a reading, by gateway and id."""
        return await self._database.read(things.devices)

    async def latest(self, device: DeviceId | None = None) -> tuple[LatestRow, ...]:
        """The newest value of each quantity of `device` or of all, by gateway, device and quantity."""
        return await self._database.read(lambda c: things.latest(c, device))

    async def readings(
        self,
        device: DeviceId,
        quantity: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 1000,
        cursor: str | None = None,
    ) -> Page[ReadingRow]:
        """History of one thing, oldest first."""
        span = (start, end)
        return await self._database.read(lambda c: things.readings(c, device, quantity, span, limit, cursor))

    async def released(
        self,
        purpose: Purpose | None = None,
        subject: str | None = None,
        quantity: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 1000,
        cursor: str | None = None,
        audience: Audience = EVERYTHING,
    ) -> Page[ReleasedRow]:
        """What persons released, oldest first."""
        wanted = Wanted(_purposes(purpose, audience), subject, quantity, start, end)
        return await self._database.read(lambda c: persons.released(c, wanted, limit, cursor))

    async def released_latest(
        self, purpose: Purpose | None = None, audience: Audience = EVERYTHING
    ) -> tuple[ReleasedRow, ...]:
        """The newest value of each subject and quantity, by purpose, subject and quantity."""
        purposes = _purposes(purpose, audience)
        return await self._database.read(lambda c: persons.released_latest(c, purposes))

    async def aggregates(
        self, purpose: Purpose, quantity: str, start: datetime, end: datetime
    ) -> tuple[AggregateRow, ...]:
        """Every person's aggregates, oldest window first: for hub.suppression, never to be shown."""
        return await self._database.read(lambda c: persons.aggregates(c, purpose, quantity, start, end))

    async def received(self, purpose: Purpose, subject: str) -> ReceivedRow:
        """How much of `subject` has arrived as aggregates, without any value."""
        return await self._database.read(lambda c: persons.received(c, purpose, subject))

    async def alerts(
        self, open_only: bool = False, limit: int = 100, cursor: str | None = None, audience: Audience = EVERYTHING
    ) -> Page[AlertRow]:
        """Alert events, newest first; with `open_only` the latest event of each alert that is not cleared."""
        purposes = _purposes(None, audience)
        return await self._database.read(lambda c: incidents.alerts(c, purposes, open_only, limit, cursor))

    async def open_alerts(self, limit: int = 1000, audience: Audience = EVERYTHING) -> tuple[AlertRow, ...]:
        """The latest event of each alert that is not cleared, newest first."""
        return (await self.alerts(open_only=True, limit=limit, audience=audience)).items

    async def gaps(self, limit: int = 100, cursor: str | None = None, audience: Audience = EVERYTHING) -> Page[GapRow]:
        """Declared gaps, newest first."""
        purposes = _purposes(None, audience)
        return await self._database.read(lambda c: incidents.gaps(c, purposes, limit, cursor))


def _purposes(purpose: Purpose | None, audience: Audience) -> frozenset[str]:
    """The purposes to search, as stored; '' stands for things."""
    allowed = frozenset("" if one is None else one.value for one in audience)
    return allowed if purpose is None else allowed & {purpose.value}
