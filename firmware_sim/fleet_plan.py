"""Who is in a fleet, and what may strike it. Imports nothing heavy: the command names these before it runs."""

from collections.abc import Iterator
from enum import StrEnum

from contract.ids import GatewayId


class Storm(StrEnum):
    """What cuts every gateway at once."""

    NONE = "none"
    HUB = "hub"
    """SIGKILL of the hub; its broker dies with it, and it is started again after 1 s."""
    BROKER = "broker"
    """SIGKILL of nats-server; its hub starts it again."""
    LINK = "link"
    """Every connection is reset by a proxy; new ones are taken at once."""


def names(count: int) -> Iterator[GatewayId]:
    """The gateways of a fleet of `count`: fleet-0001 and so on."""
    for number in range(1, count + 1):
        yield GatewayId(f"fleet-{number:04}")
