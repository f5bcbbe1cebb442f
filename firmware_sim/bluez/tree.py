"""The objects that the simulated bluetoothd shows on the bus, their properties and methods, and the news of changes.

Everything generic lives here (ObjectManager, Properties, Peer); what an adapter or a device does is written elsewhere.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dbus_fast import Message, Variant

from firmware_sim.bluez import errors

PROPERTIES = "org.freedesktop.DBus.Properties"
OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"
PEER = "org.freedesktop.DBus.Peer"
ROOT = "/"

Properties = Mapping[str, Variant]
Emit = Callable[[str, str, str, str, Sequence[object]], None]
"""path, interface, member, signature, body of a signal."""


@dataclass(frozen=True, slots=True)
class Call:
    """A method call as an object sees it; `body` has the types of the signature the method declared."""

    sender: str
    path: str
    body: Sequence[Any]  # D-Bus arguments: each method knows the types it declared


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply; `descriptors` are sent with it and closed here afterwards."""

    signature: str = ""
    body: tuple[object, ...] = ()
    descriptors: tuple[int, ...] = ()


Outcome = Answer | Awaitable[Answer]
Setter = Callable[[Variant], None]


@dataclass(frozen=True, slots=True)
class Method:
    """A method of an object: the signature it takes and what runs; a failure is a BluezError."""

    takes: str
    run: Callable[[Call], Outcome]


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface of one object; properties without a setter are read-only."""

    properties: dict[str, Variant] = field(default_factory=dict)
    methods: Mapping[str, Method] = field(default_factory=dict)
    setters: Mapping[str, Setter] = field(default_factory=dict)


class Tree:
    """All objects, in the order in which they came."""

    def __init__(self, emit: Emit) -> None:
        self.emit = emit
        self._objects: dict[str, dict[str, Interface]] = {}

    def add(self, path: str, interfaces: Mapping[str, Interface]) -> None:
        """Show an object, or more interfaces of one; InterfacesAdded comes from the root, as bluetoothctl insists."""
        self._objects.setdefault(path, {}).update(interfaces)
        body = [path, {name: interface.properties for name, interface in interfaces.items()}]
        self.emit(ROOT, OBJECT_MANAGER, "InterfacesAdded", "oa{sa{sv}}", body)

    def remove(self, path: str) -> None:
        """Take an object away with all its interfaces; nothing happens when it is not there."""
        interfaces = self._objects.pop(path, None)
        if interfaces is not None:
            self.emit(ROOT, OBJECT_MANAGER, "InterfacesRemoved", "oas", [path, list(interfaces)])

    def has(self, path: str, interface: str) -> bool:
        """Whether the object shows the interface."""
        return interface in self._objects.get(path, {})

    def get(self, path: str, interface: str, name: str) -> Variant | None:
        """The value of a property, None when there is none."""
        shown = self._objects.get(path, {}).get(interface)
        return shown.properties.get(name) if shown else None

    def change(self, path: str, interface: str, changes: Properties, *, repeats: bool = False) -> None:
        """Set properties and tell of those whose value is new; of all of them with `repeats`."""
        properties = self._objects[path][interface].properties
        told = {name: value for name, value in changes.items() if repeats or properties.get(name) != value}
        properties.update(changes)
        if told:
            self.emit(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [interface, told, []])

    def invalidate(self, path: str, interface: str, names: Iterable[str]) -> None:
        """Withdraw properties."""
        properties = self._objects[path][interface].properties
        gone = [name for name in names if properties.pop(name, None) is not None]
        if gone:
            self.emit(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [interface, {}, gone])

    def answer(self, message: Message) -> Outcome:
        """What a call gets. BluezError when there is no such object, method or property."""
        path, member, signature = message.path or "", message.member or "", message.signature
        call = Call(message.sender or "", path, message.body)
        generic = _GENERIC.get((message.interface or "", member))
        if generic is not None and generic[0] == signature:
            return generic[1](self, call)
        interfaces = self._objects.get(path)
        if interfaces is None:
            raise errors.unknown_object(path)
        candidates = [interfaces.get(message.interface)] if message.interface else list(interfaces.values())
        for interface in candidates:
            method = interface.methods.get(member) if interface else None
            if method is not None and method.takes == signature:
                return method.run(call)
        raise errors.unknown_method(member, signature, message.interface or "")

    def _interface(self, call: Call) -> Interface:
        if call.path not in self._objects:
            raise errors.unknown_object(call.path)
        interface = self._objects[call.path].get(call.body[0])
        if interface is None:
            raise errors.invalid_arguments(f"No such interface '{call.body[0]}'")
        return interface

    def managed_objects(self, call: Call) -> Answer:
        """ObjectManager.GetManagedObjects, of the root only."""
        if call.path != ROOT:
            raise errors.unknown_object(call.path)
        listing = {
            path: {name: interface.properties for name, interface in interfaces.items()}
            for path, interfaces in self._objects.items()
        }
        return Answer("a{oa{sa{sv}}}", (listing,))

    def get_all(self, call: Call) -> Answer:
        """Properties.GetAll."""
        return Answer("a{sv}", (self._interface(call).properties,))

    def get_one(self, call: Call) -> Answer:
        """Properties.Get."""
        value = self._interface(call).properties.get(call.body[1])
        if value is None:
            raise errors.invalid_arguments(f"No such property '{call.body[1]}'")
        return Answer("v", (value,))

    def set_one(self, call: Call) -> Answer:
        """Properties.Set."""
        interface = self._interface(call)
        name, value = call.body[1], call.body[2]
        present = interface.properties.get(name)
        setter = interface.setters.get(name)
        if present is None or setter is None:
            raise errors.BluezError("org.freedesktop.DBus.Error.PropertyReadOnly", f"Property '{name}' is not writable")
        if value.signature != present.signature:
            raise errors.invalid_arguments()
        setter(value)
        return Answer()


def _ping(_tree: Tree, _call: Call) -> Answer:
    return Answer()


_GENERIC: Mapping[tuple[str, str], tuple[str, Callable[[Tree, Call], Answer]]] = {
    (OBJECT_MANAGER, "GetManagedObjects"): ("", Tree.managed_objects),
    (PROPERTIES, "GetAll"): ("s", Tree.get_all),
    (PROPERTIES, "Get"): ("ss", Tree.get_one),
    (PROPERTIES, "Set"): ("ssv", Tree.set_one),
    (PEER, "Ping"): ("", _ping),
}
