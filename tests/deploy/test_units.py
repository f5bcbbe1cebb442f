"""The systemd units are what systemd takes, harden what they start, and start what is there."""

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.cli import app as agent_app
from hub.cli import app as hub_app
from hub.environment import Role, check, read
from support.processes import SCRIPTS

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
INSTANCES = {"kanmon-hub-api@.service": "8080", "kanmon-hub-ingest@.service": "1"}
MOST_EXPOSED = 25
"""In tenths, by systemd's own count (systemd-analyze security): the gateway reaches serial ports and lamps."""

HARDENED = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "CapabilityBoundingSet": "",
    "SystemCallArchitectures": "native",
    "UMask": "0077",
    "Restart": "always",
    "Type": "notify",
    "NotifyAccess": "main",
    "KillMode": "mixed",
}


class Unit(configparser.RawConfigParser):
    """A unit file; of a key that stands several times the last counts here."""

    def __init__(self, path: Path) -> None:
        super().__init__(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
        self.optionxform = str  # type: ignore[assignment, method-assign]  # keys as they are written
        self.read(path)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_hardens_and_watches_what_it_starts(path: Path) -> None:
    service = Unit(path)["Service"]
    assert HARDENED.items() <= dict(service).items()
    assert service["SystemCallFilter"].startswith("@system-service")
    assert int(service["WatchdogSec"]) > 45, "a worker counts as stuck only after 45 s"
    assert service["User"] == "kanmon"
    assert {"MemoryMax", "StateDirectory", "RestartSec", "TasksMax"} <= set(service)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_a_command_that_is_there(path: Path) -> None:
    service = Unit(path)["Service"]
    program, *arguments = service["ExecStart"].replace("%i", "8080").split()
    app = {"kanmon-agent": agent_app, "kanmon-hub": hub_app}[Path(program).name]
    result = CliRunner().invoke(app, [*arguments, "--help"])
    assert result.exit_code == 0, result.output
    state = arguments[arguments.index("--state") + 1]
    assert state == f"/var/lib/{service['StateDirectory'].replace('%i', '8080')}"


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_takes_the_unit(path: Path, tmp_path: Path) -> None:
    """With this project's folder in place of /opt/kanmon."""
    if shutil.which("systemd-analyze") is None:
        reason = "systemd-analyze is not installed. Debian: sudo apt install systemd"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    text = path.read_text().replace("/opt/kanmon/.venv/bin", str(SCRIPTS)).replace("/opt/kanmon", str(ROOT))
    copy = tmp_path / path.name.replace("@", f"@{INSTANCES.get(path.name, '')}")
    copy.write_text(text)
    verified = analyze("verify", "--man=no", str(copy))
    assert (verified.returncode, verified.stderr) == (0, "")
    counted = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(copy))
    assert counted.returncode == 0, counted.stdout


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", "--no-pager", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_example_environment_names_what_the_hub_reads() -> None:
    text = (ROOT / "deploy" / "systemd" / "hub.env").read_text()
    variables = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    variables.pop("KANMON_NATS_USER")  # its password comes as a credential
    found = read(variables)
    check(found, Role.INGEST, 3)
    assert found.broker is not None
    assert len(found.broker.urls) == 3
