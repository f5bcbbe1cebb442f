"""The hub's store as ingest, API and pages use it: coroutines over SQLite or PostgreSQL."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from cloud_sync.blob import to_ms
from contract.consent import Purpose
from contract.errors import ProtocolError
from contract.ids import DeviceId
from hub.arrival import Arrival, refused
from hub.store import incidents, persons, rollups, things
from hub.store.engine import Engine
from hub.store.persons import Wanted
from hub.store.quarantine import Seal, seal_beside
from hub.store.retention import EVERY, Retention, removing
from hub.store.rollups import Step
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
    RollupRow,
)
from hub.store.sqlite.engine import SqliteEngine
from hub.store.writing import Outcome

FILE_NAME = "hub.sqlite"
Audience = Collection[Purpose | None]
"""Purposes whose records may be answered with; None stands for things."""
EVERYTHING: Audience = (None, *Purpose)


@dataclass(frozen=True, slots=True)
class Maintained:
    """What one round of maintenance did: minutes computed, rows removed; `more` when another round has work."""

    minutes: int
    removed: int
    more: bool


class Store:
    """What the hub keeps. Lists are pages: `cursor` is the `next_cursor` of the page before.

    `start` is included, `end` is not. `audience` limits the answer to what the asker may see (hub.policy decides).
    A cursor that is none raises ProtocolError.
    """

    def __init__(self, path: Path, url: str | None = None) -> None:
        self._path = path
        self._url = url
        self._opened: Engine | None = None
        self._removes_at: datetime | None = None

    async def __aenter__(self) -> Self:
        """Open and migrate; Misconfigured when the database cannot be used, Unreachable when it is not there."""
        engine = _engine(self._path, self._url, seal_beside(self._path))
        self._opened = await engine.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._engine.__aexit__(kind, error, traceback)

    @property
    def _engine(self) -> Engine:
        if self._opened is None:
            raise RuntimeError("the store was not entered")
        return self._opened

    async def commit(self, arrivals: Sequence[Arrival]) -> Outcome:
        """Write `arrivals` in one transaction; several may run at once.

        What no database can hold is quarantined. StoreFull keeps nothing. After Unreachable try the same again: what
        was kept is known as a repeat.
        """
        try:
            return await self._engine.commit(arrivals)
        except ProtocolError as error:
            if len(arrivals) == 1:
                return await self._engine.commit([refused(arrivals[0], str(error))])
        # One of several cannot be stored: each on its own, so that the others are.
        outcome = Outcome()
        for arrival in arrivals:
            outcome.add(await self.commit([arrival]))
        return outcome

    async def gateways(self) -> tuple[GatewayRow, ...]:
        """All gateways by id."""
        return await self._engine.ask(things.gateways(self._engine.dialect))

    async def devices(self) -> tuple[DeviceRow, ...]:
        """All things that have a reading, by gateway and id."""
        return await self._engine.ask(things.devices(self._engine.dialect))

    async def latest(self, device: DeviceId | None = None) -> tuple[LatestRow, ...]:
        """The newest value of each quantity of `device` or of all, by gateway, device and quantity."""
        return await self._engine.ask(things.latest(self._engine.dialect, device))

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
        return await self._engine.ask(things.readings(self._engine.dialect, device, quantity, span, limit, cursor))

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
        return await self._engine.ask(persons.released(self._engine.dialect, wanted, limit, cursor))

    async def released_latest(
        self, purpose: Purpose | None = None, audience: Audience = EVERYTHING
    ) -> tuple[ReleasedRow, ...]:
        """The newest value of each subject and quantity, by purpose, subject and quantity."""
        purposes = _purposes(purpose, audience)
        return await self._engine.ask(persons.released_latest(self._engine.dialect, purposes))

    async def aggregates(
        self, purpose: Purpose, quantity: str, start: datetime, end: datetime
    ) -> tuple[AggregateRow, ...]:
        """Every person's aggregates, oldest window first: for hub.suppression, never to be shown."""
        return await self._engine.ask(persons.aggregates(self._engine.dialect, purpose, quantity, start, end))

    async def received(self, purpose: Purpose, subject: str) -> ReceivedRow:
        """How much of `subject` has arrived as aggregates, without any value."""
        return await self._engine.ask(persons.received(self._engine.dialect, purpose, subject))

    async def alerts(
        self, open_only: bool = False, limit: int = 100, cursor: str | None = None, audience: Audience = EVERYTHING
    ) -> Page[AlertRow]:
        """Alert events, newest first; with `open_only` the latest event of each alert that is not cleared."""
        purposes = _purposes(None, audience)
        return await self._engine.ask(incidents.alerts(self._engine.dialect, purposes, open_only, limit, cursor))

    async def open_alerts(self, limit: int = 1000, audience: Audience = EVERYTHING) -> tuple[AlertRow, ...]:
        """The latest event of each alert that is not cleared, newest first."""
        return (await self.alerts(open_only=True, limit=limit, audience=audience)).items

    async def gaps(self, limit: int = 100, cursor: str | None = None, audience: Audience = EVERYTHING) -> Page[GapRow]:
        """Declared gaps, newest first."""
        purposes = _purposes(None, audience)
        return await self._engine.ask(incidents.gaps(self._engine.dialect, purposes, limit, cursor))

    async def rollups(
        self,
        device: DeviceId,
        quantity: str,
        step: Step,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 1000,
        cursor: str | None = None,
    ) -> Page[RollupRow]:
        """Statistics of one quantity of one thing a minute, hour or day (UTC), oldest first; see `maintain`."""
        span = (start, end)
        return await self._engine.ask(
            rollups.rollups(self._engine.dialect, device, quantity, step, span, limit, cursor)
        )

    async def maintain(self, now: datetime, retention: Retention | None = None) -> Maintained:
        """One bounded round of rollups, removal and compaction; to be called every few seconds, at once when `more`.

        A minute is rolled up once it is over, at the latest a minute after its values came. Of several hubs over one
        database one at a time does the work; for the others a round is empty.
        """
        engine, kept = self._engine, retention or Retention()
        kept_from_ms = kept.telemetry_from_ms(now)
        rolled = await engine.maintain(lambda: rollups.rolling_up(engine.dialect, to_ms(now), kept_from_ms))
        minutes, more = rolled or (0, False)
        removed = 0
        if self._removes_at is None or now >= self._removes_at:
            left = await engine.tidy(to_ms(now), kept.over_ms(now))
            done = await engine.maintain(lambda: removing(engine.dialect, now, kept, engine.whole))
            removed, some = done or (0, False)
            left = left or some
            self._removes_at = now if left else now + EVERY
            more = more or left
        return Maintained(minutes, removed, more)

    async def quarantined(self) -> tuple[tuple[str, bytes], ...]:
        """Reason and payload of all that went to quarantine and is kept, oldest first.

        Tampered when a payload was changed, or was sealed by a hub with another state folder.
        """
        kept = await self._engine.quarantined()
        seal = seal_beside(self._path)
        return tuple((reason, seal.opened(sealed)) for reason, sealed in kept)


def _purposes(purpose: Purpose | None, audience: Audience) -> frozenset[str]:
    """The purposes to search, as stored; '' stands for things."""
    allowed = frozenset("" if one is None else one.value for one in audience)
    return allowed if purpose is None else allowed & {purpose.value}


def open_store(path: Path, url: str | None = None) -> Store:
    """A store to be entered: the SQLite file at `path`, or the PostgreSQL database at `url` (postgresql://...).

    With `url` nothing but the key of the quarantine lies beside `path`.
    """
    return Store(path, url)


def _engine(path: Path, url: str | None, seal: Seal) -> Engine:
    if url is None:
        return SqliteEngine(path, seal)
    # psycopg takes 80 ms to import: only where it is used.
    from hub.store.postgres.engine import PostgresEngine

    return PostgresEngine(url, seal)
