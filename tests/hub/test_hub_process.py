"""The hub as a process: killed, started twice, stopped, refused a port or a folder."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from cloud_sync import topics
from cloud_sync.envelope import decode_receipt
from contract.ids import GatewayId
from contract.record import Stream
from support.gateway_traffic import GATEWAY, levels
from support.running_hub import HubProgram, gateway_client, hub_program, start_program
from support.waiting import until

EVENTS = "/events?page=overview"


async def stored(hub: HubProgram) -> list[float]:
    values, cursor = [], None
    async with hub.client() as client:
        while True:
            query = {"device": "river-1", "limit": 10000} | ({"cursor": cursor} if cursor else {})
            answer = (await client.get("/api/v1/readings", params=query)).json()
            values += [item["value"] for item in answer["items"]]
            cursor = answer["next"]
            if cursor is None:
                return values


def is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


class Sender:
    """A gateway's duty in few lines: send until receipted, again after every loss."""

    def __init__(self) -> None:
        self.waiting: dict[int, bytes] = {}
        self.receipted: set[int] = set()
        self.made = 0

    async def run(self, root: Path, mqtt_port: int, makes_more: bool) -> None:
        """Send what waits, then ever more; without `makes_more` return once everything is receipted."""
        async with gateway_client(root, GATEWAY, mqtt_port) as client, asyncio.TaskGroup() as tasks:
            await client.subscribe(topics.down_filter(GATEWAY))
            tasks.create_task(self._send(client, makes_more))
            while self.waiting or makes_more:
                for range_ in decode_receipt(bytes((await anext(client.messages)).payload)).ranges:
                    self.waiting.pop(range_.first, None)
                    self.receipted.update(range(range_.first, range_.last + 1))

    async def _send(self, client: aiomqtt.Client, makes_more: bool) -> None:
        for payload in list(self.waiting.values()):
            await client.publish(topics.up(GATEWAY, Stream.DATA), payload, qos=1)
        while makes_more:
            first = self.made + 1
            self.made += 10
            self.waiting[first] = levels(first, 10)
            await client.publish(topics.up(GATEWAY, Stream.DATA), self.waiting[first], qos=1)


async def test_a_hub_killed_while_it_ingests_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """What was receipted is in the database after the kill; in the end each record is there once."""
    sender = Sender()
    for _ in range(3):
        async with hub_program(tmp_path) as hub:
            assert sender.receipted <= {int(value) for value in await stored(hub)}
            enough = len(sender.receipted) + 300
            sending = asyncio.create_task(sender.run(tmp_path, hub.said["mqtt"], makes_more=True))
            await until(lambda least=enough: len(sender.receipted) >= least, 20)
            await hub.kill()
            sending.cancel()
            await asyncio.wait([sending])
    async with hub_program(tmp_path) as hub:
        assert sender.receipted <= {int(value) for value in await stored(hub)}
        await asyncio.wait_for(sender.run(tmp_path, hub.said["mqtt"], makes_more=False), 30)
        assert await stored(hub) == [float(n) for n in range(1, sender.made + 1)]


async def test_the_broker_does_not_outlive_a_killed_hub(tmp_path: Path) -> None:
    async with hub_program(tmp_path) as hub:
        pid = int((tmp_path / "nats" / "nats.pid").read_text())
        assert is_running(pid)
        await hub.kill()
        await until(lambda: not is_running(pid), 10)


async def test_a_broker_left_behind_is_ended_before_a_new_one_opens_its_store(tmp_path: Path) -> None:
    """As after a hub whose leash failed: the same configuration, started by nobody that lives."""
    async with hub_program(tmp_path) as hub:
        program = os.readlink(f"/proc/{int((tmp_path / 'nats' / 'nats.pid').read_text())}/exe")
        ports = ("--mqtt-port", str(hub.said["mqtt"]), "--nats-port", str(hub.said["nats"]), "--http-port", "0")
        hub.process.terminate()
        await hub.process.wait()
    nats = tmp_path / "nats"
    command = (program, "-c", str(nats / "nats.conf"), "-P", str(nats / "nats.pid"))
    orphan = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    try:
        await until(lambda: (nats / "nats.pid").exists() and (nats / "nats.pid").read_text().strip() == str(orphan.pid))
        async with hub_program(tmp_path, *ports) as hub:
            assert orphan.returncode is not None or await asyncio.wait_for(orphan.wait(), 5) is not None
            assert await stored(hub) == []
    finally:
        if orphan.returncode is None:
            orphan.kill()
            await orphan.wait()


async def test_a_process_that_took_the_pid_of_a_dead_broker_is_left_alone(tmp_path: Path) -> None:
    bystander = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        (tmp_path / "nats").mkdir()
        (tmp_path / "nats" / "nats.pid").write_text(str(bystander.pid))
        async with hub_program(tmp_path):
            assert bystander.returncode is None
    finally:
        bystander.kill()
        await bystander.wait()


async def fails(root: Path, *ports: str) -> tuple[int | None, str]:
    process = await start_program(root, *ports)
    out, err = await asyncio.wait_for(process.communicate(), 20)
    assert out == b""
    return process.returncode, err.decode()


async def test_a_second_hub_on_the_same_folder_is_refused_in_one_sentence(tmp_path: Path) -> None:
    async with hub_program(tmp_path) as hub:
        code, said = await fails(tmp_path)
        assert (code, said.count("\n")) == (1, 1)
        assert "another hub is running" in said
        assert await stored(hub) == []
        assert (tmp_path / "running.json").exists()


@pytest.mark.parametrize("which", ["http", "mqtt", "nats"])
async def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path, which: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = {"http": 0, "mqtt": 0, "nats": 0} | {which: taken.getsockname()[1]}
        code, said = await fails(
            tmp_path, *(word for name, port in ports.items() for word in (f"--{name}-port", str(port)))
        )
    assert (code, said.count("\n")) == (1, 1)
    assert f"{which.upper()} port" in said


async def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    code, said = await fails(tmp_path / "file" / "state")
    assert (code, said.count("\n")) == (1, 1)
    assert "cannot be written" in said


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_hub_and_broker_within_two_seconds(tmp_path: Path, sign: signal.Signals) -> None:
    async with hub_program(tmp_path) as hub:
        pid = int((tmp_path / "nats" / "nats.pid").read_text())
        async with gateway_client(tmp_path, GATEWAY, hub.said["mqtt"]), hub.client() as client:
            await client.get("/api/v1/health")
            loop = asyncio.get_running_loop()
            start = loop.time()
            hub.process.send_signal(sign)
            assert await asyncio.wait_for(hub.process.wait(), 10) == 0
            assert loop.time() - start < 2
        assert not is_running(pid)
        assert not (tmp_path / "running.json").exists()


async def test_nothing_in_the_state_folder_is_for_others_to_read(tmp_path: Path) -> None:
    async with hub_program(tmp_path) as hub, gateway_client(tmp_path, GATEWAY, hub.said["mqtt"]):
        assert tmp_path.stat().st_mode & 0o077 == 0 or tmp_path.parent.stat().st_mode & 0o077 == 0
        secret = [*tmp_path.glob("credentials/*"), *tmp_path.glob("nats/*.conf"), *tmp_path.glob("hub.sqlite*")]
        assert len(secret) >= 6
        assert {path.name: path.stat().st_mode & 0o077 for path in secret if path.stat().st_mode & 0o077} == {}


async def add(root: Path, *names: str) -> tuple[int | None, dict[str, Any]]:
    arguments = ("gateway", "add", *names, "--state", str(root), "--json")
    pipe = asyncio.subprocess.PIPE
    program = Path(sys.executable).with_name("kanmon-hub")
    process = await asyncio.create_subprocess_exec(str(program), *arguments, stdout=pipe)
    out, _ = await process.communicate()
    return process.returncode, json.loads(out)


async def test_gateway_add_tells_where_the_password_lies(tmp_path: Path) -> None:
    code, said = await add(tmp_path, "gw-karato")
    ((gateway, is_told),) = [(one, said["hub_told"]) for one in said["gateways"]]
    assert (code, gateway["is_new"], is_told) == (0, True, False)
    path = Path(gateway["password_file"])
    assert path == tmp_path / "credentials" / "gw-karato.password"
    password = path.read_text()
    assert len(password) >= 40
    code, said = await add(tmp_path, "gw-karato")
    assert (code, said["gateways"][0]["is_new"], path.read_text()) == (0, False, password)
    for wrong in ("hub", "../x", "GW", ""):
        code, said = await add(tmp_path, "gw-new", wrong)
        assert code == 2
        assert set(said) == {"error"}
    assert not (tmp_path / "credentials" / "gw-new.password").exists(), "all or none"


async def test_a_thousand_gateways_are_added_at_once(tmp_path: Path) -> None:
    """One file of users, one word to the server, and each may connect."""
    async with hub_program(tmp_path) as hub:
        names = [f"gw-{n}" for n in range(1000)]
        code, said = await add(tmp_path, *names)
        assert (code, said["hub_told"]) == (0, True)
        assert [one["gateway"] for one in said["gateways"]] == names
        for name in ("gw-0", "gw-999"):
            async with gateway_client(tmp_path, GatewayId(name), hub.said["mqtt"]):
                pass


async def test_who_may_connect_is_written_for_the_servers_of_a_cluster(tmp_path: Path) -> None:
    """The block that a cluster includes is the one the embedded server runs with, for its owner's eyes only."""
    users = tmp_path / "users.conf"
    code = await asyncio.to_thread(
        kanmon_hub, "gateway", "add", "gw-1", "--state", tmp_path / "s", "--nats-users", users
    )
    assert code == 0
    assert users.read_text() == (tmp_path / "s" / "nats" / "users.conf").read_text()
    assert '"user": "gw-1"' in users.read_text()
    assert users.stat().st_mode & 0o077 == 0
    nowhere = tmp_path / "nowhere" / "users.conf"
    assert (
        await asyncio.to_thread(
            kanmon_hub, "gateway", "add", "gw-1", "--state", tmp_path / "s", "--nats-users", nowhere
        )
        == 2
    )


def kanmon_hub(*arguments: object) -> int:
    command = [str(Path(sys.executable).with_name("kanmon-hub")), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode


async def test_an_open_event_stream_does_not_hold_the_hub_up(tmp_path: Path) -> None:
    async with hub_program(tmp_path) as hub, hub.client() as client, client.stream("GET", EVENTS) as stream:
        assert stream.status_code == 200
        loop = asyncio.get_running_loop()
        start = loop.time()
        hub.process.terminate()
        assert await asyncio.wait_for(hub.process.wait(), 10) == 0
        assert loop.time() - start < 2


async def test_a_name_that_merely_points_to_loopback_is_refused(tmp_path: Path) -> None:
    """A page elsewhere cannot make a browser here read the hub under its own name."""
    async with hub_program(tmp_path) as hub, hub.client() as client:
        for host, status in (("127.0.0.1", 200), ("localhost", 200), ("evil.example", 400)):
            answer = await client.get("/api/v1/health", headers={"Host": f"{host}:{hub.said['http']}"})
            assert answer.status_code == status
