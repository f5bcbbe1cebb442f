"""From a commit of the outbox to the hub's receipt: the gateway's real outbox and link here, a real hub beside."""

import asyncio
import secrets
from datetime import datetime
from pathlib import Path
from random import Random

from benchmarks import stand
from benchmarks.filling import group_of_things, opened, polls
from cloud_sync.link import HubLink
from cloud_sync.link_settings import LinkSettings
from cloud_sync.session import Broker
from cloud_sync.uplink import KnownTime
from contract.errors import ProtocolError
from contract.ids import Epoch
from contract.record import Stream

PERIOD_S = 0.25
LIMIT_S = 10.0
WARM_UP = 5
REGISTERS = 100


class _Told:
    """Notes when the hub has spoken: with one commit at a time under way, that is its receipt."""

    def __init__(self) -> None:
        self.spoke = asyncio.Event()
        self.is_up = asyncio.Event()
        self.at = 0.0

    def up(self) -> None:
        self.is_up.set()

    def lost(self, cause: str) -> None:
        raise ConnectionError(cause)

    def hub_time(self, at: datetime) -> None:
        del at
        self.at = asyncio.get_running_loop().time()
        self.spoke.set()

    def fault(self, error: ProtocolError) -> None:
        raise error


async def latencies_ms(folder: Path, readings: int, commits: int) -> list[float]:
    """The times of `commits`, one each 250 ms, of `readings` readings each."""
    loop, told, epoch = asyncio.get_running_loop(), _Told(), Epoch(secrets.token_hex(8))
    records = polls(readings // REGISTERS, REGISTERS)
    waits: list[float] = []
    async with stand.running_hub(folder) as hub, opened(folder / "gateway", epoch) as outbox:
        broker = Broker(f"mqtt://127.0.0.1:{hub.mqtt_port}", stand.GATEWAY, hub.gateway_password.read_text().strip())
        link = HubLink([broker], outbox, KnownTime(), "bench", told, LinkSettings(batch_records=readings))
        running = asyncio.create_task(link.run(Random(1)))  # noqa: S311 - spreads retries
        async with asyncio.timeout(LIMIT_S):
            await told.is_up.wait()
        start = loop.time()
        for number in range(WARM_UP + commits):
            await asyncio.sleep(start + number * PERIOD_S - loop.time())
            if outbox.waiting[Stream.DATA]:  # nothing was taken out since: what was heard was no receipt
                waits[-1] = PERIOD_S * 1000
            told.spoke.clear()
            await outbox.commit(group_of_things(records))
            committed = loop.time()
            async with asyncio.timeout(LIMIT_S):
                await told.spoke.wait()
            waits.append((told.at - committed) * 1000)
        running.cancel()
        await asyncio.wait([running])
    return waits[WARM_UP:]
