"""Ports for the demo: those people know by default, free ones on request, and a clear word when one is taken."""

import socket
from contextlib import ExitStack
from dataclasses import dataclass

from contract.errors import KanmonError

HOST = "127.0.0.1"
HTTP_PORT, MQTT_PORT, NATS_PORT = 8080, 1883, 4222


class PortTaken(KanmonError):
    """Another program listens on a port that the demo was told to use."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the demo's processes listen on loopback."""

    http: int
    mqtt: int
    nats: int
    modbus: int


def choose(http: int) -> Ports:
    """The hub's page on `http`, MQTT and NATS on their usual ports, Modbus on a free one; all free ones when 0.

    Raises PortTaken.
    """
    wanted = (0, 0, 0) if http == 0 else (http, MQTT_PORT, NATS_PORT)
    # All are held until the last is known, so that no free port is given out twice.
    with ExitStack() as held:
        return Ports(*(_bind(held, port) for port in (*wanted, 0)))


def free(count: int) -> tuple[int, ...]:
    """So many ports that are free now, all different."""
    with ExitStack() as held:
        return tuple(_bind(held, 0) for _ in range(count))


def _bind(held: ExitStack, port: int) -> int:
    listener = held.enter_context(socket.socket())
    # As servers do: a connection of an earlier run that is still closing does not count as taken.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(1)
    except OSError as error:
        advice = "End the program that uses it, or let the demo choose free ports with --port 0"
        raise PortTaken(f"Port {port} cannot be used: {error.strerror}. {advice}.") from error
    return int(listener.getsockname()[1])
