"""The test stand: the real hub, the real agent and the farm, each as the process it is, and what the hub receipts."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from benchmarks.processes import SCRIPTS, child
from cloud_sync.envelope import decode_receipt
from cloud_sync.topics import RECEIPT, down_subject, up
from contract.ids import GatewayId
from contract.record import Range, Stream, merged

GATEWAY = GatewayId("gw-bench")
START_LIMIT_S = 30.0
ASK_AGAIN_S = 0.05
LEVEL_SCALE = 0.0001
HIGHEST_STAGE_M = 9.0
"""The farm's water level is at most 6.6 m: the rule judges every sample and never rings."""


@dataclass(frozen=True, slots=True)
class Hub:
    """A hub that answers."""

    state: Path
    pid: int
    http_port: int
    mqtt_port: int
    nats_port: int

    @property
    def gateway_password(self) -> Path:
        """The file of GATEWAY's credential."""
        return self.state / "credentials" / f"{GATEWAY}.password"

    @contextlib.asynccontextmanager
    async def broker(self) -> AsyncIterator[Client]:
        """A connection to its broker, as the hub's own user."""
        password = (self.state / "credentials" / "hub.password").read_text().strip()
        client = await nats.connect(f"nats://127.0.0.1:{self.nats_port}", user="hub", password=password)
        try:
            yield client
        finally:
            await client.close()

    @contextlib.asynccontextmanager
    async def receipts(self) -> AsyncIterator["Receipts"]:
        """What this hub tells GATEWAY that it has committed, from now on."""
        async with self.broker() as client:
            receipts = Receipts()
            await client.subscribe(down_subject(GATEWAY, RECEIPT), cb=receipts.take)
            await client.flush()
            yield receipts


@dataclass(slots=True)
class Receipts:
    """The numbers that were receipted, each counted once."""

    ranges: list[Range] = field(default_factory=list)
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, message: Msg) -> None:
        """Add one receipt's ranges."""
        self.ranges.extend(decode_receipt(message.data).ranges)
        self._came.set()

    async def at_least(self, records: int, limit_s: float) -> None:
        """Return once so many records are receipted, or after `limit_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while self.records < records:
                    self._came.clear()
                    await self._came.wait()

    @property
    def records(self) -> int:
        """How many data records the hub holds of those that were sent since this began."""
        self.ranges = list(merged(sorted(self.ranges)))
        return sum(r.last - r.first + 1 for r in self.ranges if r.stream is Stream.DATA)


@contextlib.asynccontextmanager
async def running_hub(folder: Path, launcher: Sequence[object] = ()) -> AsyncIterator[Hub]:
    """A hub with its state in `folder`/hub that knows GATEWAY; `launcher` goes before the command."""
    state, log = folder / "hub", folder / "hub.log"
    command = launcher or [SCRIPTS / "kanmon-hub"]
    ports = ("--http-port", 0, "--mqtt-port", 0, "--nats-port", 0)
    with child(*command, "serve", "--state", state, *ports, log=log) as process:
        said = await _ready(state, process, log)
        add = [str(SCRIPTS / "kanmon-hub"), "gateway", "add", GATEWAY, "--state", str(state)]
        await asyncio.to_thread(subprocess.check_output, add)
        yield Hub(state, process.pid, said["http"], said["mqtt"], said["nats"])


async def _ready(state: Path, process: "subprocess.Popen[bytes]", log: Path) -> dict[str, int]:
    """The ports that the hub took, once it says that it is ready."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(START_LIMIT_S):
            while process.poll() is None:
                if b"ready" in log.read_bytes():
                    said: dict[str, int] = json.loads((state / "running.json").read_text())
                    return said
                await asyncio.sleep(ASK_AGAIN_S)
    raise RuntimeError(f"the hub does not start: {log.read_text(errors='replace')[-500:]}")


class Farm:
    """The farm's process. `readings` is how many readings a poll of one station brings."""

    def __init__(self, process: "subprocess.Popen[bytes]", readings: int) -> None:
        self.pid = process.pid
        self.readings = readings
        self._process = process
        self.ports: list[int] = json.loads(self._line())

    def answers(self) -> int:
        """Polls answered so far, over all stations."""
        return self._ask(b"count\n")

    def stop(self) -> int:
        """Answer no poll any more; how many were answered."""
        return self._ask(b"stop\n")

    def _ask(self, line: bytes) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()
        return int(self._line())

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@contextlib.contextmanager
def running_farm(stations: int, readings: int) -> Iterator[Farm]:
    """`stations` Modbus servers of `readings` readings each, in a process of their own."""
    command = [sys.executable, "-m", "benchmarks.farm_process", str(stations), str(readings + 1)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield Farm(process, readings)
        finally:
            process.terminate()


def write_gateway(
    folder: Path, hub: Hub, farm: Farm, period_s: float, linger_ms: int = 100, batch_records: int = 1000
) -> Path:
    """gateway.toml of a gateway that polls every station of `farm`, each with a rule on its water level."""
    registers = [
        {"quantity": "device_counter", "address": 0, "type": "uint32"},
        {"quantity": "water_level", "address": 2, "type": "uint16", "scale": LEVEL_SCALE},
    ]
    registers += [
        {"quantity": "raw_value", "address": n, "type": "uint16", "scale": 0.1} for n in range(3, farm.readings + 1)
    ]
    lines = ['name = "farm"', f"period_s = {period_s}"]
    for register in registers:
        lines += ["[[register]]", 'table = "input"', *(f"{key} = {value!r}" for key, value in register.items())]
    (folder / "farm.toml").write_text("\n".join(lines))
    lines = [f'[gateway]\nid = "{GATEWAY}"', f'[hub]\nurls = ["mqtt://127.0.0.1:{hub.mqtt_port}"]']
    lines += [f'password_file = "{hub.gateway_password}"', "[outbox]", f"linger_ms = {linger_ms}"]
    lines += [f"batch_records = {batch_records}"]
    for number, port in enumerate(farm.ports):
        lines += [f'[[device]]\nid = "farm-{number}"\nkind = "modbus"\nhost = "127.0.0.1"\nport = {port}']
        lines += ['map = "farm.toml"', f'[[rule]]\nkind = "river_stage"\ndevice = "farm-{number}"']
        lines += [f"[[rule.stage]]\nlevel = 1\nthreshold_m = {HIGHEST_STAGE_M}"]
    path = folder / "gateway.toml"
    path.write_text("\n".join(lines))
    return path


def running_agent(
    folder: Path, config: Path, launcher: Sequence[object] = ()
) -> contextlib.AbstractContextManager["subprocess.Popen[bytes]"]:
    """The agent with its state in `folder`/gateway."""
    command = launcher or [SCRIPTS / "kanmon-agent"]
    return child(*command, "run", "--config", config, "--state", folder / "gateway", log=folder / "agent.log")


def data_subject() -> str:
    """The broker's subject of what GATEWAY sends."""
    return up(GATEWAY, Stream.DATA).replace("/", ".")
