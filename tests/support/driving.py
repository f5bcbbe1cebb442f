"""What a driver is given in a test: a clock that counts, and a memory of what it reported."""

from datetime import UTC, datetime, timedelta

from contract.device import Description
from contract.errors import ProtocolError
from contract.ids import DeviceId
from contract.sample import ClockQuality, Stamp
from drivers.base import Context

START = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


class Noted:
    """Faults, descriptions and losses as they came; each call of the clock is a millisecond after the one before."""

    def __init__(self, start: datetime = START, clock: ClockQuality = ClockQuality.SYNCHRONISED) -> None:
        self.faults: list[ProtocolError] = []
        self.descriptions: list[Description] = []
        self.losses = 0
        self._start, self._clock, self._calls = start, clock, 0

    def now(self) -> Stamp:
        self._calls += 1
        uptime_s = self._calls / 1000
        return Stamp(self._start + timedelta(seconds=uptime_s), uptime_s, self._clock)

    def context(self, device: str = "device-1") -> Context:
        return Context(DeviceId(device), self.now, self.faults.append, self.descriptions.append, self._on_loss)

    def _on_loss(self) -> None:
        self.losses += 1
