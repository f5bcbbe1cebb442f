"""A person's samples on their way to release: for each purpose that is on a sealed channel, with windows and gaps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from agent.anonymise import release_person
from agent.commit import Committer
from agent.consent import ConsentBook
from agent.continuity import Interruption
from agent.group import Channel, Group, base_of
from agent.pseudonym_book import PseudonymBook
from agent.windows import Closed, Window
from cloud_sync.blob import from_ms, to_ms
from cloud_sync.correction import Mover, Settle, unsettled
from contract.alert import Alert
from contract.consent import PURPOSES, Form, Purpose
from contract.ids import DeviceId, PersonId
from contract.record import AlertRecord, Gap, Stream
from contract.sample import Sample


@dataclass(slots=True)
class _State:
    """What a channel must remember across a crash: the last sample of each device, and the open window."""

    last: dict[DeviceId, datetime] = field(default_factory=dict)
    window: Window = field(default_factory=Window)
    is_changed: bool = False


class PersonalRelease:
    """Everything of persons that may leave goes through here, and nothing of persons leaves otherwise."""

    def __init__(self, consents: ConsentBook, pseudonyms: PseudonymBook, committer: Committer) -> None:
        self._consents = consents
        self._pseudonyms = pseudonyms
        self._committer = committer
        self._states: dict[Channel, _State] = {}

    def resume(
        self, states: Mapping[Channel, Mapping[str, object]], settle: Settle = unsettled
    ) -> dict[DeviceId, datetime]:
        """Take up what an earlier run left; returns when each device last gave a sample that was released.

        `settle` gives what puts times right that were written under a clock that was not set.
        """
        last: dict[DeviceId, datetime] = {}
        for channel, state in states.items():
            # The state was sealed by `snapshot` of this class: its shape is known.
            document = cast("dict[str, Any]", state)
            moved = settle(base_of(document.get("base")))
            seen = {DeviceId(device): moved(from_ms(at_ms)) for device, at_ms in document["last"].items()}
            self._states[channel] = _State(seen, Window.from_json(**document["window"]))
            self._states[channel].window.redate(moved)
            for device, at in seen.items():
                last[device] = max(at, last.get(device, at))
        return last

    def accept(self, person: PersonId, sample: Sample) -> None:
        """Release one judged sample under every purpose that is on; with none it is counted and dropped here."""
        purposes = self._consents.may_leave(person)
        if not purposes:
            self._committer.withhold(1)
        for purpose in purposes:
            channel = person, purpose
            state = self._states.setdefault(channel, _State())
            state.last[sample.device], state.is_changed = sample.stamp.at, True
            if PURPOSES[purpose].form is Form.AGGREGATE:
                self._take(channel, state.window.add(sample, self.subject(person, purpose)))
                self._committer.touch()
            else:
                record = release_person(sample, purpose, person, self.subject(person, purpose))
                self._committer.add(Stream.DATA, channel, record)
                self._committer.count_sample(channel)

    def interrupted(self, person: PersonId, gap: Interruption) -> None:
        """Declare a gap of a worn device under every purpose that is on."""
        for purpose in self._consents.may_leave(person):
            channel = person, purpose
            state = self._states.setdefault(channel, _State())
            start = gap.start
            if gap.device not in state.last:
                # When the device last spoke before the person agreed is nobody's to know, whatever the clock was then.
                agreed_at = self._consents.latest()[channel].at
                start = agreed_at if gap.start <= agreed_at <= gap.end else gap.end
            state.last[gap.device], state.is_changed = gap.end, True
            self._committer.add(Stream.DATA, channel, Gap(self.subject(*channel), None, start, gap.end, gap.reason))

    def alert(self, person: PersonId, alert: Alert) -> None:
        """Tell those whom the person lets hear of alerts; alert_self stays at the gateway."""
        for purpose in self._consents.hears_of_alerts(person):
            record = AlertRecord(self.subject(person, purpose), alert)
            self._committer.add(Stream.ALERT, (person, purpose), record)

    def tick(self, at: datetime) -> None:
        """Close the windows whose time is over."""
        for channel, state in self._states.items():
            if state.window.is_over(at):
                self._take(channel, state.window.close(self.subject(*channel)))
                state.is_changed = True

    def end_windows(self) -> None:
        """Close every window: the clock is about to be set, and what comes then is of another minute."""
        for channel, state in self._states.items():
            if state.window.samples:
                self._take(channel, state.window.close(self.subject(*channel)))
                state.is_changed = True

    def redate(self, moved: Mover) -> None:
        """The clock was set: put right what rests on what it said before."""
        for state in self._states.values():
            state.last = {device: moved(at) for device, at in state.last.items()}
            state.window.redate(moved)
            state.is_changed = True

    def withdraw(self, person: PersonId, purpose: Purpose) -> None:
        """Drop what memory holds under a purpose; the outbox forgets what waits."""
        state = self._states.pop((person, purpose), None)
        if state is not None and state.window.samples:
            self._committer.withhold(state.window.samples)

    def snapshot(self, group: Group) -> None:
        """Add the changed states to a group that is about to be written."""
        for channel, state in self._states.items():
            if state.is_changed:
                last = {device: to_ms(at) for device, at in state.last.items()}
                group.states[channel] = {"last": last, "window": state.window.to_json(), "base": group.base}
                state.is_changed = False

    @property
    def consents_are_damaged(self) -> bool:
        """True when everything is off since the consents' file was damaged."""
        return self._consents.is_damaged

    def open_samples(self) -> int:
        """How many samples rest in open windows."""
        return sum(state.window.samples for state in self._states.values())

    def subjects(self, person: PersonId) -> dict[Purpose, str]:
        """Under which name each purpose that is on knows the person."""
        return {purpose: self.subject(person, purpose) for purpose in self._consents.may_leave(person)}

    def subject(self, person: PersonId, purpose: Purpose) -> str:
        """The name a record carries: the account id where the purpose identifies, else the pseudonym."""
        return person if PURPOSES[purpose].form is Form.IDENTIFIED else self._pseudonyms.name(person, purpose)

    def _take(self, channel: Channel, closed: Closed | None) -> None:
        if closed is None:
            return
        self._committer.withhold(closed.withheld)
        for aggregate in closed.aggregates:
            self._committer.add(Stream.DATA, channel, aggregate)
