"""Children are started again when they die, stopped in order, and never outlive their parent."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from firmware_sim import children as children_module
from firmware_sim.children import ChildFailed, Children, Command
from support.waiting import until

SLEEPER = "import signal; print('up', flush=True); signal.pause()"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile True: signal.pause()"
)
PARENT = """
import asyncio, pathlib, sys
from firmware_sim.children import Children, Command
async def main():
    async with Children(pathlib.Path(sys.argv[1]), print) as children, asyncio.TaskGroup() as group:
        child = children.start(Command("sleeper", (sys.executable, "-c", sys.argv[2])), group)
        while child.pid is None or b"up" not in (pathlib.Path(sys.argv[1]) / "sleeper.log").read_bytes():
            await asyncio.sleep(0.01)
        print(child.pid, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


def python(name: str, code: str) -> Command:
    return Command(name, (sys.executable, "-c", code), {"KANMON_CHILD": name})


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children_module, "RESTART_AFTER_S", 0.05)


async def test_a_killed_child_is_started_again_however_often(tmp_path: Path) -> None:
    restarted: list[str] = []
    async with Children(tmp_path, restarted.append) as children, asyncio.TaskGroup() as group:
        child = children.start(python("sleeper", SLEEPER), group)
        for deaths in range(1, 5):
            await until(lambda: child.pid)
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
            await until(lambda deaths=deaths: child.restarts == deaths)
        await children.stop("sleeper")
    assert restarted == ["sleeper"] * 4
    assert child.pid is None
    assert children.restarts == 4


async def test_a_child_that_cannot_start_ends_the_run_with_its_last_lines(tmp_path: Path) -> None:
    async with Children(tmp_path, lambda _: None) as children:
        with pytest.RaisesGroup(pytest.RaisesExc(ChildFailed, match=r"broken ended 3 times \(exit 3\).*\nno port 3")):
            async with asyncio.TaskGroup() as group:
                children.start(python("broken", "print('no port', 3); exit(3)"), group)
                await asyncio.Event().wait()


async def test_leaving_stops_all_in_order_and_kills_who_does_not_listen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children_module, "STOP_LIMIT_S", 0.2)

    async def crash(children: Children) -> None:
        async with asyncio.TaskGroup() as group:
            children.start(python("stubborn", STUBBORN), group)
            children.start(python("sleeper", SLEEPER), group)
            logs = (tmp_path / "stubborn.log", tmp_path / "sleeper.log")
            await until(lambda: all(log.exists() and b"up" in log.read_bytes() for log in logs))
            raise ConnectionError

    async with Children(tmp_path, lambda _: None) as children:
        with pytest.raises(ExceptionGroup):
            await crash(children)
        assert children["stubborn"].pid
        assert children["sleeper"].pid
    assert children["stubborn"].exit_code == -signal.SIGKILL
    assert children["sleeper"].exit_code == -signal.SIGTERM


async def test_a_child_waiting_for_its_restart_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children_module, "RESTART_AFTER_S", 3600.0)
    async with Children(tmp_path, lambda _: None) as children, asyncio.TaskGroup() as group:
        child = children.start(python("brief", "exit(1)"), group)
        await until(lambda: (tmp_path / "brief.log").exists() and child.exit_code is not None)
        await children.stop("brief")


async def test_children_die_with_their_parent_and_ignore_its_ctrl_c(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT, str(tmp_path), SLEEPER), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert os.getpgid(pid) == pid
    parent.kill()
    await parent.wait()
    await until(lambda: not is_alive(pid))


async def test_a_child_that_was_killed_stays_dead_until_it_is_let_go(tmp_path: Path) -> None:
    async with Children(tmp_path, lambda _: None) as children, asyncio.TaskGroup() as group:
        child = children.start(python("sleeper", SLEEPER), group)
        await until(child.is_alive)
        async with child.killed():
            assert not child.is_alive()
            with pytest.raises(AssertionError, match="not met"):
                await until(child.is_alive, 5 * children_module.RESTART_AFTER_S)
        await until(child.is_alive)
        assert child.restarts == 1
        await children.stop("sleeper")
