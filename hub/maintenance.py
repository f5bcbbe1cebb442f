"""Keeping the store in order beside ingest: rollups, retention and compaction, a round every few seconds."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from contract.errors import KanmonError

PERIOD_S = 5.0
_log = logging.getLogger(__name__)


class Maintained(Protocol):
    """A store that is kept in order in rounds."""

    async def maintain(self, now: datetime) -> object:
        """Do one round; several processes may try at once."""
        ...


async def keep_in_order(store: Maintained, now: Callable[[], datetime], period_s: float = PERIOD_S) -> None:
    """Have `store` do a round every `period_s`. A failure is told once and tried again; ends never."""
    is_failing = False
    while True:
        try:
            await store.maintain(now())
        except KanmonError as error:
            if not is_failing:
                _log.error("the database cannot be kept in order, which is tried again: %s", error)
            is_failing = True
        else:
            if is_failing:
                _log.warning("the database is kept in order again")
            is_failing = False
        await asyncio.sleep(period_s)
