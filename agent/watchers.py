"""Who looks on at the gateway: each watcher has a short queue and loses the oldest when it does not keep up."""

import asyncio
from collections.abc import AsyncIterator, Mapping

from contract.alert import Alert
from contract.sample import Member, Position, Reading, Sample, Series

QUEUE_LIMIT = 1000


class Watchers:
    """Takes judged samples and alerts; never waits for anybody."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[Sample | Alert]] = set()

    def tell(self, event: Sample | Alert) -> None:
        """Show an event to everybody who watches."""
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)

    async def stream(self) -> AsyncIterator[Mapping[str, object]]:
        """Events as JSON values, from now on."""
        queue: asyncio.Queue[Sample | Alert] = asyncio.Queue(QUEUE_LIMIT)
        self._queues.add(queue)
        try:
            while True:
                event = await queue.get()
                yield _sample(event) if isinstance(event, Sample) else _alert(event)
        finally:
            self._queues.discard(queue)


def _sample(sample: Sample) -> Mapping[str, object]:
    members = [{"quantity": member.quantity, "value": _value(member), "flag": member.flag} for member in sample.members]
    return {"sample": {"device": sample.device, "at": sample.stamp.at.isoformat(), "members": members}}


def _value(member: Member) -> object:
    match member:
        case Reading():
            return member.value
        case Position():
            return {"lat": member.lat_deg, "lon": member.lon_deg}
        case Series():
            return list(member.values)


def _alert(alert: Alert) -> Mapping[str, object]:
    return {
        "alert": {
            "id": alert.id,
            "rule": alert.rule,
            "transition": alert.transition,
            "at": alert.at.isoformat(),
            "level": alert.level,
            "name_ja": alert.name_ja,
            "name_en": alert.name_en,
        }
    }
