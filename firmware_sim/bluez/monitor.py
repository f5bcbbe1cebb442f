"""AdvertisementMonitorManager1: passive scanning by patterns (BlueZ doc/advertisement-monitor-api.txt).

A client registers the root of its monitors and shows them below it, before or after; either way each monitor is
activated once and told which devices match.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dbus_fast import Message, MessageType, Variant

from firmware_sim.bluez import errors
from firmware_sim.bluez.adapter import Adapter
from firmware_sim.bluez.bus_calls import BUS_NAME, BUS_PATH
from firmware_sim.bluez.core import ADAPTER_PATH, Core
from firmware_sim.bluez.profile import advertisement
from firmware_sim.bluez.radio import Presence
from firmware_sim.bluez.tree import OBJECT_MANAGER, Answer, Call, Interface, Method

MANAGER = "org.bluez.AdvertisementMonitorManager1"
MONITOR = "org.bluez.AdvertisementMonitor1"


@dataclass(frozen=True, slots=True)
class Patterns:
    """What one monitor listens for: (start, type of the advertising data, bytes), any of which is enough."""

    any_of: tuple[tuple[int, int, bytes], ...]

    def takes(self, presence: Presence) -> bool:
        """Whether the wearable's advertisement matches."""
        data = advertisement(presence.wearable)
        return any(data.get(kind, b"").startswith(content, start) for start, kind, content in self.any_of)


class Monitors:
    """Every client's monitors; each counts as a listener of the adapter while it is shown."""

    def __init__(self, core: Core, adapter: Adapter) -> None:
        self._core = core
        self._adapter = adapter
        self._roots: set[tuple[str, str]] = set()
        properties = {
            "SupportedMonitorTypes": Variant("as", ["or_patterns"]),
            "SupportedFeatures": Variant("as", []),
        }
        methods = {
            "RegisterMonitor": Method("o", self._register),
            "UnregisterMonitor": Method("o", self._unregister),
        }
        core.tree.add(ADAPTER_PATH, {MANAGER: Interface(properties, methods)})

    def forget(self, sender: str) -> None:
        """A client left the bus."""
        self._roots = {root for root in self._roots if root[0] != sender}

    def shown(self, message: Message) -> None:
        """A client told that it shows new objects; those below a registered root are adopted."""
        sender, path = message.sender or "", message.body[0]
        self._adopt(sender, path, message.body[1])

    async def _register(self, call: Call) -> Answer:
        root = (call.sender, call.body[0])
        if root in self._roots:
            raise errors.bluez("AlreadyExists", "Already Exists")
        self._roots.add(root)
        rule = f"type='signal',sender='{root[0]}',interface='{OBJECT_MANAGER}',member='InterfacesAdded'"
        await self._core.call(BUS_NAME, BUS_PATH, BUS_NAME, "AddMatch", "s", [rule])
        self._core.spawn(self._ask(*root))
        return Answer()

    async def _ask(self, sender: str, root: str) -> None:
        """Adopt what the client shows already; bleak shows its monitor only after the reply, and tells of it then."""
        reply = await self._core.call(sender, root, OBJECT_MANAGER, "GetManagedObjects")
        if reply.message_type is MessageType.METHOD_RETURN and reply.signature == "a{oa{sa{sv}}}":
            for path, interfaces in reply.body[0].items():
                self._adopt(sender, path, interfaces)

    def _adopt(self, sender: str, path: str, interfaces: Mapping[str, Mapping[str, Variant]]) -> None:
        key = (sender, path)
        is_ours = any(sender == owner and _is_below(path, root) for owner, root in self._roots)
        if not is_ours or MONITOR not in interfaces or self._adapter.has_listener(key):
            return
        patterns = interfaces[MONITOR].get("Patterns")
        if patterns is None or patterns.signature != "a(yyay)":
            self._core.spawn(self._tell(key, "Release"))
            return
        any_of = tuple((start, kind, bytes(content)) for start, kind, content in patterns.value)
        self._adapter.add_listener(key, Patterns(any_of), lambda device: self._found(key, device))
        self._core.spawn(self._tell(key, "Activate"))

    def _found(self, key: tuple[str, str], device_path: str) -> None:
        self._core.spawn(self._tell(key, "DeviceFound", "o", [device_path]))

    async def _tell(
        self, key: tuple[str, str], member: str, signature: str = "", body: list[object] | None = None
    ) -> None:
        await self._core.call(*key, MONITOR, member, signature, body or [])

    def _unregister(self, call: Call) -> Answer:
        root = (call.sender, call.body[0])
        if root not in self._roots:
            raise errors.does_not_exist()
        self._roots.discard(root)
        self._adapter.drop_listeners(lambda key: key[0] == root[0] and _is_below(key[1], root[1]))
        return Answer()


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")
