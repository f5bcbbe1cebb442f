"""What a database engine does for the store. Both engines pass one suite of tests (tests/hub/test_store_*.py)."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self, TypeVar

from hub.arrival import Arrival
from hub.store.dialect import Dialect
from hub.store.script import Script
from hub.store.selection import Question
from hub.store.writing import Outcome

_Answer = TypeVar("_Answer")
Work = Callable[[], Script[_Answer]]
"""Makes the script anew for each try."""


class Engine(Protocol):
    """An open database; entering opens and migrates it.

    Errors leave as our families: StoreFull (nothing of the transaction was kept), Unreachable (the server is away; what
    was under way is kept or not, and trying again is safe), Tampered, ProtocolError (a value no database can hold).
    """

    @property
    def dialect(self) -> Dialect:
        """How this engine's SQL is written."""

    async def __aenter__(self) -> Self:
        """Open and migrate; Misconfigured when that cannot be."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close, after the step under way."""

    async def ask(self, question: Question[_Answer]) -> _Answer:
        """The answer, as of one moment."""

    async def commit(self, arrivals: Sequence[Arrival]) -> Outcome:
        """Write `arrivals` in one transaction: each record exactly once. ProtocolError keeps nothing of the group."""

    async def quarantined(self) -> Sequence[tuple[str, bytes]]:
        """Reason and sealed payload of everything that is kept, oldest first."""

    async def maintain(self, work: Work[_Answer]) -> _Answer | None:
        """What `work` amounts to, done statement by statement or at once; None when another process is at it."""

    async def tidy(self, now_ms: int, over_ms: int) -> bool:
        """What only this engine needs, bounded; telemetry before `over_ms` may go whole. True: there is more to do."""

    @property
    def whole(self) -> str | None:
        """The table of telemetry to be looked at row by row where `tidy` drops the rest whole; None: all of it."""
