"""Match rules of D-Bus: which messages a peer of the bus asked to see. Pure.

Grammar and meaning: D-Bus specification 0.43, Match Rules. Rules arrive quoted from libdbus (type='signal') and bare
from dbus-fast (type=signal); both are taken.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dbus_fast import Message, MessageType

from contract.errors import ProtocolError

_ARGUMENT = re.compile(r"arg(\d{1,2})(path)?\Z")
_TYPES = {
    "signal": MessageType.SIGNAL,
    "method_call": MessageType.METHOD_CALL,
    "method_return": MessageType.METHOD_RETURN,
    "error": MessageType.ERROR,
}
_TEXTS = ("sender", "interface", "member", "path", "path_namespace", "destination", "arg0namespace")


@dataclass(frozen=True, slots=True)
class Rule:
    """One parsed rule; two rules that say the same are equal, which is how RemoveMatch finds its own."""

    kind: MessageType | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[int, str] = field(default_factory=dict)
    argument_paths: Mapping[int, str] = field(default_factory=dict)

    def matches(self, message: Message, sender: str, owns: Callable[[str, str], bool]) -> bool:
        """Whether the message is asked for; `owns(unique, name)` tells whether a peer owns a well-known name."""
        texts = self.texts
        wanted_sender = texts.get("sender")
        return (
            (self.kind is None or message.message_type is self.kind)
            and texts.get("interface", message.interface) == message.interface
            and texts.get("member", message.member) == message.member
            and texts.get("path", message.path) == message.path
            and texts.get("destination", message.destination) == message.destination
            and (wanted_sender is None or wanted_sender == sender or owns(sender, wanted_sender))
            and ("path_namespace" not in texts or _is_below(message.path or "", texts["path_namespace"], "/"))
            and ("arg0namespace" not in texts or _is_below(_argument(message, 0), texts["arg0namespace"], "."))
            and all(_argument(message, index) == value for index, value in self.arguments.items())
            and all(_is_related(_argument(message, index), path) for index, path in self.argument_paths.items())
        )


def parse(text: str) -> Rule:
    """Read a rule; ProtocolError when it has an unknown key or an unclosed quote."""
    kind: MessageType | None = None
    texts: dict[str, str] = {}
    arguments: dict[int, str] = {}
    argument_paths: dict[int, str] = {}
    for key, value in _pairs(text):
        argument = _ARGUMENT.match(key)
        if argument:
            (argument_paths if argument[2] else arguments)[int(argument[1])] = value
        elif key == "type" and value in _TYPES:
            kind = _TYPES[value]
        elif key in _TEXTS:
            texts[key] = value
        elif key != "eavesdrop":
            raise ProtocolError("a match rule has an unknown key or type")
    return Rule(kind, texts, arguments, argument_paths)


def _pairs(text: str) -> list[tuple[str, str]]:
    """Key and value of each clause. Apostrophes quote what they enclose; outside them a backslash quotes one."""
    pairs: list[tuple[str, str]] = []
    rest = text.strip()
    while rest:
        key, equals, rest = rest.partition("=")
        if not equals:
            raise ProtocolError("a match rule has a clause without a value")
        value, rest = _value(rest)
        pairs.append((key.strip(), value))
    return pairs


def _value(text: str) -> tuple[str, str]:
    """The value at the head of `text` and what follows its comma."""
    value: list[str] = []
    is_quoted = False
    place = 0
    while place < len(text):
        letter = text[place]
        if letter == "'":
            is_quoted = not is_quoted
        elif is_quoted:
            value.append(letter)
        elif letter == ",":
            break
        elif text.startswith("\\'", place):
            value.append("'")
            place += 1
        else:
            value.append(letter)
        place += 1
    if is_quoted:
        raise ProtocolError("a match rule has an unclosed quote")
    return "".join(value), text[place + 1 :]


def _argument(message: Message, index: int) -> str:
    if index >= len(message.body):
        return ""
    value = message.body[index]
    return value if isinstance(value, str) else ""


def _is_below(name: str, namespace: str, separator: str) -> bool:
    return namespace in {separator, name} or name.startswith(namespace + separator)


def _is_related(argument: str, path: str) -> bool:
    """An argNpath clause: equal, or the one that ends with a slash is a prefix of the other."""
    return (
        argument == path
        or (path.endswith("/") and argument.startswith(path))
        or (argument.endswith("/") and path.startswith(argument))
    )
