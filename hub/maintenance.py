"""Keeping the store in order beside ingest: rollups, retention and compaction, a round every few seconds."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from contract.errors import KanmonError

PERIOD_S = 5.0
CATCHING_UP_S = 0.05
"""Between rounds while there is more to do: ingest comes in between."""
Round = Callable[[datetime], Awaitable[bool]]
"""One bounded round of upkeep at the given time; returns whether there is more to do at once."""
_log = logging.getLogger(__name__)


async def keep_in_order(do_round: Round, now: Callable[[], datetime], period_s: float = PERIOD_S) -> None:
    """Do a round every `period_s`, sooner while there is more. A failure is told once and tried again; ends never."""
    is_failing = False
    while True:
        has_more = False
        try:
            has_more = await do_round(now())
        except KanmonError as error:
            if not is_failing:
                _log.error("the database cannot be kept in order, which is tried again: %s", error)
            is_failing = True
        else:
            if is_failing:
                _log.warning("the database is kept in order again")
            is_failing = False
        await asyncio.sleep(min(CATCHING_UP_S, period_s) if has_more else period_s)
