"""The whole path: 4 Modbus TCP connections x 100 registers, free-running, through gateway and broker into the hub.

Rules, quality and release are on. Readings per second are those the hub has committed; CPU is that of each process, by
the kernel's clock, per committed reading.
"""

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.processes import SCRIPTS, answers, cpu_s, free_ports, rss_mib
from firmware_sim.farm import farm
from firmware_sim.modbus_station import ModbusStation

CONNECTIONS = 4
REGISTERS = 100
WARM_UP_S = 4.0
MEASURE_S = 10.0


def register_map() -> str:
    """100 registers of the farm as raw values, the counter first, read in one request."""
    registers = [{"quantity": "device_counter", "address": 0, "type": "uint32"}]
    registers += [
        {"quantity": "raw_value", "address": n, "type": "uint16", "scale": 0.1} for n in range(2, REGISTERS + 1)
    ]
    lines = ['name = "farm"', "period_s = 0"]
    for register in registers:
        lines.append("[[register]]\ntable = 'input'")
        lines += [f"{key} = {value!r}" for key, value in register.items()]
    return "\n".join(lines)


def settings(mqtt_port: int, password: Path, batch: int, stations: list[int]) -> str:
    """gateway.toml of the measured gateway."""
    devices = "".join(
        f'[[device]]\nid = "farm-{n}"\nkind = "modbus"\nhost = "127.0.0.1"\nport = {port}\nmap = "farm.toml"\n'
        for n, port in enumerate(stations)
    )
    return (
        f'[gateway]\nid = "gw-bench"\n[hub]\nurls = ["mqtt://127.0.0.1:{mqtt_port}"]\npassword_file = "{password}"\n'
        f"[outbox]\nbatch_records = {batch}\n{devices}"
        '[[rule]]\nkind = "river_stage"\ndevice = "farm-0"\n[[rule.stage]]\nlevel = 1\nthreshold_m = 1.0\n'
    )


@contextlib.contextmanager
def child(*arguments: object, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours, ended with SIGTERM."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [SCRIPTS / str(arguments[0]), *map(str, arguments[1:])], stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


@contextlib.asynccontextmanager
async def stations() -> AsyncIterator[list[int]]:
    """The farm: one server for each connection."""
    async with contextlib.AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(ModbusStation(equipment=farm(REGISTERS + 1, seed=n)))
            for n in range(CONNECTIONS)
        ]
        yield [server.port for server in servers]


def committed(hub: Path) -> int:
    """How many records the hub has committed."""
    connection = sqlite3.connect(f"file:{hub / 'hub.sqlite'}?mode=ro", uri=True)
    try:
        return int(connection.execute("SELECT coalesce(sum(last - first + 1), 0) FROM seen").fetchone()[0])
    finally:
        connection.close()


async def run(batch: int) -> dict[str, object]:
    """One run at `batch` records a message."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        hub = folder / "hub"
        http, mqtt, nats = free_ports(3)
        async with stations() as ports:
            serve = (
                "kanmon-hub",
                "serve",
                "--state",
                hub,
                "--http-port",
                http,
                "--mqtt-port",
                mqtt,
                "--nats-port",
                nats,
            )
            with child(*serve, log=folder / "hub.log") as hub_process:
                await answers(http)
                add = [SCRIPTS / "kanmon-hub", "gateway", "add", "gw-bench", "--state", hub]
                await asyncio.to_thread(subprocess.run, add, check=True, capture_output=True)
                (folder / "farm.toml").write_text(register_map())
                password = hub / "credentials" / "gw-bench.password"
                (folder / "gateway.toml").write_text(settings(mqtt, password, batch, ports))
                agent = ("kanmon-agent", "run", "--config", folder / "gateway.toml", "--state", folder / "gateway")
                with child(*agent, log=folder / "agent.log") as agent_process:
                    return await watch(hub, hub_process.pid, agent_process.pid)


async def watch(hub: Path, hub_pid: int, agent_pid: int) -> dict[str, object]:
    """Rates and costs between two moments of a run that is under way."""
    await asyncio.sleep(WARM_UP_S)
    start, count, cpu = time.monotonic(), committed(hub), (cpu_s(agent_pid), cpu_s(hub_pid))
    await asyncio.sleep(MEASURE_S)
    readings, elapsed = committed(hub) - count, time.monotonic() - start
    gateway_s, hub_s = cpu_s(agent_pid) - cpu[0], cpu_s(hub_pid) - cpu[1]
    return {
        "readings_per_s": round(readings / elapsed),
        "gateway_us_per_reading": round(gateway_s / readings * 1e6, 1) if readings else None,
        "hub_us_per_reading": round(hub_s / readings * 1e6, 1) if readings else None,
        "gateway_rss_mib": rss_mib(agent_pid),
        "load": round(os.getloadavg()[0], 1),
    }


def measure() -> dict[str, object]:
    """Batches of 100 and of 1,000 readings a message."""
    return {f"whole_path_{batch}": asyncio.run(run(batch)) for batch in (100, 1000)}


if __name__ == "__main__":
    for key, result in measure().items():
        sys.stdout.write(f"{key} {result}\n")
