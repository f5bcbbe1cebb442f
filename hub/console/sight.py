"""What a principal may see of the store: every question asks hub.policy first, and what it denies is not there."""

from dataclasses import dataclass
from datetime import datetime

from contract.consent import Purpose
from contract.ids import DeviceId, GatewayId
from hub.policy import Action, Principal, Resource, audience, decide
from hub.store.rows import AlertRow, GapRow, GatewayRow, LatestRow, Page, ReadingRow, ReleasedRow
from hub.store.store import Audience, Store
from hub.suppression import WINDOW, Combined, combined, windows

MOST_ROWS = 10_000
"""Readings one look takes in; more of one quantity in a chart's span is more than a screen has points."""
MOST_ALERTS = 200
MOST_WINDOWS = 60
_PAGE_ROWS = 2000


@dataclass(frozen=True, slots=True)
class Sight:
    """The store as `principal` may see it; decided anew at each question, so at each delivery of a live page."""

    store: Store
    principal: Principal

    async def gateways(self) -> tuple[GatewayRow, ...]:
        """All gateways by id."""
        return await self.store.gateways() if self._may_read(Resource.GATEWAY) else ()

    async def latest(self) -> tuple[LatestRow, ...]:
        """The newest value of every quantity of every thing, by gateway, device and quantity."""
        return await self.store.latest() if self._may_read(Resource.READING) else ()

    async def readings(
        self,
        gateway: GatewayId,
        device: DeviceId,
        quantity: str,
        start: datetime,
        end: datetime | None = None,
        most: int = MOST_ROWS,
    ) -> tuple[ReadingRow, ...]:
        """At most `most` readings in [start, end), oldest first."""
        if not self._may_read(Resource.READING):
            return ()
        rows: list[ReadingRow] = []
        cursor: str | None = None
        while len(rows) < most:
            page = await self.store.readings(device, quantity, start, end, min(most, _PAGE_ROWS), cursor)
            # Two gateways may each have a device of this name.
            rows += [row for row in page.items if row.gateway == gateway]
            cursor = page.next_cursor
            if cursor is None:
                break
        return tuple(rows[:most])

    async def released_latest(self) -> tuple[ReleasedRow, ...]:
        """The newest value of each pseudonym and quantity."""
        return await self.store.released_latest(audience=self._audience(Resource.RELEASED))

    async def statistics(self, quantity: str, start: datetime, end: datetime) -> tuple[Combined, ...]:
        """Statistics of persons together, for each window in [start, end), oldest first."""
        starts = windows(start, end, MOST_WINDOWS)
        if not starts or not decide(self.principal, Action.READ, Resource.STATISTICS, Purpose.STATISTICS):
            return ()
        rows = await self.store.aggregates(Purpose.STATISTICS, quantity, starts[0], starts[-1] + WINDOW)
        return tuple(combined(rows, quantity, starts))

    async def open_alerts(self) -> tuple[AlertRow, ...]:
        """The latest event of each alert that is not cleared, newest first."""
        return await self.store.open_alerts(MOST_ALERTS, self._audience(Resource.ALERT))

    async def alerts(self, limit: int = MOST_ALERTS, cursor: str | None = None) -> Page[AlertRow]:
        """Alert events, newest first."""
        return await self.store.alerts(limit=limit, cursor=cursor, audience=self._audience(Resource.ALERT))

    async def gaps(self, limit: int) -> tuple[GapRow, ...]:
        """The newest declared gaps."""
        return (await self.store.gaps(limit=limit, audience=self._audience(Resource.GAP))).items

    def _may_read(self, resource: Resource) -> bool:
        return decide(self.principal, Action.READ, resource)

    def _audience(self, resource: Resource) -> Audience:
        return audience(self.principal, Action.READ, resource)
