"""What a database engine does for the store. Both engines pass one suite of tests (tests/hub/test_store_*.py)."""

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self, TypeVar

from hub.arrival import Arrival
from hub.store.dialect import Dialect
from hub.store.selection import Question
from hub.store.writing import Outcome

_Answer = TypeVar("_Answer")


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
