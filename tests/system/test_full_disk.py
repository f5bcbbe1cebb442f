"""A disk that takes nothing, under the real agent and the real hub: said once, nothing lost, on again with room.

A limit on the size of files (RLIMIT_FSIZE), set on a process that runs, makes every write beyond it fail as on a full
disk: it needs no root and no file system of its own.
"""

import asyncio
import json
import resource
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from support.counting_station import SETTINGS, CountingLine, counting_station
from support.processes import Gateway, Hub, Process, running
from support.waiting import until

FULL_BYTES = 3000
"""More than the log of a short run, less than one page of a database in its journal."""


def set_full(process: Process, is_full: bool) -> None:
    """No file of `process` may grow beyond FULL_BYTES, or all may again."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (FULL_BYTES if is_full else hard, hard))


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[CountingLine]:
    station, counting = counting_station(tmp_path, 0.02)
    hub = Hub(tmp_path)
    async with AsyncExitStack() as stack:
        await station.start()
        stack.push_async_callback(station.stop)
        await stack.enter_async_context(running(hub))
        password = await hub.add_gateway("gw-1")
        gateway = Gateway(tmp_path, SETTINGS.format(port=hub.mqtt_port, password=password, modbus=station.port))
        await stack.enter_async_context(running(gateway))
        line = CountingLine(hub, gateway, counting)
        await line.all_arrive()
        yield line


async def waits_at_most(line: CountingLine, records: int) -> bool:
    return (await line.gateway.status())["outbox"]["data"] <= records


async def polled(line: CountingLine, times: int) -> None:
    count = line.counting.count
    await until(lambda: line.counting.count >= count + times, 30)


async def test_an_agent_whose_disk_is_full_waits_and_loses_nothing(line: CountingLine) -> None:
    """Receipts that come meanwhile cannot be noted either: what they name is sent again and not stored again."""
    set_full(line.gateway, True)
    await until(lambda: "the disk takes nothing" in line.gateway.log.read_text(), 10)
    await polled(line, 100)
    assert (await line.gateway.status())["outbox"]["data"] >= 80
    set_full(line.gateway, False)
    await until(lambda: "takes data again" in line.gateway.log.read_text(), 20)
    await line.all_arrive()
    await until(lambda: waits_at_most(line, 50), 20)
    said = line.gateway.log.read_text()
    assert said.count("the disk takes nothing") == 1
    assert "Traceback" not in said


async def test_an_agent_killed_while_its_disk_is_full_declares_what_it_lost(line: CountingLine) -> None:
    set_full(line.gateway, True)
    await until(lambda: "the disk takes nothing" in line.gateway.log.read_text(), 10)
    lost_from = line.counting.count
    await polled(line, 50)
    await line.gateway.kill()
    lost_to = line.counting.count
    await line.gateway.start()

    async def goes_on() -> bool:
        return (await line.stored())[-1] > lost_to

    await until(goes_on, 30)
    stored = await line.stored()
    assert stored == sorted(set(stored))
    assert not set(range(lost_from + 10, lost_to - 1)) & set(stored)
    rows = await line.hub.items("/api/v1/readings", device="river-1", limit=10000)
    before = max(row["at"] for row in rows if row["value"] <= lost_from)
    after = min(row["at"] for row in rows if row["value"] > lost_to)
    gaps = await line.hub.items("/api/v1/gaps")
    assert [gap for gap in gaps if gap["start"] <= before and gap["end"] >= after], gaps


async def test_a_full_disk_does_not_hold_up_a_clean_end(line: CountingLine) -> None:
    set_full(line.gateway, True)
    await until(lambda: "the disk takes nothing" in line.gateway.log.read_text(), 10)
    assert await line.gateway.stop() == 0


async def test_a_hub_whose_disk_is_full_waits_and_loses_nothing(line: CountingLine) -> None:
    set_full(line.hub, True)
    await until(lambda: "wait in the broker" in line.hub.log.read_text(), 10)
    await polled(line, 100)
    assert await line.hub.answers(), "the hub no longer answers from what it has"
    assert (await line.gateway.status())["outbox"]["data"] >= 50, "receipted without having been stored"
    set_full(line.hub, False)
    await until(lambda: "can be written again" in line.hub.log.read_text(), 20)
    await line.all_arrive()
    said = line.hub.log.read_text()
    assert said.count("wait in the broker") == 1
    assert "Traceback" not in said


async def test_a_second_agent_on_the_folder_is_one_sentence(line: CountingLine) -> None:
    code, out, err = await run_agent(line.gateway, line.gateway.state)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "another kanmon-agent runs" in err
    await line.all_arrive()


@pytest.mark.parametrize("in_the_way", ["outbox.db", "consent.db", "keys", "lock", "control.sock", "."])
async def test_a_state_that_cannot_be_written_is_one_sentence(tmp_path: Path, in_the_way: str) -> None:
    """Something else is where a file or folder should be; root may write anywhere, so that modes would not do."""
    (tmp_path / "password").touch(0o600)
    (tmp_path / "password").write_text("x")
    counting_station(tmp_path, 1.0)
    gateway = Gateway(tmp_path, SETTINGS.format(port=1, password=tmp_path / "password", modbus=1))
    state = tmp_path / "other"
    if in_the_way == ".":
        state.write_text("a file")
    elif in_the_way == "keys":
        state.mkdir()
        (state / "keys").write_text("a file")
    else:
        (state / in_the_way).mkdir(parents=True)
    code, out, err = await run_agent(gateway, state, "--json")
    assert (code, err.count("\n")) == (1, 1), err
    assert str(state) in err or in_the_way in err
    assert json.loads(out)["error"]["text"] == err.strip()


async def run_agent(gateway: Gateway, state: Path, *more: str) -> tuple[int | None, str, str]:
    """What an agent with the same settings on `state` says until it ends by itself."""
    pipe = asyncio.subprocess.PIPE
    command = [*gateway.arguments[:-1], str(state), *more]
    child = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    try:
        out, err = await asyncio.wait_for(child.communicate(), 20)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return child.returncode, out.decode(), err.decode()
