"""Chaos, short: real rounds on real processes keep every promise, whatever is killed, cut, filled or turned back."""

import asyncio
import json
import sys

import pytest

from firmware_sim import chaos_plan
from firmware_sim.chaos_kinds import Setup
from firmware_sim.chaos_plan import drawn

SEED, ROUNDS = 100, 3
SHORT_LIMIT_S = 240.0


async def chaos(*words: str, limit_s: float = SHORT_LIMIT_S) -> dict:
    """What `kanmon-sim chaos` ends with; its exit code must agree, and its lines are told when a promise is broken."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "firmware_sim.cli", "chaos", "--json", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(limit_s):
            output, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    result = json.loads(output)
    assert "error" not in result, result
    assert process.returncode == (0 if result["passed"] else 1)
    assert result["passed"], said.decode() + json.dumps(result, indent=1)
    return result


async def test_some_rounds_lose_and_double_nothing() -> None:
    """Promise 1."""
    result = await chaos("--seed", str(SEED), "--rounds", str(ROUNDS), "--setup", "embedded")
    assert result["seed"] == SEED
    schedule = drawn(SEED, ROUNDS, [Setup.EMBEDDED])
    assert [one["faults"] for one in result["rounds"]] == [list(map(str, one.faults)) for one in schedule]
    assert {row["kind"] for row in result["kinds"]} == {fault.kind for one in schedule for fault in one.faults}
    assert (result["final"]["missing"], result["final"]["duplicated"]) == (0, 0)
    assert result["final"]["stored"] > 50


@pytest.mark.long
async def test_a_black_hole_of_30_s_loses_nothing_and_leaves_no_gap() -> None:
    """The link is open and dead longer than a publish waits for its answer, and than the keepalive."""
    result = await chaos("--scenario", chaos_plan.Scenario.BLACK_HOLE)
    assert result["rounds"][0]["lasted_s"] > 30
    assert result["rounds"][0]["ledger"]["gaps"] == 0
    final = result["final"]
    assert (final["missing"], final["duplicated"], final["in_gaps"]) == (0, 0, 0)
    assert final["emitted"] > 200


@pytest.mark.long
@pytest.mark.parametrize("setup", Setup)
async def test_rounds_on_each_set_up_lose_and_double_nothing(setup: Setup) -> None:
    result = await chaos("--seed", str(SEED), "--rounds", "12", "--setup", setup, limit_s=900)
    assert (result["final"]["missing"], result["final"]["duplicated"]) == (0, 0)


@pytest.mark.long
async def test_a_backlog_drains_once_and_holds_up_neither_fresh_values_nor_alerts() -> None:
    """The hub was away; the whole day is run by hand, as docs/chaos.md says."""
    result = await chaos("--scenario", chaos_plan.Scenario.DAY_AWAY, "--readings", "2000000", limit_s=600)
    assert result["is_each_once"]
    assert result["rows"] == 2_000_000
