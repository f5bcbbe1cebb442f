"""When the faults that a test or an operator orders are met; what a fault does is the device's own matter."""

from collections import deque
from typing import Generic, TypeVar

FaultT = TypeVar("FaultT")


class FaultPlan(Generic[FaultT]):
    """Faults by turn (a request, a burst): first those ordered once, one a turn, then the standing one, if any."""

    def __init__(self) -> None:
        self._once: deque[FaultT] = deque()
        self._standing: FaultT | None = None

    def once(self, *faults: FaultT) -> None:
        """The next turns meet `faults`, one each, in this order."""
        self._once.extend(faults)

    def always(self, fault: FaultT | None) -> None:
        """Every turn meets `fault` until this is called with None."""
        self._standing = fault

    def take(self) -> FaultT | None:
        """The fault that the turn now at hand meets."""
        return self._once.popleft() if self._once else self._standing
