"""A group's records as numbered blobs: of one lane each, at most a message's worth."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass

from agent.group import Channel, Group, Lane
from cloud_sync.blob import encode, in_blob_order
from contract.record import Record, Stream, records_in

TURN_SAMPLES = 50
"""Samples encoded between two turns of the event loop: about a millisecond for samples of 100 readings."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Records `first` to `last` of a lane's stream. `forgotten`: how often its channel had been when it was made."""

    lane: Lane
    first: int
    last: int
    samples: int
    plain: bytes
    forgotten: int = 0


async def encoded(
    group: Group, following: Mapping[Stream, int], batch_records: int, forgotten: Mapping[Channel | None, int]
) -> AsyncIterator[Blob]:
    """The group's blobs, numbered from `following`. Made on the event loop, which is given a turn now and then.

    In the store's thread it took thirty times as long beside a busy loop: zlib gives the interpreter lock away.
    """
    numbers, turn = dict(following), 0
    for lane in list(group.records):
        records = group.records.get(lane, [])  # none when it was withdrawn in another's turn
        samples = group.samples.get(lane, 0)
        for chunk in chunks(in_blob_order(records), batch_records):
            yield numbered(lane, chunk, numbers, samples, forgotten.get(lane.channel, 0))
            samples = 0  # told once, with the group's first blob
            turn += len(chunk)
            if turn >= TURN_SAMPLES:
                turn = 0
                await asyncio.sleep(0)


def numbered(lane: Lane, records: Sequence[Record], following: dict[Stream, int], samples: int, forgotten: int) -> Blob:
    """One blob; its numbers are taken from `following`."""
    first = following[lane.stream]
    following[lane.stream] = first + sum(map(records_in, records))
    return Blob(lane, first, following[lane.stream] - 1, samples, encode(records, lane.base), forgotten)


def chunks(records: Sequence[Record], limit: int) -> Iterable[Sequence[Record]]:
    """`records` cut so that each piece takes about `limit` numbers, one record at least."""
    start, count = 0, 0
    for index, record in enumerate(records):
        size = records_in(record)
        if count and count + size > limit:
            yield records[start:index]
            start, count = index, 0
        count += size
    if count:
        yield records[start:]
