"""A Modbus station whose one value counts its answers: what is lost or doubled on the way shows in the numbers."""

from pathlib import Path

from support.modbus_server import Server

MAP = """period_s = {period_s}
[[register]]
quantity = "device_counter"
table = "input"
address = 0
type = "uint32"
"""


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
