"""The whole line as processes: nothing lost and nothing double, whoever is killed in the middle of it."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from firmware_sim.plan import BUS, RIVER, STRAPS, Layout
from firmware_sim.recorder import read_emissions
from support.waiting import until

START_LIMIT_S = 60.0
END_LIMIT_S = 150.0


class Demo:
    """A demo that runs."""

    def __init__(self, process: asyncio.subprocess.Process, state: Path) -> None:
        self.process = process
        self.layout = Layout(state)
        self.address = ""

    def child(self, script: str) -> int | None:
        """Process id of the child that runs `script`, once it is more than the leash it starts as."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in children:
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            if any(word.endswith(b"/" + script.encode()) for word in words) and b"firmware_sim.leash" not in words:
                return int(child)
        return None

    async def kill(self, script: str) -> None:
        """Kill -9, and wait until a successor runs."""
        pid = self.child(script)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: self.child(script) not in (None, pid), 10.0)

    def emitted(self) -> Counter[str]:
        """How often each device has spoken so far."""
        return Counter(emission.device for emission in read_emissions(self.layout.town.emitted))

    async def hears_all(self, more: int = 4) -> None:
        """Wait until each device has said `more` again."""
        before = self.emitted()
        await until(lambda: all(self.emitted()[d] >= before[d] + more for d in (RIVER, BUS, *STRAPS)), 40.0)

    async def balance(self) -> dict[str, int]:
        """The JSON object it ends with; nothing else may be on stdout."""
        async with asyncio.timeout(END_LIMIT_S):
            output, _ = await self.process.communicate()
        balance: dict[str, int] = json.loads(output)
        return balance


@asynccontextmanager
async def demo(state: Path, *words: str) -> AsyncIterator[Demo]:
    script = str(Path(sys.executable).with_name("kanmon-sim"))
    process = await asyncio.create_subprocess_exec(
        *(script, "demo", "--state", str(state), "--port", "0", "--json", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Demo(process, state)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def until_ready(running: Demo) -> None:
    assert running.process.stderr is not None
    async with asyncio.timeout(START_LIMIT_S):
        async for line in running.process.stderr:
            if b"ready: " in line:
                running.address = line.decode().split("ready: ")[1].split()[0]
                return
    pytest.fail("the demo ended before it was ready")


async def test_kill_9_of_gateway_hub_and_town_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Promise 1: a reading that the gateway made durable reaches the hub exactly once; the rest is a declared gap."""
    async with demo(tmp_path) as running:
        await until_ready(running)
        await running.hears_all()
        for script in ("kanmon-agent", "kanmon-hub", "kanmon-sim"):
            await running.kill(script)
            await running.hears_all()
        running.process.terminate()
        result = await running.balance()
    assert (result["missing"], result["duplicated"]) == (0, 0)
    assert running.process.returncode == 0
    assert result["restarts"] == 3
    assert result["emitted"] > 100
    assert result["stored"] > 60
    assert result["withheld"] > 0
    assert result["aggregated"] > 0
    parts = ("stored", "aggregated", "withheld", "in_gaps", "missing")
    assert result["emitted"] == sum(result[part] for part in parts)


async def test_a_run_of_some_seconds_shows_its_page_and_ends_by_itself(tmp_path: Path) -> None:
    async with demo(tmp_path, "--for", "6") as running:
        await until_ready(running)
        async with httpx.AsyncClient(base_url=running.address, trust_env=False) as client:
            page = await client.get("/")
        assert page.status_code == 200
        assert "text/html" in page.headers["content-type"]
        result = await running.balance()
    assert (result["missing"], result["duplicated"], result["restarts"]) == (0, 0, 0)
    assert running.process.returncode == 0


async def test_a_child_that_cannot_start_ends_the_demo_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "gateway").write_text("a file where the agent's state folder is to be")
    async with demo(tmp_path) as running:
        result = await running.balance()
    assert running.process.returncode == 1
    assert set(result) == {"error"}
    assert "agent ended 3 times (exit 1). Its last lines:" in str(result["error"])


async def test_a_hub_that_takes_no_gateway_ends_the_demo_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "hub").write_text("a file where the hub's state folder is to be")
    async with demo(tmp_path) as running:
        result = await running.balance()
    assert running.process.returncode == 1
    assert "kanmon-hub gateway add failed" in str(result["error"])


async def test_the_death_of_the_demo_ends_every_child(tmp_path: Path) -> None:
    async with demo(tmp_path) as running:
        await until_ready(running)
        pids = [running.child(script) for script in ("kanmon-agent", "kanmon-hub", "kanmon-sim")]
        assert None not in pids
        running.process.kill()
        await running.process.wait()
        await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


async def test_a_second_signal_ends_at_once_without_a_balance(tmp_path: Path) -> None:
    async with demo(tmp_path) as running:
        await until_ready(running)
        pids = [running.child(script) for script in ("kanmon-agent", "kanmon-hub", "kanmon-sim")]
        running.process.send_signal(signal.SIGINT)
        running.process.send_signal(signal.SIGTERM)
        result = await running.balance()
    assert running.process.returncode == 130
    assert set(result) == {"error"}
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
