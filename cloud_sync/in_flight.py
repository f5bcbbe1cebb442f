"""What was sent and has no receipt yet: which message each range of numbers went with. Pure."""

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Generic, TypeVar

from contract.record import Range

Message = TypeVar("Message")


class InFlight(Generic[Message]):
    """Ranges in order, so that a receipt finds those it covers without a look at the others."""

    def __init__(self) -> None:
        self._ranges: list[Range] = []
        self._messages: dict[Range, Message] = {}

    def __len__(self) -> int:
        """How many ranges wait for a receipt."""
        return len(self._ranges)

    def add(self, ranges: Iterable[Range], message: Message) -> None:
        """`message` carries `ranges`, none of which is in flight."""
        for range_ in ranges:
            if range_ not in self._messages:
                insort(self._ranges, range_)
            self._messages[range_] = message

    def discard(self, ranges: Iterable[Range]) -> None:
        """No receipt for `ranges` is waited for any more."""
        for range_ in ranges:
            if self._messages.pop(range_, None) is not None:
                del self._ranges[bisect_left(self._ranges, range_)]

    def covered(self, receipted: Range) -> list[tuple[Range, Message]]:
        """Take out every range that lies whole in `receipted`, with its message.

        A range that it covers in part stays: its message is sent again, and the hub then receipts what it knows of it.
        """
        low = bisect_left(self._ranges, receipted._replace(last=0))
        high = bisect_left(self._ranges, receipted._replace(first=receipted.last + 1, last=0), low)
        met = self._ranges[low:high]
        self._ranges[low:high] = [range_ for range_ in met if range_.last > receipted.last]
        return [(range_, self._messages.pop(range_)) for range_ in met if range_.last <= receipted.last]
