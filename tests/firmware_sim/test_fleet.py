"""Fleets on a real hub: everything each device said is there once and in order, whoever is killed in the middle."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from firmware_sim.cli import app
from support.running_hub import credential, hub_program

LIMIT_S = 60.0
LONG_LIMIT_S = 600.0


async def fleet(*words: str, limit_s: float = LIMIT_S) -> tuple[int | None, dict[str, Any]]:
    """Exit code and the JSON object of a run; nothing else may be on stdout."""
    script = str(Path(sys.executable).with_name("kanmon-sim"))
    process = await asyncio.create_subprocess_exec(
        *(script, "fleet", "--json", *words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(limit_s):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert output, errors.decode()
    return process.returncode, json.loads(output)


def assert_whole(code: int | None, result: dict[str, Any]) -> None:
    faults = ("missing", "duplicated", "altered", "disordered", "waiting", "faults")
    assert {name: result.get(name) for name in faults} == dict.fromkeys(faults, 0), result
    assert (code, result["passed"]) == (0, True)
    assert result["stored"] == result["emitted"] > 0


async def test_twenty_gateways_lose_and_double_nothing_when_their_hub_is_killed() -> None:
    """Promise 1, with all gateways cut at once: the hub dies by SIGKILL and its broker with it."""
    code, result = await fleet("--gateways", "20", "--period-s", "0.5", "--for", "3", "--storm", "hub")
    assert_whole(code, result)
    assert result["back"]["gateways"] == 20
    assert result["back"]["all_s"] < 60
    assert result["losses"] >= 20
    assert result["emitted"] >= 20 * 2 * 6
    assert result["receipt"]["p50_ms"] <= result["receipt"]["p99_ms"]
    assert set(result["usage"]) == {"simulator", "hub", "broker"}
    assert result["meets_goals"] is True


async def test_a_fleet_whose_every_connection_is_reset_comes_back() -> None:
    code, result = await fleet("--gateways", "5", "--period-s", "0.2", "--for", "1", "--storm", "link")
    assert_whole(code, result)
    assert result["losses"] == 5
    assert result["back"]["all_s"] < 30


async def test_a_fleet_speaks_to_a_hub_that_already_runs(tmp_path: Path) -> None:
    async with hub_program(tmp_path) as hub:
        for number in (1, 2):
            credential(tmp_path, f"fleet-000{number}")
        reach = ("--hub", f"http://127.0.0.1:{hub.said['http']}", "--mqtt", f"mqtt://127.0.0.1:{hub.said['mqtt']}")
        words = ("--gateways", "2", "--period-s", "0.2", "--for", "1", *reach, "--credentials")
        for _ in range(2):  # a second run finds the first one's records, which are not its own
            code, result = await fleet(*words, str(tmp_path / "credentials"))
            assert_whole(code, result)
        assert set(result["usage"]) == {"simulator"}
        assert (result["back"], result["meets_goals"]) == (None, None)
        code, result = await fleet(*words, str(tmp_path))
    assert code == 2
    assert "kanmon-hub gateway add fleet-0001" in result["error"]["text"]


@pytest.mark.parametrize(
    "words",
    [("--hub", "http://127.0.0.1:1"), ("--credentials", "x"), ("--mqtt", "mqtt://127.0.0.1:1", "--storm", "hub")],
)
def test_half_a_hub_is_refused(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, ["fleet", *words])
    assert result.exit_code == 2
    assert "--credentials" in result.output


@pytest.mark.long
@pytest.mark.parametrize("storm", ["hub", "broker", "link"])
async def test_a_thousand_gateways_are_back_within_a_minute_and_lose_nothing(storm: str) -> None:
    """The goal: all back within 60 s, no loss, the hub within 400 MiB."""
    code, result = await fleet("--gateways", "1000", "--for", "40", "--storm", storm, limit_s=LONG_LIMIT_S)
    assert_whole(code, result)
    assert result["meets_goals"] is True, result
