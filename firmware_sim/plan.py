"""The demo town as facts: its devices, who wears what and agreed to what, and the names of files in a state folder."""

from dataclasses import dataclass
from pathlib import Path

GATEWAY = "gw-karato"
RIVER, BUS = "river-1", "bus-1"

PULSE_WINDOW_S = 20
PULSE_LIMIT_BPM = 120


@dataclass(frozen=True, slots=True)
class Wearer:
    """One resident with a strap, and the purposes agreed to."""

    person: str
    strap: str
    address: str
    serial: str
    agreed: tuple[str, ...]


WEARERS = (
    Wearer("resident-1", "strap-1", "C0:FF:EE:00:00:01", "SIM0001", ("alert_self", "health_centre", "research")),
    Wearer("resident-2", "strap-2", "C0:FF:EE:00:00:02", "SIM0002", ("research",)),
    Wearer("resident-3", "strap-3", "C0:FF:EE:00:00:03", "SIM0003", ("statistics",)),
    Wearer("resident-4", "strap-4", "C0:FF:EE:00:00:04", "SIM0004", ()),
)
STRAPS = frozenset(wearer.strap for wearer in WEARERS)

RIVER_QUANTITIES = ("device_counter", "water_level")
"""What tells one answer of the station from another; the first is the number of the answer."""
BUS_QUANTITIES = ("position",)
STRAP_QUANTITIES = ("heart_rate", "rr_interval")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything lies below one state folder."""

    root: Path

    @property
    def hub(self) -> Path:
        """The hub's state."""
        return self.root / "hub"

    @property
    def gateway(self) -> Path:
        """The gateway's state."""
        return self.root / "gateway"

    @property
    def town(self) -> "TownLayout":
        """The simulated town's files, at the top: they are what a reader of the folder looks for."""
        return TownLayout(self.root)

    @property
    def logs(self) -> Path:
        """One log a child process."""
        return self.root / "logs"

    @property
    def settings(self) -> Path:
        """The gateway's settings."""
        return self.root / "gateway.toml"

    @property
    def register_map(self) -> Path:
        """The Modbus station's register map."""
        return self.root / "river-station.toml"

    @property
    def control_socket(self) -> Path:
        """Where a running agent answers."""
        return self.gateway / "control.sock"

    @property
    def password(self) -> Path:
        """The gateway's broker credential, made by the hub."""
        return self.hub / "credentials" / f"{GATEWAY}.password"


@dataclass(frozen=True, slots=True)
class TownLayout:
    """Where everything lies below the town's state folder."""

    root: Path

    @property
    def emitted(self) -> Path:
        """What was handed to open readers."""
        return self.root / "emitted.jsonl"

    @property
    def facts(self) -> Path:
        """When the scenario began."""
        return self.root / "town.json"

    @property
    def bus_socket(self) -> Path:
        """The private D-Bus on which the simulated BlueZ answers."""
        return self.root / "dbus"

    @property
    def gnss_port(self) -> Path:
        """A name that leads to the receiver's pty, also after a restart."""
        return self.root / "gnss"

    @property
    def quiet(self) -> Path:
        """There once the town emits no more."""
        return self.root / "quiet"
