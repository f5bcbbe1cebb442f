"""The node's configuration is one that the real nats-server takes, and three of it are a cluster."""

import os
import subprocess
from pathlib import Path

import pytest

from hub.nats_server import executable
from support.processes import SCRIPTS

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "cluster" / "nats.conf"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The configuration beside a file of users, as on a node."""
    (tmp_path / "nats.conf").write_text(CONFIGURATION.read_text())
    add = ["gateway", "add", "gw-1", "--state", str(tmp_path / "state"), "--nats-users", str(tmp_path / "users.conf")]
    subprocess.run([SCRIPTS / "kanmon-hub", *add], check=True, capture_output=True, timeout=30)
    return tmp_path


def tried(folder: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [str(executable({})), "-t", "-c", str(folder / "nats.conf")]
    environment = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)


def test_the_server_takes_the_configuration(folder: Path) -> None:
    done = tried(folder, {"NODE": "node-1", "ROUTE_PASSWORD": "secret"})
    assert done.returncode == 0, done.stderr
    assert "is valid" in done.stderr


@pytest.mark.parametrize("missing", ["NODE", "ROUTE_PASSWORD"])
def test_a_variable_that_is_missing_is_told(folder: Path, missing: str) -> None:
    """A node does not start half configured."""
    variables = {"NODE": "node-1", "ROUTE_PASSWORD": "secret"}
    variables.pop(missing)
    assert tried(folder, variables).returncode != 0
