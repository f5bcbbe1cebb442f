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
from contract.errors import KanmonError, StoreFull, Unreachable
from contract.ids import GatewayId
from hub import arrival
from hub.arrival import Arrival
from hub.broker import Broker, Message, Upward
from hub.feed import Change, Feed
from hub.store.store import Store
from hub.store.writing import Outcome

GROUP_BYTES = 2**20
"""Messages of about this size together are committed at once: some tens of thousands of readings."""
RECEIPT_RANGES = 1000
ANNOUNCED_CHANGES = 500
LOGGED_FAULTS = 5
SILENCE = timedelta(seconds=10)
STUCK_S = 45.0
"""Longer than any group takes to be decoded or committed, a database that answers late included."""

_RETRY = Backoff(first_s=0.2, limit_s=5.0)
_log = logging.getLogger(__name__)
_Item = TypeVar("_Item")


class Ingest:
    """The hub's consumer: a number of workers on what gateways send. `stuck_s`: see `gets_on`."""

    def __init__(
        self,
        broker: Broker,
        upward: Upward,
        store: Store,
        workers: int,
        now: Callable[[], datetime],
        random: Random,
        stuck_s: float = STUCK_S,
    ) -> None:
        self._broker = broker
        self._upward = upward
        self._store = store
        self._workers = workers
        self._now = now
        self._random = random
        self._stuck_s = stuck_s
        self._faults: Counter[tuple[GatewayId | None, str]] = Counter()
        self._silent_until = now()
        self._since: dict[int, float] = {}
        """Of each worker that has messages in hand: when its step began."""
        self._without_store = 0
        """Workers that wait for the store."""

    async def run(self) -> None:
        """Take messages until cancelled. A lost broker, a lost database or a full disk is waited for."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._upward.hold(), name="hold")
            for worker in range(self._workers):
                tasks.create_task(self._work(worker), name=f"worker-{worker}")

    def gets_on(self) -> bool:
        """False when a worker has been at one step for longer than any step takes. Waiting is no step."""
        now = asyncio.get_running_loop().time()
        return all(now - since < self._stuck_s for since in self._since.values())

    async def _work(self, worker: int) -> None:
        attempt = 0
        while True:
            try:
                messages = await self._upward.take(GROUP_BYTES)
                try:
                    await self._take(worker, messages)
                finally:
                    self._since.pop(worker, None)
                    self._upward.let_go(messages)
                attempt = 0
            except Unreachable:
                # The broker's own module says when it is lost and when it is back.
                attempt += 1
                await asyncio.sleep(_RETRY.delay_s(attempt, self._random))

    async def _take(self, worker: int, messages: Sequence[Message]) -> None:
        self._begin_step(worker)
        arrivals = []
        for message in messages:
            arrivals.append(arrival.read(message.subject, message.payload, self._now()))
            # A group may take a tenth of a second to decode: pages are answered in between.
            await asyncio.sleep(0)
        outcome = await self._commit(worker, arrivals)
        self._complain(outcome)
        await self._answer(arrivals, outcome)
        await self._upward.acknowledge(messages)
        for changes in _chunks(outcome.changes, ANNOUNCED_CHANGES):
            await self._broker.publish(NEW_SUBJECT, encode_changes(changes))

    def _begin_step(self, worker: int) -> None:
        self._since[worker] = asyncio.get_running_loop().time()

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

    async def _commit(self, worker: int, arrivals: Sequence[Arrival]) -> Outcome:
        """Commit, however long it takes: meanwhile the messages are held, and stay with the broker."""
        attempt = 0
        while True:
            self._begin_step(worker)
            try:
                outcome = await self._store.commit(arrivals)
            except (StoreFull, Unreachable) as error:
                attempt += 1
                if attempt == 1:
                    self._lost_store(error)
                await asyncio.sleep(_RETRY.delay_s(attempt, self._random))
            else:
                if attempt:
                    self._found_store()
                return outcome

    def _lost_store(self, error: KanmonError) -> None:
        if not self._without_store:
            _log.error("%s: messages wait in the broker and at the gateways", error)
        self._without_store += 1

    def _found_store(self) -> None:
        self._without_store -= 1
        if not self._without_store:
            _log.warning("the hub's database can be written again")

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


def _tell(feed: Feed, payload: bytes) -> None:
    for kind, gateway, subject, quantity in json.loads(payload):
        feed.publish(Change(kind, gateway, subject, quantity))


def _chunks(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
