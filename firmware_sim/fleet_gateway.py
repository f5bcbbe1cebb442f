"""One gateway of a fleet: the real hub link over a small outbox, and devices that count what they say."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from importlib.metadata import version
from random import Random

from cloud_sync.link import HubLink
from cloud_sync.link_settings import LinkSettings
from cloud_sync.session import Broker
from cloud_sync.uplink import KnownTime
from contract.errors import ProtocolError
from contract.ids import Epoch, GatewayId
from contract.record import Measured
from contract.sample import ClockQuality, Flag, Reading
from firmware_sim.fleet_ledger import QUANTITY, Emitted
from firmware_sim.fleet_outbox import MemoryOutbox


class FleetGateway:
    """`name` with its devices; hears of its own link. `clock` gives seconds that never go back."""

    def __init__(self, name: GatewayId, devices: int, epoch: Epoch, clock: Callable[[], float]) -> None:
        self.name = name
        self.devices = tuple(f"{name}-d{number}" for number in range(1, devices + 1))
        self.outbox = MemoryOutbox(epoch, clock)
        self.answered_at = float("-inf")
        """When the hub first answered on the latest connection, on the clock."""
        self.losses = 0
        self.faults = 0
        """What the hub sent that is no message."""
        self._clock = clock
        self._sequences = tuple(array("Q") for _ in self.devices)

    def emit(self, at: datetime) -> None:
        """Each device says its next counter; all go into one blob."""
        counter = len(self._sequences[0])
        reading = (Reading(QUANTITY, float(counter), Flag.GOOD),)
        said = [Measured(device, at, ClockQuality.SYNCHRONISED, reading) for device in self.devices]
        first = self.outbox.append(said)
        for offset, sequences in enumerate(self._sequences):
            sequences.append(first + offset)

    def emitted(self) -> Iterator[Emitted]:
        """What was said so far, device by device."""
        for device, sequences in zip(self.devices, self._sequences, strict=True):
            yield Emitted(device, self.outbox.epoch, sequences)

    async def run(self, brokers: Sequence[Broker], random: Random) -> None:
        """Keep the link to the hub, as an agent of default settings does, until cancelled."""
        await HubLink(brokers, self.outbox, KnownTime(), version("kanmon"), self, LinkSettings()).run(random)

    def up(self) -> None:
        """The hub answered on a new connection."""
        self.answered_at = self._clock()

    def lost(self, cause: str) -> None:  # noqa: ARG002  a thousand causes at once help nobody
        """The link is lost."""
        self.losses += 1

    def hub_time(self, at: datetime) -> None:
        """Nothing: the fleet trusts its own clock."""

    def fault(self, error: ProtocolError) -> None:  # noqa: ARG002  its number is told
        """The hub sent something that is no message of ours."""
        self.faults += 1
