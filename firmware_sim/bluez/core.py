"""What the parts of the simulated bluetoothd share: its objects, the radio, its tasks and its own calls to clients."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass

from dbus_fast import Message

from firmware_sim.bluez.radio import Radio
from firmware_sim.bluez.tree import Tree

ADAPTER_PATH = "/org/bluez/hci0"
TEMPORARY_S = 30.0
"""BlueZ main.conf, TemporaryTimeout: how long a device that nobody connected stays after it was last heard."""


@dataclass(frozen=True, slots=True)
class Core:
    """Handed to the adapter, the devices, their GATT objects, the agents and the monitors.

    `call(destination, path, interface, member, signature, body)` calls a method of a client; `spawn` starts a task
    that ends with the daemon.
    """

    tree: Tree
    radio: Radio
    call: Callable[..., Awaitable[Message]]
    spawn: Callable[[Coroutine[object, object, None]], asyncio.Task[None]]
    temporary_s: float = TEMPORARY_S
