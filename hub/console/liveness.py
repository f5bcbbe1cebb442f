"""What a gateway's last word, and its age, say about it. Never more than the evidence: heard, late or silent. Pure."""

from datetime import datetime, timedelta
from enum import StrEnum

HEARD = timedelta(seconds=15)
"""Within it a gateway counts as heard: a connected gateway is heard of every few seconds."""
SILENT = timedelta(seconds=45)
"""Beyond it a gateway is told as silent."""


class Liveness(StrEnum):
    """Derived from when a gateway was last heard; nothing here says that it works."""

    HEARD = "heard"
    LATE = "late"
    SILENT = "silent"


def liveness(last_seen: datetime, now: datetime) -> Liveness:
    """The state that follows from `last_seen`."""
    age = now - last_seen
    if age <= HEARD:
        return Liveness.HEARD
    return Liveness.LATE if age <= SILENT else Liveness.SILENT
