"""Names of things that cross a process boundary, and the one rule for how they are written."""

import re
from typing import NewType

from contract.errors import ProtocolError

GatewayId = NewType("GatewayId", str)
DeviceId = NewType("DeviceId", str)
PersonId = NewType("PersonId", str)
"""A resident as the gateway and the hub's personal store name them: an account id, never a name."""
Epoch = NewType("Epoch", str)
"""16 hex digits: 64 random bits drawn at every start of the agent."""
AlertId = NewType("AlertId", str)
"""32 hex digits, drawn when an alert is raised and kept for its whole life."""

ID_PATTERN = r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"
EPOCH_PATTERN = r"[0-9a-f]{16}"
_ID = re.compile(ID_PATTERN)
_EPOCH = re.compile(EPOCH_PATTERN)


def is_id(text: str) -> bool:
    """True for 1 to 63 of a-z, 0-9, '-' and '_' that start and end with a letter or digit.

    The same text is safe as an MQTT topic level, a NATS subject token, a file name and a URN part.
    """
    return _ID.fullmatch(text) is not None


def parse_epoch(text: object) -> Epoch:
    """The epoch in `text`; ProtocolError when it is not 16 lower-case hex digits."""
    if not isinstance(text, str) or not _EPOCH.fullmatch(text):
        raise ProtocolError("epoch is not 16 hex digits")
    return Epoch(text)
