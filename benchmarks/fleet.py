"""A thousand simulated gateways on one hub, all cut at once: how fast all are back, and that nothing is lost."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.figures import Detail, Figure, Goal
from benchmarks.processes import SCRIPTS
from benchmarks.run import Run

STORMS = ("link", "hub")
"""Every connection reset; the hub and its broker killed and started again."""
FIGURES = tuple(f"{name}_{storm}" for storm in STORMS for name in ("back", "missing_or_double", "hub_rss"))
LIMIT_S = 600.0
_Said = dict[str, Any]  # what kanmon-sim fleet --json says


def measure(run: Run) -> Iterator[Figure]:
    """All of FIGURES."""
    gateways, seconds = run.take((1000, 40), (100, 10))
    for storm in STORMS:
        run.say(f"{gateways} gateways, storm: {storm}")
        with run.folder() as folder:
            said = _said(folder, gateways, seconds, storm)
        usage, back = said["usage"], said["back"]
        wrong = said["missing"] + said["duplicated"] + said["altered"] + said["disordered"] + said["waiting"]
        details: dict[str, Detail] = {
            "gateways": said["gateways"],
            "returned": back["gateways"],
            "half s": back["half_s"],
            "readings": said["emitted"],
            **{f"{name} CPU s": one["cpu_s"] for name, one in usage.items()},
        }
        all_s = LIMIT_S if back["all_s"] is None else back["all_s"]
        yield Figure(f"back_{storm}", all_s, "s", False, Goal(at_most=60), details=details)
        yield Figure(f"missing_or_double_{storm}", wrong, "records", False, Goal(at_most=0))
        others = {f"{name} MiB": one["rss_max_mib"] for name, one in usage.items() if name != "hub"}
        yield Figure(f"hub_rss_{storm}", usage["hub"]["rss_max_mib"], "MiB", False, Goal(at_most=400), details=others)


def _said(folder: Path, gateways: int, seconds: int, storm: str) -> _Said:
    options = ["--gateways", gateways, "--for", seconds, "--storm", storm, "--state", folder / "fleet", "--json"]
    command = [str(SCRIPTS / "kanmon-sim"), "fleet", *map(str, options)]
    # Exit 1 says that something was lost: the figures say what.
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    if not done.stdout.startswith("{"):
        raise RuntimeError(done.stderr[-500:])
    said: _Said = json.loads(done.stdout)
    if "error" in said:
        raise RuntimeError(said["error"]["text"])
    return said
