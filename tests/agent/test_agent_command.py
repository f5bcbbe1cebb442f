"""The installers' command: one clear sentence and an exit code for everything that can be wrong at start."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from support.processes import Gateway, running

AGENT = Path(sys.executable).parent / "kanmon-agent"
SETTINGS = """
[gateway]
id = "gw-1"
[hub]
urls = ["mqtt://127.0.0.1:1"]
password_file = "password"
[[person]]
id = "resident-1"
"""


async def run(*arguments: object) -> tuple[int, str, str]:
    child = await asyncio.create_subprocess_exec(
        AGENT, *map(str, arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await child.communicate()
    return child.returncode, out.decode(), err.decode()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "password").write_text("secret-canary")
    (tmp_path / "password").chmod(0o600)
    (tmp_path / "gateway.toml").write_text(SETTINGS)
    return tmp_path


async def test_check_says_that_nothing_is_wrong(folder):
    code, out, _ = await run("check", "--config", folder / "gateway.toml", "--json")
    assert (code, json.loads(out)["ok"]) == (0, True)


async def test_a_broken_file_is_exit_2_with_every_fault(folder):
    (folder / "gateway.toml").write_text(SETTINGS.replace("gw-1", "GW 1") + "[[device]]\nid='x'\nkind='modbusx'\n")
    for command in (("check",), ("run", "--state", folder / "state")):
        code, out, err = await run(*command, "--config", folder / "gateway.toml", "--json")
        faults = json.loads(out)["error"]["faults"]
        assert code == 2
        assert len(faults) >= 2
        assert all(fault["line"] and fault["cause"] and fault["fix"] for fault in faults)
        assert "Traceback" not in err
    assert not (folder / "state").exists()


async def test_a_second_instance_on_a_state_folder_is_exit_1_with_one_sentence(folder):
    gateway = Gateway(folder, SETTINGS)
    async with running(gateway):
        code, _, err = await run("run", "--config", gateway.settings, "--state", gateway.state)
        assert code == 1
        assert err.count("\n") == 1
        assert "another kanmon-agent runs" in err
        assert await gateway.answers()


async def test_a_state_folder_that_cannot_be_written_is_exit_1_with_one_sentence(folder):
    (folder / "file").write_text("in the way")
    code, _, err = await run("run", "--config", folder / "gateway.toml", "--state", folder / "file" / "state")
    assert (code, err.count("\n")) == (1, 1)
    assert "cannot be written" in err


async def test_no_agent_is_exit_4_a_stranger_exit_5_and_a_wrong_word_exit_2(folder):
    assert (await run("status", "--state", folder / "nobody"))[0] == 4
    assert (await run("consent", "set", "resident-1", "research", "maybe", "--state", folder / "nobody"))[0] == 2
    gateway = Gateway(folder, SETTINGS)
    async with running(gateway):
        assert (await run("consent", "set", "stranger", "research", "on", "--state", gateway.state))[0] == 5
        code, out, _ = await run("consent", "set", "resident-1", "research", "on", "--state", gateway.state, "--json")
        assert (code, json.loads(out)["on"]) == (0, True)
        code, out, _ = await run("consent", "list", "--state", gateway.state)
        assert "research: on" in out


async def test_everything_in_the_state_folder_is_the_owners_and_nothing_holds_the_password(folder):
    gateway = Gateway(folder, SETTINGS)
    async with running(gateway):
        await gateway.agree("resident-1", "research")
        for path in gateway.state.rglob("*"):
            if path.name != "lock":
                assert path.stat().st_mode & 0o077 == 0, path.name
    for path in [gateway.log, *gateway.state.rglob("*")]:
        if path.is_file():
            assert b"secret-canary" not in path.read_bytes()


async def test_it_stops_at_once_when_told_to(folder):
    gateway = Gateway(folder, SETTINGS)
    async with running(gateway):
        pass
    assert gateway._child.returncode == 0
    assert "Traceback" not in gateway.log.read_text()
    assert not (gateway.state / "control.sock").exists()
    assert os.path.exists(gateway.state / "outbox.db")
