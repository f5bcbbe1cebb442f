"""Lamps and sirens answer whatever else the process waits for."""

import asyncio
import threading
from datetime import UTC, datetime

from agent.actuators import Actuators, Led
from contract.alert import Alert, Transition
from contract.ids import AlertId
from support.waiting import until

AT = datetime(2026, 11, 22, tzinfo=UTC)
THREADS = 40
"""More than an event loop keeps for its own calls."""


def alert(transition: Transition) -> Alert:
    return Alert(AlertId("1" * 32), "river_stage", "v", transition, AT, "water_level", 1.0, 1.0, 1, "ja", "en")


async def test_a_lamp_is_lit_while_every_thread_of_the_loop_waits_for_a_name_server(tmp_path):
    """Promise 3: with the network down, looking a name up takes many seconds."""
    actuators, answer = Actuators([Led("lamp-1", tmp_path, frozenset({"river_stage"}))]), threading.Event()
    lookups = [asyncio.get_running_loop().run_in_executor(None, answer.wait, 10) for _ in range(THREADS)]
    task = asyncio.ensure_future(actuators.run())
    try:
        actuators.act(alert(Transition.RAISED))
        lamp = tmp_path / "brightness"
        await until(lambda: lamp.exists() and lamp.read_text() == "1", limit_s=2)
    finally:
        answer.set()
        task.cancel()
        await asyncio.wait([task, *lookups])
