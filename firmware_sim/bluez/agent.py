"""AgentManager1 at /org/bluez: who confirms a pairing (BlueZ doc/agent-api.txt)."""

import asyncio
import secrets
from dataclasses import dataclass

from dbus_fast import MessageType

from contract.errors import Unreachable
from firmware_sim.bluez import errors
from firmware_sim.bluez.core import Core
from firmware_sim.bluez.tree import Answer, Call, Interface, Method

MANAGER_PATH = "/org/bluez"
MANAGER = "org.bluez.AgentManager1"
AGENT = "org.bluez.Agent1"
CONFIRM_LIMIT_S = 60.0
"""How long an agent may take (BlueZ agent.c, REQUEST_TIMEOUT)."""
_CAPABILITIES = frozenset({"", "DisplayOnly", "DisplayYesNo", "KeyboardOnly", "NoInputNoOutput", "KeyboardDisplay"})


@dataclass(frozen=True, slots=True)
class Agent:
    """One registered agent."""

    sender: str
    path: str


class Agents:
    """One agent per client; pairing uses the caller's own, else the default one."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._agents: dict[str, Agent] = {}
        self._default: str | None = None
        methods = {
            "RegisterAgent": Method("os", self._register),
            "UnregisterAgent": Method("o", self._unregister),
            "RequestDefaultAgent": Method("o", self._request_default),
        }
        core.tree.add(MANAGER_PATH, {MANAGER: Interface({}, methods)})

    def forget(self, sender: str) -> None:
        """A client left the bus."""
        self._agents.pop(sender, None)
        if self._default == sender:
            self._default = None

    async def confirm(self, sender: str, device_path: str) -> None:
        """Have six digits compared; BluezError when there is no agent, or it says no or nothing."""
        agent = self._agents.get(sender) or self._agents.get(self._default or "")
        if agent is None:
            raise errors.bluez("AuthenticationFailed", "Authentication Failed")
        passkey = secrets.randbelow(1_000_000)
        try:
            async with asyncio.timeout(CONFIRM_LIMIT_S):
                reply = await self._core.call(
                    agent.sender, agent.path, AGENT, "RequestConfirmation", "ou", [device_path, passkey]
                )
        except (TimeoutError, Unreachable) as error:
            raise errors.bluez("AuthenticationCanceled", "Authentication Canceled") from error
        if reply.message_type is MessageType.ERROR:
            raise errors.bluez("AuthenticationRejected", "Authentication Rejected")

    def _register(self, call: Call) -> Answer:
        if call.sender in self._agents:
            raise errors.bluez("AlreadyExists", "Already Exists")
        if call.body[1] not in _CAPABILITIES:
            raise errors.invalid_arguments()
        self._agents[call.sender] = Agent(call.sender, call.body[0])
        return Answer()

    def _unregister(self, call: Call) -> Answer:
        self._of(call)
        self.forget(call.sender)
        return Answer()

    def _request_default(self, call: Call) -> Answer:
        self._of(call)
        self._default = call.sender
        return Answer()

    def _of(self, call: Call) -> Agent:
        agent = self._agents.get(call.sender)
        if agent is None or agent.path != call.body[0]:
            raise errors.does_not_exist()
        return agent
