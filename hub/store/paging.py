"""Cursors: where the next page of a list begins, as opaque text. Pure."""

import base64
import binascii
import json

from contract.errors import ProtocolError

Position = tuple[int, ...]
"""The sort key of the last row on a page."""

_MOST_TEXT = 200


def to_cursor(position: Position) -> str:
    """The text that stands for `position`."""
    return base64.urlsafe_b64encode(json.dumps(position, separators=(",", ":")).encode()).rstrip(b"=").decode()


def from_cursor(text: str, length: int) -> Position:
    """The position of `length` numbers in `text`; ProtocolError when it holds none."""
    try:
        padded = text[:_MOST_TEXT].encode("ascii") + b"=" * (-len(text) % 4)
        position = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise ProtocolError("cursor is not one of this hub's") from None
    if not isinstance(position, list) or len(position) != length:
        raise ProtocolError("cursor belongs to another list")
    if not all(type(number) is int and abs(number) < 2**63 for number in position):
        raise ProtocolError("cursor is not one of this hub's")
    return tuple(position)
