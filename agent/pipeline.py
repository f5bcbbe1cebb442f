"""One sample from wire to outbox: quality, rules, actuators, consent, release, group commit. It never waits."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from agent.actuators import Actuators
from agent.alarms import Alarms
from agent.anonymise import ServiceHours, release_thing
from agent.commit import Committer, Ticket
from agent.consent import Change, ConsentBook
from agent.continuity import Continuity, Interruption
from agent.group import Group, Loss
from agent.outbox import Outbox
from agent.personal import PersonalRelease
from agent.quality import judge
from cloud_sync.correction import Mover
from contract.alert import Alert
from contract.consent import Consent
from contract.device import LinkState
from contract.errors import StoreFull, Unreachable
from contract.ids import DeviceId, PersonId
from contract.quantity import QUANTITIES, PersonalClass
from contract.record import AlertRecord, Gap, GapReason, Measured, Stream
from contract.sample import ClockQuality, Position, Sample, Stamp

_VITAL = frozenset(name for name, row in QUANTITIES.items() if row.personal is PersonalClass.VITAL)


@dataclass(frozen=True, slots=True)
class Source:
    """A device as the pipeline knows it: who wears it, and a vehicle's service hours."""

    device: DeviceId
    person: PersonId | None
    hours: ServiceHours | None


class Pipeline:
    """The straight line of a sample. Everything is handed in; `watch` sees each judged sample and each alert.

    `restamped` puts a stamp right that was made before the clock was set.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        consents: ConsentBook,
        personal: PersonalRelease,
        committer: Committer,
        continuity: Continuity,
        alarms: Alarms,
        actuators: Actuators,
        watch: Callable[[Sample | Alert], None],
        *,
        restamped: Callable[[Stamp], Stamp] = lambda stamp: stamp,
    ) -> None:
        self._sources = {source.device: source for source in sources}
        self._consents = consents
        self._personal = personal
        self._committer = committer
        self._continuity = continuity
        self._alarms = alarms
        self._actuators = actuators
        self._watch = watch
        self._restamped = restamped

    def place(self, device: DeviceId, stamp: Stamp, place: Position) -> None:
        """Tell where a fixed device stands, as gateway.toml says; a position of its own would come as a sample."""
        self._committer.add(Stream.DATA, None, Measured(device, stamp.at, stamp.clock, (place,)))

    def accept(self, sample: Sample) -> Ticket:
        """Take one sample. StoreFull when memory and disk are full: the loss is declared as a gap when it ends."""
        source = self._sources[sample.device]
        if sample.stamp.clock is ClockQuality.UNSYNCHRONISED:  # the clock may have been set since it was read
            sample = replace(sample, stamp=self._restamped(sample.stamp))
        judged = judge(sample)
        self._watch(judged)
        if source.person is None or self._consents.runs_health_rules(source.person):
            for alert in self._alarms.evaluate(judged):
                self._tell(source, alert)
        if self._committer.is_full:
            self._continuity.interrupt(sample.device, GapReason.STORE_FULL, sample.stamp.at)
            raise StoreFull("the disk takes nothing and memory is full")
        if gap := self._continuity.heard(sample.device, sample.stamp.at):
            self._declare(source, gap)
        if source.person is not None:
            self._personal.accept(source.person, judged)
        else:
            self._release_thing(source, judged)
        return self._committer.ticket()

    async def keep_pace(self) -> None:
        """Wait, for a second at most, while far more comes than is written."""
        await self._committer.keep_pace()

    def link(self, device: DeviceId, state: LinkState, at: datetime) -> None:
        """The device's link changed: what follows a loss is a gap until the next sample."""
        if state is LinkState.LOST:
            self._continuity.interrupt(device, GapReason.UNREACHABLE, at)

    def overloaded(self, device: DeviceId, at: datetime) -> None:
        """Something of the device could not be taken: what lies before its next sample is a gap."""
        self._continuity.interrupt(device, GapReason.OVERLOAD, at)

    def lost(self, loss: Loss) -> None:
        """Something that waited is lost with its file: whose it was nobody can tell, so it is a gap of everything."""
        worn: set[PersonId] = set()
        for device, source in self._sources.items():
            interruption = Interruption(device, loss.start, loss.end, GapReason.DAMAGED)
            if source.person is None:
                if loss.person is None and device in self._continuity.last():
                    self._declare(source, interruption)
            elif loss.person in (None, source.person) and source.person not in worn:
                worn.add(source.person)
                self._personal.interrupted(source.person, interruption)

    def tick(self, at: datetime) -> None:
        """What time alone brings about: windows that end, gaps of devices that stay silent."""
        self._personal.tick(at)
        for gap in self._continuity.overdue(at):
            self._declare(self._sources[gap.device], gap)

    def end_windows(self) -> None:
        """The last call before the clock is set: what can only be told by the time so far."""
        self._personal.end_windows()

    def redate(self, moved: Mover) -> None:
        """The clock was set: put right what memory holds of the time before."""
        self._continuity.redate(moved)
        self._personal.redate(moved)
        self._alarms.redate(moved)
        self._committer.touch()

    async def change_consent(self, change: Change, outbox: Outbox) -> Consent:
        """Make a change durable and let it act at once; a withdrawal leaves nothing of the purpose behind.

        StoreFull when the disk takes nothing: a withdrawal acts all the same, until the agent is started again.
        """
        self._consents.close(change)
        try:
            if not change.on:
                with suppress(StoreFull, Unreachable):  # tried again below
                    await self._withdraw(change, outbox)  # before the consent's file, which may be slow
            consent = await self._consents.change(change)
        finally:
            if change.purpose not in self._consents.on(change.person):
                await self._withdraw(change, outbox)
        return consent

    def snapshot(self, group: Group) -> None:
        """Add to a group what a restart needs: marks of things, states of channels and alarms."""
        self._personal.snapshot(group)
        self._alarms.snapshot(group)
        last = self._continuity.last()
        group.things = {d: at for d, at in last.items() if d in self._sources and self._sources[d].person is None}

    async def _withdraw(self, change: Change, outbox: Outbox) -> None:
        self._personal.withdraw(change.person, change.purpose)
        self._committer.drop((change.person, change.purpose))
        self._end_alarms(change.person)
        await outbox.forget(change.person, change.purpose)

    def _end_alarms(self, person: PersonId) -> None:
        """Silence what rings for a person whose pulse nobody is to judge any more; what it was leaves for nobody."""
        if not self._consents.runs_health_rules(person):
            for alert in self._alarms.forget([d for d, source in self._sources.items() if source.person == person]):
                self._actuators.act(alert)
            self._committer.touch()

    def _tell(self, source: Source, alert: Alert) -> None:
        self._actuators.act(alert)
        self._watch(alert)
        if source.person is not None:
            self._personal.alert(source.person, alert)
        else:
            self._committer.add(Stream.ALERT, None, AlertRecord(source.device, alert))

    def _release_thing(self, source: Source, judged: Sample) -> None:
        record = release_thing(judged, source.hours)
        # A driver that reads bodies from a device without a person is a fault of the settings: nothing leaves then.
        if record.members and not any(member.quantity in _VITAL for member in record.members):
            self._committer.add(Stream.DATA, None, record)
            self._committer.count_sample(None)
        else:
            self._committer.withhold(1)

    def _declare(self, source: Source, gap: Interruption) -> None:
        if source.person is not None:
            self._personal.interrupted(source.person, gap)
        else:
            self._committer.add(Stream.DATA, None, Gap(source.device, None, gap.start, gap.end, gap.reason))
