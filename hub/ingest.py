"""From the broker into the store: take what waits, commit it in one transaction, then receipt and acknowledge.

The order is the promise. Whatever dies between two steps, messages that were not acknowledged are delivered again
and recognised as repeats, which are receipted as well; a receipt is never sent before the commit.
"""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import TypeVar

from cloud_sync.backoff import Backoff
from cloud_sync.envelope import Receipt, encode_receipt
from cloud_sync.topics import HELLO, NEW_SUBJECT, RECEIPT, down_subject
from contract.errors import StoreFull, Unreachable
from contract.ids import GatewayId
from hub import arrival
from hub.arrival import Arrival
from hub.broker import Broker, Message
from hub.feed import Change, Feed
from hub.store.store import Store
from hub.store.writing import Outcome

GROUP_BYTES = 2**20
"""Messages of about this size together are committed at once: some tens of thousands of readings."""
RECEIPT_RANGES = 1000
ANNOUNCED_CHANGES = 500
LOGGED_FAULTS = 5
SILENCE = timedelta(seconds=10)

_RETRY = Backoff(first_s=0.2, limit_s=5.0)
_log = logging.getLogger(__name__)
_Item = TypeVar("_Item")


class Ingest:
    """The hub's consumer; `run` it in one task."""

    def __init__(self, broker: Broker, store: Store, now: Callable[[], datetime], random: Random) -> None:
        self._broker = broker
        self._store = store
        self._now = now
        self._random = random
        self._faults: Counter[tuple[GatewayId | None, str]] = Counter()
        self._silent_until = now()

    async def run(self) -> None:
        """Take messages until cancelled. A lost broker or a full disk is waited for."""
        attempt = 0
        while True:
            try:
                messages = await self._broker.messages()
                for group in grouped(messages):
                    await self._take(group)
                attempt = 0
            except Unreachable:
                # The broker's own module says when it is lost and when it is back.
                attempt += 1
                await asyncio.sleep(_RETRY.delay_s(attempt, self._random))

    async def _take(self, messages: Sequence[Message]) -> None:
        arrivals = []
        for message in messages:
            arrivals.append(arrival.read(message.subject, message.payload, self._now()))
            # A group may take a tenth of a second to decode: pages are answered in between.
            await asyncio.sleep(0)
        outcome = await self._commit(arrivals)
        self._complain(outcome)
        await self._answer(arrivals, outcome)
        await self._broker.acknowledge(messages)
        for changes in _chunks(outcome.changes, ANNOUNCED_CHANGES):
            await self._broker.publish(NEW_SUBJECT, encode_changes(changes))

    def _complain(self, outcome: Outcome) -> None:
        """Say what went to quarantine: at once the first time, then at most every ten seconds."""
        self._faults.update(outcome.faults)
        now = self._now()
        if not self._faults or now < self._silent_until:
            return
        for (gateway, reason), count in self._faults.most_common(LOGGED_FAULTS):
            _log.warning("%d from gateway %s in quarantine: %s", count, gateway or "(none)", reason)
        self._faults.clear()
        self._silent_until = now + SILENCE

    async def _commit(self, arrivals: Sequence[Arrival]) -> Outcome:
        attempt = 0
        while True:
            try:
                outcome = await self._store.commit(arrivals)
            except StoreFull as error:
                attempt += 1
                if attempt == 1:
                    _log.error("%s: messages wait in the broker and at the gateways", error)
                await asyncio.sleep(_RETRY.delay_s(attempt, self._random))
            else:
                if attempt:
                    _log.warning("the hub's database can be written again")
                return outcome

    async def _answer(self, arrivals: Sequence[Arrival], outcome: Outcome) -> None:
        for gateway, ranges in outcome.receipts.items():
            for some in _chunks(ranges, RECEIPT_RANGES):
                await self._say(gateway, RECEIPT, Receipt(tuple(some), self._now()))
        for said_hello in {one.gateway for one in arrivals if one.hello is not None and one.gateway is not None}:
            # A receipt that names nothing: it brings the hub's time.
            await self._say(said_hello, HELLO, Receipt((), self._now()))

    async def _say(self, gateway: GatewayId, leaf: str, receipt: Receipt) -> None:
        await self._broker.publish(down_subject(gateway, leaf), encode_receipt(receipt))


async def relay(broker: Broker, feed: Feed) -> None:
    """Tell the feed what any ingest announces, this hub's or another's."""
    await broker.listen(NEW_SUBJECT, lambda payload: _tell(feed, payload))


def encode_changes(changes: Iterable[Change]) -> bytes:
    """An announcement: what is new, by name, without values."""
    return json.dumps([[one.kind, one.gateway, one.subject, one.quantity] for one in changes]).encode()


def grouped(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """`messages` in groups of at most GROUP_BYTES each, or a single larger one."""
    group: list[Message] = []
    size = 0
    for message in messages:
        if group and size + len(message.payload) > GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append(message)
        size += len(message.payload)
    if group:
        yield group


def _tell(feed: Feed, payload: bytes) -> None:
    for kind, gateway, subject, quantity in json.loads(payload):
        feed.publish(Change(kind, gateway, subject, quantity))


def _chunks(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
