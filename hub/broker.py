"""The hub's module that knows NATS: takes upward messages durably, publishes downward, relays announcements.

A message is taken with `messages`, and taken for good only by `acknowledge`: until then the server delivers it again,
to this hub or the next one. Library errors leave as Unreachable.
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from cloud_sync.topics import STREAM_SUBJECTS
from contract.errors import Unreachable

STREAM = "KANMON_UP"
CONSUMER = "ingest"
STREAM_BYTES = 2**30
ACK_WAIT_S = 5.0
"""After this long without acknowledgement a message is delivered again: many times the longest commit."""

_PULL_MESSAGES = 256
_PULL_BYTES = 16 * 2**20
_PULL_EXPIRES_S = 5.0
_PULL_GRACE_S = 1.0
"""How much later than its end a pull that nobody answered counts as lost with its connection."""
_CONNECT_LIMIT_S = 15.0
_CLOSE_LIMIT_S = 0.5
_RECONNECT_S = 0.2
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Access:
    """Where the server is and who asks."""

    url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    """One upward message, still to be acknowledged."""

    subject: str
    payload: bytes
    reply: str


class Broker:
    """A connection to the server, made again by itself whenever it is lost."""

    def __init__(self, client: Client, inbox: str) -> None:
        self._client = client
        self._inbox = inbox
        self._waiting: deque[Message] = deque()
        self._stirred = asyncio.Event()
        self._owed = 0
        """Messages the server may still send for what was asked."""

    async def messages(self) -> list[Message]:
        """The messages that wait, oldest first, at least one. Asks for more meanwhile; Unreachable while cut off."""
        while not self._waiting:
            if self._owed <= 0:
                await self._ask()
            self._stirred.clear()
            try:
                async with asyncio.timeout(_PULL_EXPIRES_S + _PULL_GRACE_S):
                    await self._stirred.wait()
            except TimeoutError:
                self._owed = 0
        if self._owed < _PULL_MESSAGES // 2:
            with suppress(Unreachable):
                await self._ask()
        taken = list(self._waiting)
        self._waiting.clear()
        return taken

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        """Tell the server that it need not keep `messages`; Unreachable means that they will come again."""
        with _translated():
            for message in messages:
                await self._client.publish(message.reply, b"+ACK")

    async def publish(self, subject: str, payload: bytes) -> None:
        """Say `payload` to whoever listens now; Unreachable while cut off."""
        with _translated():
            await self._client.publish(subject, payload)

    async def listen(self, subject: str, heard: Callable[[bytes], None]) -> None:
        """Call `heard` with each message on `subject` from now on."""

        async def _heard(message: Msg) -> None:
            heard(message.data)

        with _translated():
            await self._client.subscribe(subject, cb=_heard)

    async def _ask(self) -> None:
        request = {"batch": _PULL_MESSAGES, "max_bytes": _PULL_BYTES, "expires": int(_PULL_EXPIRES_S * 1e9)}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{CONSUMER}"
        with _translated():
            await self._client.publish(subject, json.dumps(request).encode(), reply=self._inbox)
        self._owed += _PULL_MESSAGES

    async def received(self, message: Msg) -> None:
        """Take a message, or the server's word that a pull has ended."""
        if message.headers and "Status" in message.headers:
            # Without the count the pull ended early and for good, as when the consumer was made anew.
            self._owed -= int(message.headers.get("Nats-Pending-Messages", str(self._owed)))
        else:
            self._owed -= 1
            self._waiting.append(Message(message.subject, message.data, message.reply))
        self._stirred.set()

    def forget_pulls(self) -> None:
        """Ask anew: pulls do not outlive the connection they were made on."""
        self._owed = 0
        self._stirred.set()


@asynccontextmanager
async def connected(access: Access) -> AsyncIterator[Broker]:
    """The broker, its stream and consumer made when they are new; Unreachable after 15 s without an answer."""
    client = Client()
    broker = Broker(client, client.new_inbox())
    try:
        try:
            async with asyncio.timeout(_CONNECT_LIMIT_S):
                await _connect(client, access, broker)
                await _ensure_stream(client)
                await client.subscribe(broker._inbox, cb=broker.received)
        except (NatsError, OSError, TimeoutError) as error:
            raise Unreachable(f"the broker does not answer ({type(error).__name__}: {error})") from error
        yield broker
    finally:
        # What was not sent has its own repetition; a dead server must not hold the hub up.
        with suppress(NatsError, OSError, TimeoutError):
            async with asyncio.timeout(_CLOSE_LIMIT_S):
                await client.flush()
        with suppress(NatsError, OSError, TimeoutError):
            async with asyncio.timeout(_CLOSE_LIMIT_S):
                await client.close()


async def _connect(client: Client, access: Access, broker: Broker) -> None:
    async def lost() -> None:
        # Also called, more than once, while we close the connection ourselves.
        if client.is_reconnecting:
            _log.warning("the broker is lost")

    async def back() -> None:
        _log.warning("the broker is back")
        broker.forget_pulls()

    async def failed(error: Exception) -> None:
        # Each attempt to reconnect ends here; that the broker is lost was said once.
        _log.debug("broker: %s: %s", type(error).__name__, error)

    await client.connect(
        access.url,
        user=access.user,
        password=access.password,
        name="kanmon-hub",
        max_reconnect_attempts=-1,
        reconnect_time_wait=_RECONNECT_S,  # type: ignore[arg-type]  # it is slept for: a float will do
        disconnected_cb=lost,
        reconnected_cb=back,
        error_cb=failed,
    )


async def _ensure_stream(client: Client) -> None:
    """The stream that captures every upward message and the durable consumer that hubs share."""
    jetstream = client.jetstream()
    await jetstream.add_stream(
        StreamConfig(
            name=STREAM,
            subjects=[STREAM_SUBJECTS],
            retention=RetentionPolicy.WORK_QUEUE,
            storage=StorageType.FILE,
            max_bytes=STREAM_BYTES,
            # What falls out was not receipted: the gateway sends it again.
            discard=DiscardPolicy.OLD,
        )
    )
    await jetstream.add_consumer(
        STREAM,
        ConsumerConfig(
            durable_name=CONSUMER,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_S,
            max_ack_pending=8 * _PULL_MESSAGES,
        ),
    )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (NatsError, OSError) as error:
        raise Unreachable(f"the broker is lost ({type(error).__name__})") from error
