"""Wearables behind a simulated BlueZ on a private D-Bus: unmodified bleak connects, without an adapter or root."""

from firmware_sim.bluez.host import SimulatedBlueZ
from firmware_sim.bluez.radio import Radio
from firmware_sim.bluez.strap import Strap

__all__ = ["Radio", "SimulatedBlueZ", "Strap"]
