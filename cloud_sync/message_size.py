"""How large messages of data may be, from what became of the last ones. Pure.

A slow link would carry a large message for longer than a publish may take, again on each connection, and would hold up
the fresh values behind it. A broker may acknowledge what is too large for its store and keep nothing of it. A fast link
is used best by few large messages.
"""

FIRST_BYTES = 16 * 2**10
FLOOR_BYTES = 4 * 2**10
QUICK_S = 0.25
SLOW_S = 1.0
HOPE = 64
"""After each full message that was receipted the next may be by one part in so many larger than what was not."""


class MessageSize:
    """`bytes` doubles while full messages are acknowledged quickly and receipted, and halves when slowly.

    It never exceeds `limit_bytes`. It stays below half of what got no receipt in time, and comes near it again as
    receipts come.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = self._ceiling_bytes = max(limit_bytes, FLOOR_BYTES)
        self.bytes = min(FIRST_BYTES, self._limit_bytes)
        self._is_quick = False

    def acknowledged(self, after_s: float) -> None:
        """A message was acknowledged by the broker after so long."""
        self._is_quick = after_s < QUICK_S
        if after_s > SLOW_S:
            self.bytes = max(self.bytes // 2, FLOOR_BYTES)

    def receipted(self, size: int) -> None:
        """A message of `size` bytes was receipted as it was."""
        if self._is_quick and size > self.bytes // 2:
            self.bytes = min(self.bytes * 2, self._ceiling_bytes)
        if size > self._ceiling_bytes // 2:
            self._ceiling_bytes = min(self._ceiling_bytes + self._ceiling_bytes // HOPE, self._limit_bytes)

    def unreceipted(self, size: int) -> None:
        """A message of `size` bytes has no receipt in time."""
        self._ceiling_bytes = max(min(self._ceiling_bytes, size // 2), FLOOR_BYTES)
        self.bytes = min(self.bytes, self._ceiling_bytes)
