"""The state of a running agent, from evidence: what each part last saw, and when."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from agent.alarms import Alarms
from agent.clock import Clock
from agent.commit import Committer
from agent.outbox import Outbox
from agent.personal import PersonalRelease
from agent.settings import Settings
from agent.supervisor import DeviceHealth
from cloud_sync.correction import Mover
from contract.errors import ProtocolError
from contract.record import AlertRecord, Stream
from contract.sample import Stamp

log = logging.getLogger(__name__)


class HubState:
    """How the link to the hub fares: told once an outage, and kept for the status."""

    def __init__(self, clock: Clock, hub_time: Callable[[datetime], None]) -> None:
        self._clock = clock
        self._hub_time = hub_time
        self.is_up = False
        self.since = clock.now()
        self.faults = 0

    def up(self) -> None:
        """The hub answered on a new connection."""
        self._change(True)
        log.info("hub: connected")

    def lost(self, cause: str) -> None:
        """The link is lost, or could not be made."""
        self._change(False)
        log.warning("hub: lost: %s; readings wait in the outbox", cause)

    def hub_time(self, at: datetime) -> None:
        """The hub's time came."""
        self._hub_time(at)

    def redate(self, moved: Mover) -> None:
        """The clock was set."""
        self.since = moved(self.since)

    def fault(self, error: ProtocolError) -> None:
        """The hub sent something that is no message of ours."""
        self.faults += 1
        if self.faults & (self.faults - 1) == 0:  # at 1, 2, 4, 8...: a broken hub does not fill the log
            log.warning("hub: %s (%d faults so far)", error, self.faults)

    def _change(self, is_up: bool) -> None:
        if is_up != self.is_up:
            self.is_up, self.since = is_up, self._clock.now()


@dataclass(frozen=True, slots=True)
class Status:
    """Puts the answer to "status" together."""

    settings: Settings
    started: Stamp
    clock: Clock
    hub: HubState
    outbox: Outbox
    committer: Committer
    personal: PersonalRelease
    alarms: Alarms
    devices: Sequence[DeviceHealth]

    async def answer(self, _: Mapping[str, object]) -> Mapping[str, object]:
        """The status as JSON values; times ISO 8601."""
        return {
            "gateway": self.settings.gateway.id,
            "epoch": self.outbox.epoch,
            "started_at": self.clock.restamped(self.started).at.isoformat(),
            "pid": os.getpid(),
            "hub": {"state": "up" if self.hub.is_up else "lost", "since": self.hub.since.isoformat()},
            "outbox": {**self.outbox.waiting, Stream.DATA: self.outbox.waiting[Stream.DATA] + self.committer.unwritten},
            "store": self._store(),
            "consents_damaged": self.personal.consents_are_damaged,
            "withheld": self.outbox.withheld,
            "open_windows": self.personal.open_samples(),
            "downtime": [[start.isoformat(), end.isoformat()] for start, end in self.outbox.downtime],
            "devices": [self._device(health) for health in self.devices],
            "alarms": [_alarm(record) for record in self.alarms.active()],
        }

    def _store(self) -> Mapping[str, object]:
        totals = self.outbox.totals
        return {
            "bytes": sum(totals.bytes.values()),
            "max_bytes": self.outbox.max_bytes,
            "dropped": {reason.value: count for reason, count in totals.dropped.items()},
            "losses": [[loss.start.isoformat(), loss.end.isoformat()] for loss in self.outbox.losses],
        }

    def _device(self, health: DeviceHealth) -> Mapping[str, object]:
        persons = {device.id: device.person for device in self.settings.devices}
        person = persons.get(health.device)
        return {
            "id": health.device,
            "kind": health.kind,
            "state": health.state,
            "since": health.since.isoformat(),
            "reason": health.reason,
            "last_sample_at": health.last_sample_at.isoformat() if health.last_sample_at else None,
            "samples": health.samples,
            "faults": health.faults,
            "model": health.description.model,
            "subjects": self.personal.subjects(person) if person else {},
        }


def _alarm(record: AlertRecord) -> Mapping[str, object]:
    alert = record.alert
    names = {"name_ja": alert.name_ja, "name_en": alert.name_en}
    return {"device": record.subject, "rule": alert.rule, "level": alert.level, "at": alert.at.isoformat(), **names}
