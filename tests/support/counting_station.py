"""A Modbus station whose one value counts its answers: what is lost or doubled on the way shows in the numbers."""

from dataclasses import dataclass
from pathlib import Path

from support.modbus_server import Server
from support.processes import Gateway, Hub
from support.waiting import until

MAP = """period_s = {period_s}
[[register]]
quantity = "device_counter"
table = "input"
address = 0
type = "uint32"
"""


SETTINGS = """
[gateway]
id = "gw-1"
[hub]
urls = ["mqtt://127.0.0.1:{port}"]
password_file = "{password}"
[[device]]
id = "river-1"
kind = "modbus"
host = "127.0.0.1"
port = {modbus}
timeout_s = 20
map = "station.toml"
"""
"""gateway.toml of a gateway that reads the station."""


class Counting(dict[int, int]):
    """Two registers that hold, big-endian, how often they were read."""

    def __init__(self) -> None:
        super().__init__({0: 0, 1: 0})
        self.count = 0

    def __getitem__(self, address: int) -> int:
        if address == 0:
            self.count += 1
        return self.count >> 16 if address == 0 else self.count & 0xFFFF


def counting_station(folder: Path, period_s: float) -> tuple[Server, Counting]:
    """The station, not started, and its count; its register map is station.toml in `folder`."""
    (folder / "station.toml").write_text(MAP.format(period_s=period_s))
    counting = Counting()
    return Server({4: counting}), counting


@dataclass
class CountingLine:
    """The station, the gateway that reads it, and the hub behind."""

    hub: Hub
    gateway: Gateway
    counting: Counting

    async def stored(self) -> list[int]:
        rows = await self.hub.items("/api/v1/readings", device="river-1", limit=10000)
        return [int(row["value"]) for row in rows]

    async def all_arrive(self) -> None:
        """Everything that was answered before now is at the hub, once."""
        count = self.counting.count

        async def are_there() -> bool:
            # Fresh values overtake what has to be sent again.
            stored = await self.stored()
            return stored[-1:] >= [count] and set(range(stored[0], count + 1)) <= set(stored)

        await until(are_there, 40)
        stored = await self.stored()
        assert [number for number in stored if number <= count] == list(range(stored[0], count + 1))
        assert len(set(stored)) == len(stored), "something was stored twice"
