"""What the agent weighs: import time of everything it runs with, and memory of a run with all three drivers."""

import asyncio
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.processes import SCRIPTS, rss_mib

ROUNDS = 5
IMPORTS = "import agent.main, drivers.modbus, drivers.ble_heart_rate, drivers.nmea_receiver"
SETTLE_S = 4.0
MAP = 'name = "m"\nperiod_s = 1\n[[register]]\nquantity = "water_level"\ntable = "input"\naddress = 0\ntype = "int16"\n'
SETTINGS = """
[gateway]
id = "gw-bench"
[hub]
urls = ["mqtt://127.0.0.1:1"]
password_file = "password"
[[person]]
id = "resident-1"
[[device]]
id = "river-1"
kind = "modbus"
host = "127.0.0.1"
port = 1
map = "map.toml"
[[device]]
id = "strap-1"
kind = "ble_heart_rate"
person = "resident-1"
address = "C0:FF:EE:00:00:01"
[[device]]
id = "bus-1"
kind = "nmea_receiver"
port = "/dev/null"
"""


def import_s() -> float:
    """Median seconds that importing takes, over a bare interpreter's start."""
    return round(_median_s(IMPORTS) - _median_s("pass"), 3)


async def running_rss_mib() -> float:
    """Resident memory of an agent with all three drivers loaded, nothing connected."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "gateway.toml").write_text(SETTINGS)
        (folder / "map.toml").write_text(MAP)
        (folder / "password").write_text("x")
        (folder / "password").chmod(0o600)
        command = ["run", "--config", str(folder / "gateway.toml"), "--state", str(folder / "state")]
        with (folder / "log").open("wb") as log:
            agent = await asyncio.create_subprocess_exec(SCRIPTS / "kanmon-agent", *command, stdout=log, stderr=log)
        try:
            await asyncio.sleep(SETTLE_S)
            return rss_mib(agent.pid)
        finally:
            agent.terminate()
            await agent.wait()


def measure() -> dict[str, object]:
    """Both figures."""
    return {"agent": {"import_s": import_s(), "rss_mib": asyncio.run(running_rss_mib())}}


def _median_s(code: str) -> float:
    times = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


if __name__ == "__main__":
    sys.stdout.write(f"{measure()}\n")
