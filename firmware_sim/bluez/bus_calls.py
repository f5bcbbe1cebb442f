"""What the bus answers about itself: the methods of org.freedesktop.DBus that clients call (specification 0.43)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from dbus_fast import DBusError, Message, Variant

from contract.errors import ProtocolError
from firmware_sim.bluez import match

if TYPE_CHECKING:
    from firmware_sim.bluez.bus import Peer, PrivateBus

BUS_NAME = "org.freedesktop.DBus"
BUS_PATH = "/org/freedesktop/DBus"
MAX_RULES = 512
"""Match rules a peer may have; dbus-daemon's default."""

Reply = tuple[str, Sequence[object]]

# RequestName and ReleaseName answer with these (specification, "Message Bus Messages").
_PRIMARY_OWNER, _EXISTS, _ALREADY_OWNER = 1, 3, 4
_RELEASED, _NON_EXISTENT, _NOT_OWNER = 1, 2, 3


def answer(bus: PrivateBus, peer: Peer, message: Message) -> Reply:
    """Signature and body of the reply; DBusError for a method we do not have or arguments it does not take."""
    method = _METHODS.get(message.member or "")
    if method is None:
        raise DBusError(f"{BUS_NAME}.Error.UnknownMethod", f"the bus has no method {message.member}")
    takes, run = method
    if message.signature != takes:
        raise DBusError(f"{BUS_NAME}.Error.InvalidArgs", f"{message.member} takes '{takes}'")
    return run(bus, peer, message)


def _owner(bus: PrivateBus, name: str) -> Peer:
    owner = bus.owners.get(name)
    if owner is None:
        raise DBusError(f"{BUS_NAME}.Error.NameHasNoOwner", f"Could not get owner of name '{name}': no such name")
    return owner


def _hello(_bus: PrivateBus, peer: Peer, _message: Message) -> Reply:
    return "s", [peer.name]


def _add_match(_bus: PrivateBus, peer: Peer, message: Message) -> Reply:
    if len(peer.rules) >= MAX_RULES:
        raise DBusError(f"{BUS_NAME}.Error.LimitsExceeded", "too many match rules")
    peer.rules.append(_rule(message))
    return "", []


def _remove_match(_bus: PrivateBus, peer: Peer, message: Message) -> Reply:
    try:
        peer.rules.remove(_rule(message))
    except ValueError as error:
        raise DBusError(f"{BUS_NAME}.Error.MatchRuleNotFound", "no such match rule") from error
    return "", []


def _rule(message: Message) -> match.Rule:
    try:
        return match.parse(message.body[0])
    except ProtocolError as error:
        raise DBusError(f"{BUS_NAME}.Error.MatchRuleInvalid", str(error)) from error


def _request_name(bus: PrivateBus, peer: Peer, message: Message) -> Reply:
    """The flags are not looked at: nobody waits in a queue here and nobody is replaced."""
    name: str = message.body[0]
    if name.startswith(":") or name == BUS_NAME:
        raise DBusError(f"{BUS_NAME}.Error.InvalidArgs", "this name cannot be requested")
    owner = bus.owners.get(name)
    if owner is not None:
        return "u", [_ALREADY_OWNER if owner is peer else _EXISTS]
    peer.names.add(name)
    bus.change_owner(name, None, peer)
    return "u", [_PRIMARY_OWNER]


def _release_name(bus: PrivateBus, peer: Peer, message: Message) -> Reply:
    name: str = message.body[0]
    if name not in bus.owners:
        return "u", [_NON_EXISTENT]
    if name not in peer.names:
        return "u", [_NOT_OWNER]
    peer.names.discard(name)
    bus.change_owner(name, peer, None)
    return "u", [_RELEASED]


def _get_name_owner(bus: PrivateBus, _peer: Peer, message: Message) -> Reply:
    name: str = message.body[0]
    return "s", [BUS_NAME if name == BUS_NAME else _owner(bus, name).name]


def _name_has_owner(bus: PrivateBus, _peer: Peer, message: Message) -> Reply:
    return "b", [message.body[0] == BUS_NAME or message.body[0] in bus.owners]


def _list_names(bus: PrivateBus, _peer: Peer, _message: Message) -> Reply:
    return "as", [[BUS_NAME, *bus.owners]]


def _list_activatable_names(_bus: PrivateBus, _peer: Peer, _message: Message) -> Reply:
    return "as", [[BUS_NAME]]


def _start_service_by_name(bus: PrivateBus, _peer: Peer, message: Message) -> Reply:
    if message.body[0] not in bus.owners:
        text = f"The name {message.body[0]} was not provided by any .service files"
        raise DBusError(f"{BUS_NAME}.Error.ServiceUnknown", text)
    already_running = 2
    return "u", [already_running]


def _uid(bus: PrivateBus, _peer: Peer, message: Message) -> Reply:
    return "u", [_owner(bus, message.body[0]).uid]


def _pid(bus: PrivateBus, _peer: Peer, message: Message) -> Reply:
    return "u", [_owner(bus, message.body[0]).pid]


def _credentials(bus: PrivateBus, _peer: Peer, message: Message) -> Reply:
    owner = _owner(bus, message.body[0])
    return "a{sv}", [{"UnixUserID": Variant("u", owner.uid), "ProcessID": Variant("u", owner.pid)}]


def _get_id(bus: PrivateBus, _peer: Peer, _message: Message) -> Reply:
    return "s", [bus.guid]


def _ping(_bus: PrivateBus, _peer: Peer, _message: Message) -> Reply:
    return "", []


_METHODS: Mapping[str, tuple[str, Callable[[PrivateBus, Peer, Message], Reply]]] = {
    "Hello": ("", _hello),
    "AddMatch": ("s", _add_match),
    "RemoveMatch": ("s", _remove_match),
    "RequestName": ("su", _request_name),
    "ReleaseName": ("s", _release_name),
    "GetNameOwner": ("s", _get_name_owner),
    "NameHasOwner": ("s", _name_has_owner),
    "ListNames": ("", _list_names),
    "ListActivatableNames": ("", _list_activatable_names),
    "StartServiceByName": ("su", _start_service_by_name),
    "GetConnectionUnixUser": ("s", _uid),
    "GetConnectionUnixProcessID": ("s", _pid),
    "GetConnectionCredentials": ("s", _credentials),
    "GetId": ("", _get_id),
    "Ping": ("", _ping),
}
