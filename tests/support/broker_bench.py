"""A broker of the tests' own with the hub's parts on it, to be looked at from outside as an operator would."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import nats
from nats.js import JetStreamContext

from cloud_sync.backoff import Backoff
from cloud_sync.envelope import decode_receipt
from cloud_sync.topics import down_subject
from contract.record import Range
from hub.credentials import HUB_USER, ensure
from hub.nats_server import NatsServer, Ports, choose_ports, executable
from hub.state_folder import StateFolder
from support.gateway_traffic import GATEWAY


@dataclass
class Bench:
    """A running server; what the hub's user may see of it."""

    state: StateFolder
    ports: Ports
    password: str
    client: nats.NATS
    receipted: list[Range]

    @property
    def environment(self) -> dict[str, str]:
        """What makes a hub use this server."""
        return {
            "KANMON_NATS_URL": f"nats://127.0.0.1:{self.ports.nats}",
            "KANMON_NATS_USER": HUB_USER,
            "KANMON_NATS_PASSWORD_FILE": str(self.state.credentials / f"{HUB_USER}.password"),
        }

    @property
    def jetstream(self) -> JetStreamContext:
        return self.client.jetstream()

    async def send(self, payloads: Sequence[bytes]) -> None:
        """Publish on the gateway's data subject, whether or not anything captures it."""
        for payload in payloads:
            await self.client.publish(f"kanmon.{GATEWAY}.up.data", payload)
        await self.client.flush()

    def receipted_numbers(self) -> set[int]:
        return {number for range_ in self.receipted for number in range(range_.first, range_.last + 1)}


@asynccontextmanager
async def broker_bench(folder: Path) -> AsyncIterator[Bench]:
    """A server with its files in `folder`."""
    state = StateFolder(folder)
    state.make()
    ports = choose_ports(0, 0)
    password = ensure(state.credentials, HUB_USER)
    async with NatsServer(state, executable({}), ports, 2**30, Backoff(), Random(1)).started():
        client = await nats.connect(
            f"nats://{HUB_USER}:{password}@127.0.0.1:{ports.nats}", max_reconnect_attempts=-1, reconnect_time_wait=0.05
        )
        bench = Bench(state, ports, password, client, [])

        async def heard(message: nats.aio.msg.Msg) -> None:
            bench.receipted.extend(decode_receipt(message.data).ranges)

        await client.subscribe(down_subject(GATEWAY, "receipt"), cb=heard)
        try:
            yield bench
        finally:
            await client.close()
