"""One MQTT connection to a hub's broker: the module that knows aiomqtt. Plain MQTT 3.1.1, QoS 1 up, QoS 0 down."""

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiomqtt
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from cloud_sync.link_settings import LinkSettings
from cloud_sync.topics import down_filter
from contract.errors import Unreachable
from contract.ids import GatewayId

MAX_UNACKNOWLEDGED = 128
"""More than all windows together: paho-mqtt's own default would let twenty data messages stand before an alert."""
SUBSCRIPTION_REFUSED = 0x80
"""MQTT 3.1.1, 3.9.3: the failure code of a SUBACK."""
INCOMING_LIMIT = 10_000
DEFAULT_PORT = 1883

_quiet = logging.getLogger("cloud_sync.mqtt")
_quiet.setLevel(logging.CRITICAL)
"""The library's own words hold a peer's bytes and know no limit; a loss is said by us, once."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a hub's broker listens and who the gateway is to it."""

    url: str
    gateway: GatewayId
    password: str = field(repr=False)


class Session:
    """A connection that is up. Every failure of it is Unreachable."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client

    async def publish(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 1 and wait for the broker's PUBACK, which says nothing of the hub's storage."""
        before = _cancellations()
        try:
            await self._client.publish(topic, payload, qos=1)
        except aiomqtt.MqttError as error:
            raise Unreachable(f"publish failed: {error}") from error
        _resume_cancellation(before)

    async def messages(self) -> AsyncIterator[tuple[str, bytes]]:
        """(topic, payload) of what the hub says, without end; Unreachable when the connection is lost."""
        try:
            async for message in self._client.messages:
                payload = message.payload
                yield str(message.topic), payload if isinstance(payload, bytes) else b""
        except aiomqtt.MqttError as error:
            raise Unreachable(f"connection lost: {error}") from error


@asynccontextmanager
async def connect(broker: Broker, settings: LinkSettings) -> AsyncIterator[Session]:
    """A session with the gateway's downward topics subscribed; Unreachable when the broker does not take it."""
    address = urlsplit(broker.url)
    place = f"{address.hostname}:{address.port or DEFAULT_PORT}"
    client = aiomqtt.Client(
        hostname=address.hostname or "",
        port=address.port or DEFAULT_PORT,
        username=broker.gateway,
        password=broker.password,
        identifier=broker.gateway,
        clean_session=True,
        keepalive=settings.keepalive_s,
        timeout=settings.publish_timeout_s,
        max_inflight_messages=MAX_UNACKNOWLEDGED,
        max_queued_incoming_messages=INCOMING_LIMIT,
        # Nagle's algorithm against delayed acknowledgement stalls a window of small messages by 40 ms.
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        logger=_quiet,
    )
    _watch_only_open_sockets(client)
    _end_at_what_is_no_mqtt(client)
    _end_at_a_close_before_the_answer(client)
    before = _cancellations()
    try:
        async with client:
            granted = await client.subscribe(down_filter(broker.gateway), qos=0)
            _resume_cancellation(before)
            if any((one.value if isinstance(one, ReasonCode) else one) >= SUBSCRIPTION_REFUSED for one in granted):
                raise Unreachable(f"{place}: the broker refuses to let {broker.gateway} hear its hub")
            yield Session(client)
    except aiomqtt.MqttError as error:
        raise Unreachable(f"{place}: {error}") from error
    finally:
        _close(client._client)


def _close(paho: Any) -> None:
    """Close the socket, which aiomqtt leaves open when a connection is cancelled or runs into its time-out."""
    paho._sock_close()


class _InTurn:
    """The event loop as aiomqtt sees it: what it asks for from the loop's own thread is done at once.

    By itself it asks for a socket to be watched in the loop's next turn. A connection that is closed before that leaves
    a number that is no socket, which is a traceback, or already another's, whose events then wake the wrong one for
    ever.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __getattr__(self, name: str) -> object:
        return getattr(self._loop, name)

    def call_soon_threadsafe(self, callback: Callable[..., object], *arguments: object) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # from the thread in which the connection is made
            self._loop.call_soon_threadsafe(self._unless_closed, callback, *arguments)
        else:
            callback(*arguments)

    @staticmethod
    def _unless_closed(callback: Callable[..., object], *arguments: object) -> None:
        with suppress(OSError):
            callback(*arguments)


def _watch_only_open_sockets(client: Any) -> None:
    client._loop = _InTurn(asyncio.get_running_loop())


def _end_at_what_is_no_mqtt(client: aiomqtt.Client) -> None:
    """Let a packet that paho-mqtt cannot read end the connection.

    By itself it raises into the event loop and keeps the packet, to fail on it again at once: a busy loop that logged
    two megabytes a second until the keepalive ran out. Neither library offers another way in.
    """
    paho: Any = client._client
    read = paho._packet_read

    def packet_read() -> MQTTErrorCode:
        try:
            code: MQTTErrorCode = read()
        except (ValueError, LookupError, TypeError, AttributeError, struct.error):
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        return code

    paho._packet_read = packet_read


def _end_at_a_close_before_the_answer(client: aiomqtt.Client) -> None:
    """Let a connection that is closed before its CONNACK or SUBACK fail at once.

    The library would wait its whole time-out for an answer that cannot come, while a forwarder or load balancer, which
    takes connections and closes them until the broker behind it is back, has long been ready.
    """
    told = client._client.on_disconnect

    def on_disconnect(*arguments: Any) -> None:
        answers: list[asyncio.Future[Any]] = [client._connected, *client._pending_subscribes.values()]
        for answer in answers:
            if not answer.done():
                answer.set_exception(aiomqtt.MqttError("closed before the answer"))
        if told is not None and not client._connected.cancelled():
            told(*arguments)
        for answer in (*answers, client._disconnected):
            if answer.done() and not answer.cancelled():
                answer.exception()  # asked for here, since asyncio logs what nobody came to ask for

    client._client.on_disconnect = on_disconnect


def _cancellations() -> int:
    """How often this task was asked to end. A TaskGroup of Python 3.11 leaves one behind when a child fails late."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _resume_cancellation(before: int) -> None:
    """Raise CancelledError when this task was cancelled since and asyncio.wait_for swallowed that (Python 3.11)."""
    if _cancellations() > before:
        raise asyncio.CancelledError
