"""Three real nats-server processes on loopback: JetStream, MQTT, one file of users, each to be killed and started."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
from nats.errors import Error as NatsError

from hub import leash
from hub.nats_server import executable
from support.processes import SCRIPTS, Process, free_ports
from support.waiting import until

NODES = 3
READY_LIMIT_S = 30.0


class Node(Process):
    """One server of the cluster; its files are in `folder`."""

    def __init__(self, folder: Path, number: int, ports: list[list[int]], users: Path) -> None:
        self.number = number
        self.nats_port, self.mqtt_port, self.route_port = ports[number]
        self.store = folder / f"store-{number}"
        settings = {
            "server_name": f"node-{number}",
            "host": "127.0.0.1",
            "port": self.nats_port,
            "max_payload": 4 * 2**20,
            "jetstream": {"store_dir": str(self.store), "max_file_store": 2**30, "max_memory_store": 2**26},
            "mqtt": {"host": "127.0.0.1", "port": self.mqtt_port, "stream_replicas": NODES},
            "cluster": {
                "name": "kanmon",
                "host": "127.0.0.1",
                "port": self.route_port,
                "routes": [f"nats-route://127.0.0.1:{route}" for _, _, route in ports],
            },
        }
        config = folder / f"node-{number}.conf"
        lines = [f"{name}: {json.dumps(value)}" for name, value in settings.items()]
        config.write_text("\n".join([*lines, f"include {users.name}", ""]))
        # On the leash, so that a run of tests that is killed leaves nobody behind.
        command = ["python", "-I", "-S", leash.__file__, str(os.getpid()), str(executable({})), "-c", str(config)]
        super().__init__(f"node-{number}", command, folder)
        assert (SCRIPTS / "python").exists()

    def reload(self) -> None:
        """Take the users' file as it is now."""
        os.kill(self.pid, signal.SIGHUP)


class Cluster:
    """The nodes, and how a hub and a gateway reach them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.users = folder / "users.conf"
        found = free_ports(3 * NODES)
        ports = [found[3 * number : 3 * number + 3] for number in range(NODES)]
        self.nodes = [Node(folder, number, ports, self.users) for number in range(NODES)]

    @property
    def urls(self) -> list[str]:
        return [f"nats://127.0.0.1:{node.nats_port}" for node in self.nodes]

    @property
    def mqtt_urls(self) -> list[str]:
        return [f"mqtt://127.0.0.1:{node.mqtt_port}" for node in self.nodes]

    def environment(self, password_file: Path) -> dict[str, str]:
        """What makes a hub process use the cluster."""
        return {
            "KANMON_NATS_URL": ",".join(self.urls),
            "KANMON_NATS_USER": "hub",
            "KANMON_NATS_PASSWORD_FILE": str(password_file),
        }

    async def is_ready(self, password: str) -> bool:
        """JetStream has a leader and answers through every node that runs."""
        try:
            for url in self.urls:
                client = await nats.connect(
                    url, user="hub", password=password, allow_reconnect=False, connect_timeout=1, error_cb=_ignored
                )
                try:
                    await client.jetstream(timeout=1).account_info()
                finally:
                    await client.close()
        except (NatsError, OSError, TimeoutError):
            return False
        return True


async def _ignored(error: Exception) -> None:
    del error


@asynccontextmanager
async def running_cluster(cluster: Cluster, password: str) -> AsyncIterator[None]:
    """The cluster for as long as this lasts; its file of users must be there."""
    try:
        await asyncio.gather(*(node.start() for node in cluster.nodes))
        await until(lambda: cluster.is_ready(password), READY_LIMIT_S)
        yield
    finally:
        for node in cluster.nodes:
            if node._child is not None:
                await node.kill()
