"""What a gateway says and hears, for tests that stand in its place: envelopes, receipts; and what the hub then has."""

import asyncio
from datetime import UTC, datetime, timedelta

import aiomqtt
import httpx

from cloud_sync import blob
from cloud_sync.envelope import Part, Receipt, decode_receipt, encode_envelope
from contract.ids import Epoch, GatewayId
from contract.record import Measured, Range, Stream
from contract.sample import ClockQuality, Flag, Reading
from hub.state_folder import Running

GATEWAY = GatewayId("gw-1")
EPOCH = Epoch("00000000000000b1")
NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


def levels(first: int, count: int) -> bytes:
    """An envelope of `count` readings whose values are their sequence numbers."""
    records = [
        Measured(
            "river-1", NOW + timedelta(seconds=n), ClockQuality.SYNCHRONISED, (Reading("water_level", n, Flag.GOOD),)
        )
        for n in range(first, first + count)
    ]
    range_ = Range(EPOCH, Stream.DATA, first, first + count - 1)
    return encode_envelope([Part(range_, None, blob.encode(records))])


async def receipts(client: aiomqtt.Client, last: int, limit_s: float = 15.0) -> list[Receipt]:
    """Receipts up to the one that names `last`."""
    found = []
    async with asyncio.timeout(limit_s):
        async for message in client.messages:
            if str(message.topic).endswith("/receipt"):
                found.append(decode_receipt(bytes(message.payload)))
                if any(range_.last == last for range_ in found[-1].ranges):
                    break
    return found


async def stored(running: Running, device: str = "river-1") -> list[float]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.http_port}") as client:
        answer = await client.get("/api/v1/readings", params={"device": device, "limit": 10000})
        return [item["value"] for item in answer.json()["items"]]
