"""The gateway's side of the hub link: connect, say hello, send, take receipts; again after a loss, with back-off."""

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from datetime import datetime
from random import Random
from typing import Protocol

from cloud_sync import topics
from cloud_sync.backoff import Backoff, Rounds
from cloud_sync.envelope import MAX_RECEIPTED, Hello, decode_receipt, encode_hello
from cloud_sync.link_settings import LinkSettings
from cloud_sync.session import Broker, Session, connect
from cloud_sync.throttle import Throttle
from cloud_sync.uplink import RESEND_LIMIT_S, Boots, Uplink, Waiting
from contract.errors import KanmonError, ProtocolError, StoreFull, Tampered, Unreachable
from contract.ids import Epoch, GatewayId
from contract.record import Range

HELLO_FIRST_S = 2.0
"""A hello without answer is said again after this long, then after twice as long, up to RESEND_LIMIT_S."""
REMOVE_LINGER_S = 0.05
"""Receipts are gathered this long before they are taken out of the outbox: one transaction instead of many. A crash in
between costs a repeat, which the hub recognises."""
REMOVE_RETRY_S = 1.0
RECONNECT = Backoff(first_s=2.0, limit_s=15.0)
"""A thousand gateways that lose their hub at once come back spread over two seconds, or over more while it is away."""


class Outbox(Waiting, Protocol):
    """The outbox as the link sees it."""

    @property
    def epoch(self) -> Epoch:
        """Under which epoch it writes now; another one after its file was lost."""
        ...

    async def remove(self, ranges: Iterable[Range]) -> None:
        """Take out what a receipt names."""
        ...

    def receipted(self) -> tuple[Range, ...]:
        """What the hub has receipted, of the latest epochs, merged: at most MAX_RECEIPTED ranges for its hello."""
        ...


class Told(Protocol):
    """Who is told how the link fares."""

    def up(self) -> None:
        """The hub itself answered on a new connection: that a broker took it says nothing of the hub."""

    def lost(self, cause: str) -> None:
        """The link is lost, or could not be made; told once an outage."""

    def hub_time(self, at: datetime) -> None:
        """The hub's time came with its hello or a receipt."""

    def fault(self, error: ProtocolError) -> None:
        """The hub sent something that is no message of ours."""


class HubLink:
    """Keeps a connection to one of `brokers`, for as long as `run` runs: to the one that works, else to the next."""

    def __init__(
        self,
        brokers: Sequence[Broker],
        outbox: Outbox,
        boots: Boots,
        software: str,
        told: Told,
        settings: LinkSettings,
        backoff: Backoff = RECONNECT,
    ) -> None:
        self._brokers = brokers
        self._outbox = outbox
        self._boots = boots
        self._software = software
        self._told = told
        self._settings = settings
        self._backoff = backoff

    async def run(self, random: Random) -> None:
        """Connect, serve, and connect again; ends only by cancellation."""
        rounds, is_told = Rounds(len(self._brokers), self._backoff), False
        throttle = Throttle(self._settings.max_bytes_per_s)
        while True:
            # In a task of its own: a cancellation that comes together with a loss is swallowed on Python 3.11 and 3.12
            # by whatever waits there, and ends this task nevertheless.
            async with asyncio.TaskGroup() as alone:
                ending = alone.create_task(self._serve(self._brokers[rounds.address], throttle), name="connection")
            was_answered, cause = ending.result()
            # Only an answer counts: a broker that takes every connection and hangs up is no cause for haste.
            if was_answered or not is_told:
                self._told.lost(cause)
            is_told = True
            await asyncio.sleep(rounds.after_loss(random) if was_answered else rounds.after_failure(random))

    async def _serve(self, broker: Broker, throttle: Throttle) -> tuple[bool, str]:
        """One connection until it is lost: whether the hub itself had answered, and the cause."""
        connection: _Connection | None = None
        cause = ""
        try:
            async with connect(broker, self._settings) as session:
                uplink = Uplink(broker.gateway, self._outbox, self._boots, session, self._settings, throttle)
                connection = _Connection(broker.gateway, self._outbox, session, uplink, self._told)
                await connection.serve(self._software)
        except* (Unreachable, StoreFull, Tampered) as group:  # an outbox that cannot be read is waited for, too
            cause = _first_cause(group)
        return connection is not None and connection.is_answered, cause


class _Connection:
    """One connection: sending, receiving, and taking receipted records out of the outbox."""

    def __init__(self, gateway: GatewayId, outbox: Outbox, session: Session, uplink: Uplink, told: Told) -> None:
        self._gateway = gateway
        self._outbox = outbox
        self._session = session
        self._uplink = uplink
        self._told = told
        self._receipted: list[Range] = []
        self._receipt_came = asyncio.Event()
        self._was_greeted = asyncio.Event()
        self.is_answered = False
        """True once the hub itself has said something."""

    async def serve(self, software: str) -> None:
        """Until the link is lost: Unreachable, in an ExceptionGroup."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._receive(), name="downlink")
            tasks.create_task(self._remove(), name="receipts")
            tasks.create_task(self._greet(software), name="hello")
            tasks.create_task(self._uplink.forward(), name="uplink")

    async def _greet(self, software: str) -> None:
        """Say hello until the hub answers: a broker may take it before the hub listens, and forget it."""
        for attempt in itertools.count():
            hello = Hello(software, self._outbox.epoch, self._outbox.receipted()[:MAX_RECEIPTED])
            await self._session.publish(topics.up(self._gateway, topics.HELLO), encode_hello(hello))
            try:
                async with asyncio.timeout(min(HELLO_FIRST_S * 2**attempt, RESEND_LIMIT_S)):
                    await self._was_greeted.wait()
            except TimeoutError:
                continue
            return

    async def _receive(self) -> None:
        async for topic, payload in self._session.messages():
            try:
                leaf = topics.down_leaf(self._gateway, topic)
                # The answer to a hello is a receipt that names no range: both bring the hub's time.
                if leaf in (topics.RECEIPT, topics.HELLO):
                    receipt = decode_receipt(payload)
                    if not self.is_answered:
                        self.is_answered = True
                        self._told.up()
                    if leaf == topics.HELLO:
                        self._was_greeted.set()
                    self._told.hub_time(receipt.time)
                    self._uplink.receipted(receipt.ranges)
                    self._receipted.extend(receipt.ranges)
                    self._receipt_came.set()
            except ProtocolError as error:
                self._told.fault(error)

    async def _remove(self) -> None:
        while True:
            await self._receipt_came.wait()
            await asyncio.sleep(REMOVE_LINGER_S)
            self._receipt_came.clear()
            ranges, self._receipted = self._receipted, []
            try:
                if ranges:
                    await self._outbox.remove(ranges)
            except StoreFull:
                # A full disk, of which the outbox's writer tells: what was receipted is taken out once there is room.
                self._receipted = ranges + self._receipted
                self._receipt_came.set()
                await asyncio.sleep(REMOVE_RETRY_S)


def _first_cause(group: BaseExceptionGroup[KanmonError]) -> str:
    first = group.exceptions[0]
    return _first_cause(first) if isinstance(first, BaseExceptionGroup) else str(first)
