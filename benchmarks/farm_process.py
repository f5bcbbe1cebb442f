"""The simulated Modbus farm as a process of its own, so that its work is counted as nobody else's.

    python -m benchmarks.farm_process STATIONS REGISTERS

Says its ports as one line of JSON; then, for each line on standard input, how many polls were answered. After the line
"stop" every request is answered "busy".
"""

import asyncio
import contextlib
import json
import sys

from firmware_sim.farm import farm
from firmware_sim.modbus_station import ModbusStation


def _say(said: object) -> None:
    sys.stdout.write(f"{json.dumps(said)}\n")
    sys.stdout.flush()


async def run(count: int, registers: int) -> None:
    """Serve until standard input ends."""
    async with contextlib.AsyncExitStack() as stack:
        stations = [
            await stack.enter_async_context(ModbusStation(equipment=farm(registers, seed=n))) for n in range(count)
        ]
        _say([station.port for station in stations])
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            if line.strip() == b"stop":
                for station in stations:
                    station.stop_emitting()
            _say(sum(station.answers for station in stations))


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]), int(sys.argv[2])))
