"""An optional limit on the bytes that leave: a bucket that fills evenly. Fresh values pass before a backlog."""

import asyncio

BURST_S = 1.0
"""So much of a quiet time may be made up for at once."""


class Throttle:
    """Bytes a second on one link, connection after connection; None: no limit.

    A message leaves once the bucket is not in debt, and may bring it into debt: no message is too large for it.
    """

    def __init__(self, bytes_per_s: float | None) -> None:
        self._bytes_per_s = bytes_per_s
        self._level = 0.0
        self._at_s: float | None = None
        self._live_turn = asyncio.Lock()
        self._backlog_turn = asyncio.Lock()

    def count(self, size: int) -> None:
        """`size` bytes leave now, whatever the limit says."""
        if self._bytes_per_s is not None:
            self._fill(self._bytes_per_s)
            self._level -= size

    async def live(self, size: int) -> None:
        """Wait until `size` bytes of fresh values may leave, and count them."""
        if self._bytes_per_s is None:
            return
        async with self._live_turn:
            await self._out_of_debt(self._bytes_per_s)
            self.count(size)

    async def backlog(self, size: int) -> None:
        """Wait until `size` bytes of a backlog may leave and no fresh value waits, and count them."""
        if self._bytes_per_s is None:
            return
        async with self._backlog_turn:
            await self._out_of_debt(self._bytes_per_s)
            while self._live_turn.locked():
                async with self._live_turn:
                    pass
                await self._out_of_debt(self._bytes_per_s)
            self.count(size)

    async def _out_of_debt(self, bytes_per_s: float) -> None:
        self._fill(bytes_per_s)
        while self._level <= -1:  # a debt of less than a byte is none: a wait for it could be too short to pass
            await asyncio.sleep(-self._level / bytes_per_s)
            self._fill(bytes_per_s)

    def _fill(self, bytes_per_s: float) -> None:
        now_s = asyncio.get_running_loop().time()
        passed_s = BURST_S if self._at_s is None else now_s - self._at_s
        self._level = min(self._level + passed_s * bytes_per_s, BURST_S * bytes_per_s)
        self._at_s = now_s
