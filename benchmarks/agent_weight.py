"""What the agent weighs: import time of everything it runs with, and memory of a run with all three drivers."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, Goal, Limit
from benchmarks.processes import SCRIPTS, child, peak_rss_mib, rss_mib
from benchmarks.run import Run, finished, median_pair, medians

FIGURES = ("import", "rss")
IMPORTS = "import agent.main, drivers.modbus, drivers.ble_heart_rate, drivers.nmea_receiver"
SETTLE_S = 4.0
BARE_RSS = "import asyncio, sqlite3, os; print(open('/proc/self/status').read())"
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


def measure(run: Run) -> Iterator[Figure]:
    """All of FIGURES."""
    found = medians(
        run,
        run.take(7, 3),
        {"agent": lambda _: _seconds(IMPORTS), "bare Python": lambda _: _seconds("import asyncio, sqlite3")},
    )
    value, bare = median_pair(found["agent"], found["bare Python"])
    yield Figure("import", value, "s", False, None, Limit("Python with asyncio and sqlite3", bare))
    run.say("rss")
    with run.folder() as folder:
        settled, peak = finished(_running(folder))
    limit = Limit("Python with asyncio and sqlite3", _bare_rss_mib())
    yield Figure("rss", settled, "MiB", False, Goal(at_most=60), limit, {"peak MiB": peak})


async def _running(folder: Path) -> tuple[float, float]:
    """Resident memory (settled, most), MiB, of an agent with all three drivers loaded, nothing connected."""
    (folder / "gateway.toml").write_text(SETTINGS)
    (folder / "map.toml").write_text(MAP)
    (folder / "password").write_text("x")
    (folder / "password").chmod(0o600)
    command = [SCRIPTS / "kanmon-agent", "run", "--config", folder / "gateway.toml", "--state", folder / "state"]
    with child(*command, log=folder / "log") as agent:
        await asyncio.sleep(SETTLE_S)
        return rss_mib(agent.pid), peak_rss_mib(agent.pid)


def _bare_rss_mib() -> float:
    done = subprocess.run([sys.executable, "-c", BARE_RSS], check=True, capture_output=True, text=True)
    return next(int(line.split()[1]) / 1024 for line in done.stdout.splitlines() if line.startswith("VmRSS:"))


def _seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start
