"""Which device was interrupted since when, and the gaps that follow from it. Pure.

A gap is declared when the device speaks again (from its last sample to its first one), and while it stays silent after
GAP_AFTER_S and then each time the silence has doubled, so that nobody has to wait for a device that never comes back.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cloud_sync.correction import Mover
from contract.ids import DeviceId
from contract.record import GapReason

GAP_AFTER_S = 60.0


@dataclass(frozen=True, slots=True)
class Interruption:
    """Nothing of `device` between `start` and `end`."""

    device: DeviceId
    start: datetime
    end: datetime
    reason: GapReason


@dataclass(slots=True)
class _Silence:
    reason: GapReason
    since: datetime
    declared_until: datetime
    declare_at: datetime


class Continuity:
    """The last sample of each device, and who is silent for a reason."""

    def __init__(self, last: Mapping[DeviceId, datetime], started_at: datetime) -> None:
        self._last = dict(last)
        wait = timedelta(seconds=GAP_AFTER_S)
        self._silent = {d: _Silence(GapReason.RESTART, at, at, started_at + wait) for d, at in last.items()}

    def last(self) -> Mapping[DeviceId, datetime]:
        """When each device last gave a sample."""
        return self._last

    def interrupt(self, device: DeviceId, reason: GapReason, at: datetime) -> None:
        """The device is lost, or cannot be taken; without a first sample there is nothing to interrupt."""
        last = self._last.get(device)
        if last is not None and device not in self._silent:
            self._silent[device] = _Silence(reason, last, last, at + timedelta(seconds=GAP_AFTER_S))

    def redate(self, moved: Mover) -> None:
        """The clock was set: put every time right that rests on what it said before."""
        self._last = {device: moved(at) for device, at in self._last.items()}
        for silence in self._silent.values():
            silence.since, silence.declared_until = moved(silence.since), moved(silence.declared_until)
            silence.declare_at = moved(silence.declare_at)

    def heard(self, device: DeviceId, at: datetime) -> Interruption | None:
        """The device gave a sample at `at`; the gap that ends with it, if there is one."""
        silence = self._silent.pop(device, None)
        self._last[device] = at
        if silence is None:
            return None
        if at < silence.since:  # the clock was set back meanwhile: that something is missing is all that is known
            return Interruption(device, at, at, silence.reason)
        if at <= silence.declared_until:
            return None
        return Interruption(device, silence.declared_until, at, silence.reason)

    def overdue(self, at: datetime) -> Iterator[Interruption]:
        """Gaps of devices that are silent for long, up to `at`."""
        for device, silence in self._silent.items():
            if at >= silence.declare_at:
                yield Interruption(device, silence.declared_until, at, silence.reason)
                silent_for = max(at - silence.since, timedelta(seconds=GAP_AFTER_S))
                silence.declared_until, silence.declare_at = at, at + silent_for
