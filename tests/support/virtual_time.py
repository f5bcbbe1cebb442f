"""An event loop whose time passes at once: a wait of an hour ends as soon as nothing else is left to do."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

LONGEST_S = 10 * 86400.0
"""Of virtual time: what has not ended by then never does."""


class _HastySelector(selectors.DefaultSelector):
    """Waits for nobody, and counts how long it would have waited."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found:
            assert timeout is not None, "every task waits, and nothing can wake one"
            self.now_s += max(timeout, 0.0)
            assert self.now_s < LONGEST_S, "does not end"
        return found


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._hasty = _HastySelector()
        super().__init__(self._hasty)

    def time(self) -> float:
        return self._hasty.now_s


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """The result of `main` in a loop of its own, in virtual time. For tests that are no coroutines themselves."""
    with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
        return runner.run(main)
