"""The least a Modbus gateway can do, as a limit: poll with pymodbus, convert and store nothing.

    python -m benchmarks.bare_poll REGISTERS PERIOD_S SECONDS PORT...

Says readings, seconds and CPU seconds, once warm, as JSON. PERIOD_S 0 polls without pause.
"""

import asyncio
import contextlib
import json
import sys
import time
from dataclasses import dataclass

from pymodbus.client import AsyncModbusTcpClient

WARM_UP_S = 1.0


@dataclass(slots=True)
class _Count:
    readings: int = 0
    is_over: bool = False


async def poll(client: AsyncModbusTcpClient, registers: int, period_s: float, count: _Count) -> None:
    """Read at absolute deadlines until it is over. Not cancelled: pymodbus swallows that."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while not count.is_over:
        answer = await client.read_input_registers(0, count=registers)
        count.readings += len(answer.registers) - 1  # the first two are one reading
        if period_s:
            due += period_s
            await asyncio.sleep(due - loop.time())


async def run(registers: int, period_s: float, seconds: float, ports: list[int]) -> None:
    """Poll all of `ports` and say what it took."""
    count = _Count()
    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        for port in ports:
            client = AsyncModbusTcpClient("127.0.0.1", port=port)
            await client.connect()
            stack.callback(client.close)
            tasks.create_task(poll(client, registers, period_s, count))
        await asyncio.sleep(WARM_UP_S)
        before = count.readings, time.monotonic(), time.process_time()
        await asyncio.sleep(seconds)
        after = count.readings, time.monotonic(), time.process_time()
        count.is_over = True
    readings, elapsed, cpu = (b - a for a, b in zip(before, after, strict=True))
    sys.stdout.write(json.dumps({"readings": readings, "seconds": elapsed, "cpu_s": cpu}))


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), list(map(int, sys.argv[4:]))))
