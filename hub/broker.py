"""The hub's module that knows NATS: takes upward messages durably, publishes downward, relays announcements.

A message is taken with `Upward.take`, and taken for good only by `acknowledge`: until then the server delivers it
again, to this process or the next one, unless `hold` says that it is still in the works. Library errors leave as
Unreachable.
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from cloud_sync.topics import STREAM_SUBJECTS
from contract.errors import Unreachable
from hub.environment import Access, masked

STREAM = "KANMON_UP"
CONSUMER = "ingest"
_HOLDS = 3
"""Words about what is in the works in the time after which it would be delivered again."""
_PULL_MESSAGES = 256
_PULL_BYTES = 16 * 2**20
_PULL_EXPIRES_S = 10.0
_HEARTBEAT_S = 1.0
_SILENCE_S = 3 * _HEARTBEAT_S
"""A pull of which nothing is heard for this long was lost with its connection or its server."""
_CONNECT_LIMIT_S = 15.0
_ENSURE_LIMIT_S = 5.0
_ENSURE_PAUSE_S = 0.5
_CLOSE_LIMIT_S = 0.5
_RECONNECT_S = 0.2
_PING_S = 5
"""With two unanswered pings a connection counts as dead: a server whose machine is gone says no goodbye."""
_HEARTBEAT, _NO_RESPONDERS, _ENDED_EARLY = "100", "503", "409"  # NATS ADR-1, ADR-13
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Keeping:
    """How the server keeps what waits: on how many servers of a cluster, and how much of it."""

    replicas: int = 1
    stream_bytes: int = 2**30
    ack_wait_s: float = 5.0
    """A message of which nothing is heard for this long is delivered again: its process has died or hangs."""


@dataclass(frozen=True, slots=True)
class Message:
    """One upward message, still to be acknowledged."""

    subject: str
    payload: bytes
    reply: str


class Broker:
    """A connection to the server or cluster, made again by itself whenever it is lost."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._back: list[Callable[[], None]] = []

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

    @asynccontextmanager
    async def upward(self, keeping: Keeping) -> AsyncIterator["Upward"]:
        """What gateways send, captured in a stream that is kept as `keeping` says; see `Upward.ensure`."""
        upward = Upward(self._client, self._client.new_inbox(), keeping)
        with _translated():
            listening = await self._client.subscribe(upward.inbox, cb=upward.received)
        self._back.append(upward.forget_pulls)
        try:
            yield upward
        finally:
            self._back.remove(upward.forget_pulls)
            with suppress(NatsError, OSError, TimeoutError):
                async with asyncio.timeout(_CLOSE_LIMIT_S):
                    await listening.unsubscribe()

    async def lost(self) -> None:
        """Say that the connection is lost. Also called, more than once, while we close it ourselves."""
        if self._client.is_reconnecting:
            _log.warning("the broker is lost")

    async def back(self) -> None:
        """Say that it is back; what was asked on the old connection is asked anew."""
        _log.warning("the broker is back")
        for told in self._back:
            told()


class Upward:
    """The upward messages, shared by any number of workers here and in other processes."""

    def __init__(self, client: Client, inbox: str, keeping: Keeping) -> None:
        self.inbox = inbox
        self._client = client
        self._keeping = keeping
        self._waiting: deque[Message] = deque()
        self._held: dict[str, float] = {}
        """Replies of messages taken or waiting here, with the time of our last word about each."""
        self._stirred = asyncio.Event()
        self._owed = 0
        """Messages the server may still send for what was asked."""
        self._is_missing = False
        self._ensuring = asyncio.Lock()
        self._ensured_at = float("-inf")

    async def ensure(self) -> bool:
        """Make stream and consumer where they are missing or differ; returns whether the stream was missing.

        Raises Unreachable when the server cannot do it now, as a cluster without a majority.
        """
        jetstream = self._client.jetstream(timeout=_ENSURE_LIMIT_S)
        with _translated():
            was_missing = await _ensure_stream(jetstream, self._keeping)
            await jetstream.add_consumer(
                STREAM,
                ConsumerConfig(
                    durable_name=CONSUMER,
                    ack_policy=AckPolicy.EXPLICIT,
                    ack_wait=self._keeping.ack_wait_s,
                    max_ack_pending=8 * _PULL_MESSAGES,
                ),
            )
        self._is_missing = False
        return was_missing

    async def take(self, most_bytes: int) -> Sequence[Message]:
        """Messages that wait, oldest first: at least one, together at most `most_bytes` unless it is only one.

        Asks the server for more meanwhile; Unreachable while cut off. Each is to be let go of afterwards.
        """
        while not self._waiting:
            # Before anything is awaited: what comes meanwhile must stir.
            self._stirred.clear()
            if self._is_missing:
                await self._ensure_again()
            if self._owed <= 0:
                await self._ask()
            try:
                async with asyncio.timeout(_SILENCE_S):
                    await self._stirred.wait()
            except TimeoutError:
                self._owed = 0
        group = [self._waiting.popleft()]
        size = len(group[0].payload)
        while self._waiting and (size := size + len(self._waiting[0].payload)) <= most_bytes:
            group.append(self._waiting.popleft())
        if self._owed < _PULL_MESSAGES // 2 and len(self._waiting) < _PULL_MESSAGES:
            with suppress(Unreachable):
                await self._ask()
        return group

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        """Tell the server that it need not keep `messages`; Unreachable means that they will come again."""
        with _translated():
            for message in messages:
                await self._client.publish(message.reply, b"+ACK")

    def let_go(self, messages: Sequence[Message]) -> None:
        """Hold `messages` no longer: those that were not acknowledged are delivered again."""
        for message in messages:
            self._held.pop(message.reply, None)

    async def hold(self) -> None:
        """Keep what is here from being delivered again while it is in the works; ends never."""
        loop, hold_s = asyncio.get_running_loop(), self._keeping.ack_wait_s / _HOLDS
        while True:
            await asyncio.sleep(hold_s / 2)
            now = loop.time()
            old = [reply for reply, told_at in self._held.items() if now - told_at >= hold_s]
            with suppress(Unreachable), _translated():
                for reply in old:
                    await self._client.publish(reply, b"+WPI")
                    if reply in self._held:
                        self._held[reply] = now

    async def received(self, message: Msg) -> None:
        """Take a message, or the server's word about a pull."""
        headers = message.headers or {}
        status = headers.get("Status")
        if status is None:
            self._owed -= 1
            self._held[message.reply] = asyncio.get_running_loop().time()
            self._waiting.append(Message(message.subject, message.data, message.reply))
        elif status != _HEARTBEAT:
            pending = headers.get("Nats-Pending-Messages")
            # Without the count the pull ended for good: nobody leads the consumer, or it is gone.
            self._is_missing |= pending is None and status in {_NO_RESPONDERS, _ENDED_EARLY}
            self._owed -= self._owed if pending is None else int(pending)
        self._stirred.set()

    def forget_pulls(self) -> None:
        """Ask anew: pulls do not outlive the connection they were made on."""
        self._owed = 0
        self._stirred.set()

    async def _ensure_again(self) -> None:
        """As `ensure`, once for all workers that saw it missing, and not more often than makes sense."""
        async with self._ensuring:
            if not self._is_missing:
                return
            loop = asyncio.get_running_loop()
            await asyncio.sleep(max(0.0, self._ensured_at + _ENSURE_PAUSE_S - loop.time()))
            self._ensured_at = loop.time()
            if await self.ensure():
                _log.warning("the broker had lost what waited in it: the stream is new, and gateways send again")

    async def _ask(self) -> None:
        request = {
            "batch": _PULL_MESSAGES,
            "max_bytes": _PULL_BYTES,
            "expires": int(_PULL_EXPIRES_S * 1e9),
            "idle_heartbeat": int(_HEARTBEAT_S * 1e9),
        }
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{CONSUMER}"
        # Before it is sent: the answer may come while this waits.
        self._owed += _PULL_MESSAGES
        try:
            with _translated():
                await self._client.publish(subject, json.dumps(request).encode(), reply=self.inbox)
        except Unreachable:
            self._owed = 0
            raise


@asynccontextmanager
async def connected(access: Access) -> AsyncIterator[Broker]:
    """A connection; Unreachable after 15 s without an answer."""
    client = Client()
    broker = Broker(client)
    try:
        try:
            async with asyncio.timeout(_CONNECT_LIMIT_S):
                await _connect(client, access, broker)
        except (NatsError, OSError, TimeoutError) as error:
            cause = client.last_error or error
            raise Unreachable(f"the broker does not answer ({type(cause).__name__}: {masked(str(cause))})") from error
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
    async def failed(error: Exception) -> None:
        # Each attempt to reconnect ends here; that the broker is lost was said once.
        _log.debug("broker: %s: %s", type(error).__name__, masked(str(error)))

    await client.connect(
        list(access.urls),
        user=access.user,
        password=access.password,
        name="kanmon-hub",
        connect_timeout=2,
        ping_interval=_PING_S,
        max_outstanding_pings=2,
        max_reconnect_attempts=-1,
        reconnect_time_wait=_RECONNECT_S,  # type: ignore[arg-type]  # it is slept for: a float will do
        disconnected_cb=broker.lost,
        reconnected_cb=broker.back,
        error_cb=failed,
    )


async def _ensure_stream(jetstream: JetStreamContext, keeping: Keeping) -> bool:
    """The stream that captures every upward message; returns whether it was missing."""
    wanted = StreamConfig(
        name=STREAM,
        subjects=[STREAM_SUBJECTS],
        retention=RetentionPolicy.WORK_QUEUE,
        storage=StorageType.FILE,
        max_bytes=keeping.stream_bytes,
        num_replicas=keeping.replicas,
        # What falls out was not receipted: the gateway sends it again.
        discard=DiscardPolicy.OLD,
    )
    try:
        found = (await jetstream.stream_info(STREAM)).config
    except NotFoundError:
        await jetstream.add_stream(wanted)
        return True
    if (found.max_bytes, found.num_replicas, found.subjects) != (
        wanted.max_bytes,
        wanted.num_replicas,
        wanted.subjects,
    ):
        await jetstream.update_stream(wanted)
    return False


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (NatsError, OSError) as error:
        raise Unreachable(f"the broker is lost ({type(error).__name__})") from error
