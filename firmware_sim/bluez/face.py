"""The simulated bluetoothd: org.bluez on a bus, over a radio. It answers calls, and hears the radio and the bus."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Self

from dbus_fast import Message

from contract.errors import Refused, Unreachable
from firmware_sim.bluez.adapter import Adapter
from firmware_sim.bluez.agent import Agents
from firmware_sim.bluez.bus_calls import BUS_NAME
from firmware_sim.bluez.client import BusClient
from firmware_sim.bluez.core import TEMPORARY_S, Core
from firmware_sim.bluez.errors import BluezError
from firmware_sim.bluez.monitor import Monitors
from firmware_sim.bluez.profile import Wearable
from firmware_sim.bluez.radio import Radio
from firmware_sim.bluez.tree import Answer, Tree

NAME = "org.bluez"
DO_NOT_QUEUE = 4
PRIMARY_OWNER = 1

_log = logging.getLogger(__name__)


class BluetoothDaemon:
    """`async with BluetoothDaemon(bus_socket, radio)`: org.bluez is there until the block ends."""

    def __init__(self, bus_socket: Path, radio: Radio, temporary_s: float = TEMPORARY_S) -> None:
        self._bus_socket = bus_socket
        self._client = BusClient(self._call, self._signal, self._lost)
        self._tasks: set[asyncio.Task[None]] = set()
        self._radio = radio
        self._core = Core(Tree(self._client.emit), radio, self._client.call, self._spawn, temporary_s)
        self._agents = Agents(self._core)
        self._adapter = Adapter(self._core, self._agents.confirm)
        self._monitors = Monitors(self._core, self._adapter)

    async def __aenter__(self) -> Self:
        """Show the adapter under the name org.bluez. Unreachable without a bus, Refused when the name is taken."""
        await self._client.connect(self._bus_socket)
        try:
            await self._take_name()
        except BaseException:
            self._client.close()
            raise
        self._radio.listener = self
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the bus at once, as a killed bluetoothd does; every link ends and nobody is told."""
        self._radio.listener = None
        self._client.close()
        for device in list(self._adapter.devices.values()):
            device.removed()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)  # each has logged its own failure

    # The radio's side.

    def link_lost(self, wearable: Wearable, reason: str) -> None:
        """A link ended on the air."""
        device = self._adapter.device(wearable)
        if device is not None:
            device.lost(reason)

    def notified(self, wearable: Wearable, uuid: str, value: bytes) -> bool:
        """A notification arrived on the air."""
        device = self._adapter.device(wearable)
        return device is not None and device.notified(uuid, value)

    def powered(self, is_on: bool) -> None:
        """The adapter went on or off."""
        self._adapter.powered(is_on)

    # The bus's side.

    def _call(self, message: Message) -> None:
        try:
            outcome = self._core.tree.answer(message)
        except BluezError as error:
            self._client.reply(message, Message.new_error(message, error.name, error.text))
            return
        if isinstance(outcome, Answer):
            self._answer(message, outcome)
        else:
            self._spawn(self._answer_later(message, outcome))

    async def _take_name(self) -> None:
        rule = f"type='signal',sender='{BUS_NAME}',member='NameOwnerChanged'"
        await self._client.call_bus("AddMatch", "s", [rule])
        reply = await self._client.call_bus("RequestName", "su", [NAME, DO_NOT_QUEUE])
        if reply.body != [PRIMARY_OWNER]:
            raise Refused(f"{NAME} is taken on this bus")

    async def _answer_later(self, message: Message, outcome: Awaitable[Answer]) -> None:
        try:
            answer = await outcome
        except BluezError as error:
            self._client.reply(message, Message.new_error(message, error.name, error.text))
        else:
            self._answer(message, answer)

    def _answer(self, message: Message, answer: Answer) -> None:
        reply = Message.new_method_return(message, answer.signature, list(answer.body), list(answer.descriptors))
        self._client.reply(message, reply)
        for descriptor in answer.descriptors:
            os.close(descriptor)

    def _signal(self, message: Message) -> None:
        if message.sender == BUS_NAME and message.member == "NameOwnerChanged" and not message.body[2]:
            for part in (self._agents, self._monitors, self._adapter):
                part.forget(message.body[0])
        elif message.member == "InterfacesAdded" and message.signature == "oa{sa{sv}}":
            self._monitors.shown(message)

    def _lost(self) -> None:
        """The bus went away: nobody is there to tell, and leaving the block cleans up."""

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _guard(self, work: Coroutine[object, object, None]) -> None:
        """The top of every task of the daemon: one that fails is logged and ends, the daemon goes on."""
        try:
            await work
        except Unreachable:
            _log.info("the bus went away before a client answered")
        except Exception:  # noqa: BLE001  # the top of a task, logged with its traceback
            _log.exception("a task of the simulated bluetoothd failed")
