"""How large messages of data may be, from how long the broker took to acknowledge the last ones. Pure.

A slow link would carry a large message for longer than a publish may take, again on each connection, and would hold up
the fresh values behind it. A fast one is used best by few large messages.
"""

FIRST_BYTES = 16 * 2**10
FLOOR_BYTES = 4 * 2**10
QUICK_S = 0.25
SLOW_S = 1.0


class MessageSize:
    """`bytes` doubles while full messages are acknowledged quickly, up to `limit_bytes`, and halves when slowly."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = max(limit_bytes, FLOOR_BYTES)
        self.bytes = min(FIRST_BYTES, self._limit_bytes)

    def acknowledged(self, size: int, after_s: float) -> None:
        """A message of `size` bytes was acknowledged after so long."""
        if after_s > SLOW_S:
            self.bytes = max(self.bytes // 2, FLOOR_BYTES)
        elif after_s < QUICK_S and size > self.bytes // 2:
            self.bytes = min(self.bytes * 2, self._limit_bytes)
