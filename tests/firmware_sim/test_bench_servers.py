"""The servers that benches start for themselves: real ones, which answer, die and come back."""

import asyncio
import shutil
import signal
from pathlib import Path

import pytest

from contract.errors import Misconfigured
from firmware_sim import nats_nodes, ports
from firmware_sim.children import Children
from firmware_sim.postgres_server import postgres_files
from firmware_sim.repeater import all_answer
from support.postgres import programs
from support.waiting import until

LIMIT_S = 60.0


@pytest.mark.skipif(programs() is None, reason="PostgreSQL 15 or newer is not installed: sudo apt install postgresql")
async def test_postgres_answers_and_comes_back_after_a_kill(tmp_path: Path) -> None:
    async with (
        postgres_files(*ports.free(1)) as server,
        Children(tmp_path, lambda _: None) as children,
        asyncio.TaskGroup() as group,
    ):
        child = children.start(server.command, group)
        await until(server.is_up, LIMIT_S)
        child.send(signal.SIGKILL)
        await until(lambda: child.restarts > 0, LIMIT_S)
        await until(server.is_up, LIMIT_S)
        await children.stop("postgres")
    assert not server.folder.exists()


async def test_three_nodes_are_one_cluster_and_answer_without_one_of_them(tmp_path: Path) -> None:
    users = tmp_path / "users.conf"
    users.write_text('authorization { users: [{ user: hub, password: "secret" }] }\n')
    nodes = nats_nodes.nodes(tmp_path)
    async with Children(tmp_path / "logs", lambda _: None) as children, asyncio.TaskGroup() as group:
        for node in nodes:
            children.start(nats_nodes.command(node, nodes, users), group)
        await until(lambda: all_answer([node.url for node in nodes], "hub", "secret"), LIMIT_S)
        async with children["nats-2"].killed():
            shutil.rmtree(nodes[1].store)
            await until(lambda: all_answer([nodes[0].url, nodes[2].url], "hub", "secret"), LIMIT_S)
        await until(lambda: all_answer([node.url for node in nodes], "hub", "secret"), LIMIT_S)
        await children.stop(*(node.name for node in nodes))


def test_a_missing_program_is_one_clear_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KANMON_NATS_SERVER", str(tmp_path / "nowhere"))
    nodes = nats_nodes.nodes(tmp_path)
    with pytest.raises(Misconfigured, match="the broker's program is missing"):
        nats_nodes.command(nodes[0], nodes, tmp_path / "users.conf")
