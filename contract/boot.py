"""One run of a gateway's kernel, and what is known of when it began: a Raspberry Pi has no clock battery.

A record stamped before the clock was synchronised names the boot and what the gateway took for the moment of boot. Once
that moment is known, every such time is put right, wherever it lies; what was written is never changed.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple, NewType

BootId = NewType("BootId", str)
"""Of the kernel (Linux: /proc/sys/kernel/random/boot_id), without hyphens: 32 hex digits."""
BOOT_PATTERN = r"[0-9a-f]{32}"
_BOOT = re.compile(BOOT_PATTERN)


class TimeBase(NamedTuple):
    """What unsynchronised times rest on: each is `zero_ms` plus the milliseconds since the boot."""

    boot: BootId
    zero_ms: int
    """Milliseconds since 1970 UTC that the gateway took for the moment of boot: wrong, or it would not be needed, but
    later than all it knew from before the boot."""


@dataclass(frozen=True, slots=True)
class BootTime:
    """When a boot was, in milliseconds since 1970 UTC. `zero_ms` when it was learnt; else the bounds it lies in."""

    boot: BootId
    zero_ms: int | None
    after_ms: int | None = None
    """The last known time before the boot."""
    before_ms: int | None = None
    """The first known time after the boot's end."""


def is_boot_id(text: str) -> bool:
    """True for 32 lower-case hex digits."""
    return _BOOT.fullmatch(text) is not None
