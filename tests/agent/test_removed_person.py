"""A person who is taken out of gateway.toml: what an earlier run left about them stops nothing."""

import asyncio
from datetime import UTC, datetime

from agent import consent as consent_module
from agent import main, outbox_schema
from agent.consent import Change, ConsentBook
from agent.group import Group
from agent.outbox import Outbox
from agent.seal import KeyFolder
from agent.settings import load
from agent.store import Database
from contract.consent import Purpose
from contract.ids import Epoch, PersonId
from support.waiting import until

SETTINGS = """
[gateway]
id = "gw-1"
[hub]
urls = ["mqtt://127.0.0.1:1"]
password_file = "password"
[[device]]
id = "bus-1"
kind = "nmea_receiver"
port = "nowhere"
"""
AT = datetime(2026, 11, 22, tzinfo=UTC)
PERSON = PersonId("resident-1")
OPEN_WINDOW = {"last": {}, "window": {"start_ms": 0, "samples": 9, "sums": {"heart_rate": [9, 630.0, 70.0, 70.0]}}}


async def test_an_open_window_of_a_person_who_was_removed_does_not_end_the_agent(tmp_path, monkeypatch):
    """Promise 3: it would end it again at the first tick after each start."""
    async with (
        Database(tmp_path / "consent.db", consent_module.MIGRATIONS) as consent_file,
        Database(tmp_path / "outbox.db", outbox_schema.MIGRATIONS) as outbox_file,
    ):
        await ConsentBook(consent_file, [PERSON]).change(Change(PERSON, Purpose.STATISTICS, True, None, AT, "x"))
        outbox = Outbox(outbox_file, KeyFolder(tmp_path / "keys"), Epoch("1" * 16), 100)
        await outbox.open(AT)
        await outbox.commit(Group(AT, states={(PERSON, Purpose.STATISTICS): OPEN_WINDOW}))
    (tmp_path / "password").write_text("x")
    (tmp_path / "password").chmod(0o600)
    (tmp_path / "gateway.toml").write_text(SETTINGS)
    ticks = 0

    def ticked(pipeline, at, tick=main.Pipeline.tick) -> None:
        nonlocal ticks
        tick(pipeline, at)
        ticks += 1

    monkeypatch.setattr(main, "TICK_S", 0.01)
    monkeypatch.setattr(main.Pipeline, "tick", ticked)
    task = asyncio.ensure_future(main.run(load(tmp_path / "gateway.toml"), tmp_path))
    await until(lambda: ticks >= 3 or task.done())
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])
