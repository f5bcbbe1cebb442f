"""The gateway's outbox as the agent makes it, and records to fill it with: things of a farm, hearts of persons."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from agent import outbox_schema
from agent.group import Channel, Group, Lane
from agent.outbox import Outbox
from agent.seal import KeyFolder
from agent.store import Database
from contract.consent import Purpose
from contract.ids import Epoch, PersonId
from contract.record import Measured, Record, Stream
from contract.sample import ClockQuality, Flag, Reading

AT = datetime(2026, 11, 22, tzinfo=UTC)
BATCH_RECORDS = 1000
EPOCH = Epoch("0123456789abcdef")


def polls(devices: int, registers: int, start: int = 0) -> list[Measured]:
    """One poll of each device: `registers` readings with one decimal, which random(start) draws."""
    random = Random(start)  # noqa: S311 - a load, not a secret
    at = AT + timedelta(seconds=start)
    return [
        Measured(
            f"farm-{device}",
            at + timedelta(milliseconds=7 * device),
            ClockQuality.SYNCHRONISED,
            tuple(Reading("raw_value", random.randrange(65_536) / 10, Flag.GOOD) for _ in range(registers)),
        )
        for device in range(devices)
    ]


def readings_of(poll: Measured) -> list[Reading]:
    """The members of a poll that are single values: all, of a farm's."""
    return [member for member in poll.members if isinstance(member, Reading)]


def beats(persons: int, start: int = 0) -> dict[Channel, list[Record]]:
    """One heart rate of each person, for research."""
    random = Random(start)  # noqa: S311 - a load, not a secret
    at = AT + timedelta(seconds=start)
    return {
        (PersonId(f"resident-{person}"), Purpose.RESEARCH): [
            Measured(
                f"pseudonym-{person}",
                at,
                ClockQuality.SYNCHRONISED,
                (Reading("heart_rate", float(random.randrange(60, 120)), Flag.GOOD),),
            )
        ]
        for person in range(persons)
    }


def group_of_things(records: Sequence[Measured]) -> Group:
    """What one commit of things holds."""
    return Group(AT, {Lane(Stream.DATA): list(records)}, {Lane(Stream.DATA): len(records)})


def group_of_persons(records: Mapping[Channel, Sequence[Record]]) -> Group:
    """What one commit of persons' records holds, one sample a channel."""
    lanes = {Lane(Stream.DATA, channel): list(found) for channel, found in records.items()}
    return Group(AT, lanes, dict.fromkeys(lanes, 1))


@asynccontextmanager
async def opened(state: Path, epoch: Epoch = EPOCH) -> AsyncIterator[Outbox]:
    """The outbox of the state folder `state`, as the agent opens it."""
    state.mkdir(mode=0o700, exist_ok=True)
    async with Database(state / "outbox.db", outbox_schema.MIGRATIONS) as database:
        outbox = Outbox(database, KeyFolder(state / "keys"), epoch, BATCH_RECORDS)
        await outbox.open(AT)
        yield outbox


async def fill(outbox: Outbox, readings: int, registers: int = 100, polls_a_commit: int = 50) -> None:
    """Commit at least `readings`, in commits of `polls_a_commit` polls; the same hundred groups in turn."""
    groups = [polls(polls_a_commit, registers, start) for start in range(20)]
    size = polls_a_commit * registers
    for number in range(-(-readings // size)):
        await outbox.commit(group_of_things(groups[number % len(groups)]))
