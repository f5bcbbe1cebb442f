"""A moment as the hub writes it for others. Pure."""

from datetime import datetime


def instant(at: datetime) -> str:
    """`at` (aware, UTC) in ISO 8601 with milliseconds and Z."""
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"
