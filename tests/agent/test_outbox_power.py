"""A power cut at any write, a fault at any statement: what was called durable is there once, and nothing by halves."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.commit import Committer
from cloud_sync.blob import decode
from contract.errors import Unreachable
from contract.record import Measured, Range, Stream
from support.outboxes import (
    AT,
    EPOCHS,
    RESEARCH,
    OpenedOutbox,
    alert,
    check_totals,
    everything,
    group,
    measured,
    outbox_in,
)

WAL_HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24
"""SQLite's file format, 4.1: The WAL File."""


async def values(outbox: OpenedOutbox) -> list[float]:
    """The values that wait, in order; a stream is whole blobs, or it does not decode."""
    return [
        member.value
        for entry in await everything(outbox)
        if entry.part.blob
        for record in decode(entry.part.blob)
        if isinstance(record, Measured)
        for member in record.members
    ]


def frame_ends(log: bytes) -> list[int]:
    """Where each frame of a WAL ends."""
    page = int.from_bytes(log[8:12], "big")
    return list(range(WAL_HEADER_BYTES, len(log) + 1, page + FRAME_HEADER_BYTES))


def cuts(log: bytes, seed: int) -> Iterator[bytes]:
    """The log cut at each frame, in the middle of frames, and with a last sector that holds something else."""
    chance = random.Random(seed)
    ends = frame_ends(log)
    for start, end in zip(ends, ends[1:], strict=False):
        yield log[:end]
        yield log[: chance.randrange(start, end)]
    for end in ends[-3:]:
        yield log[: end - 512] + chance.randbytes(512)
    yield b""


def copied(state: Path, into: Path, log: bytes) -> Path:
    """The state folder as a cut left it; the shared memory is gone with the power."""
    shutil.copytree(state, into)
    (into / "outbox.db-shm").unlink(missing_ok=True)
    (into / "outbox.db-wal").write_bytes(log)
    return into


async def test_a_cut_at_any_byte_of_the_log_leaves_whole_commits_in_order(tmp_path: Path) -> None:
    """Promise 1: what is found is the state after one of the writes, and no earlier one than was called durable."""
    state = tmp_path / "state"
    state.mkdir()
    states: list[tuple[int, list[float]]] = []
    async with outbox_in(state) as outbox:

        async def note() -> None:
            states.append(((state / "outbox.db-wal").stat().st_size, await values(outbox)))

        for number in range(6):
            await outbox.commit(group(*(measured(number * 10 + index) for index in range(3))))
            await note()
            await outbox.commit(group(measured(number * 10 + 3), channel=RESEARCH))
            await note()
            if number == 3:
                await outbox.remove([Range(EPOCHS[0], Stream.DATA, 1, 3)])
                await note()
        log, found_at = (state / "outbox.db-wal").read_bytes(), set[int]()
        for number, cut in enumerate(cuts(log, seed=1)):
            folder = copied(state, tmp_path / f"cut-{number}", cut)
            async with outbox_in(folder, EPOCHS[1]) as after_cut:
                found = await values(after_cut)
                index = next((index for index, (_, held) in enumerate(states) if held == found), -1)
                assert index >= 0 or found == []
                sound = len(cut) if log.startswith(cut) else len(cut) - 512
                assert index >= max((i for i, (size, _) in enumerate(states) if size <= sound), default=-1)
                found_at.add(index)
                await check_totals(after_cut)
                await after_cut.commit(group(measured(99)))
                assert await values(after_cut) == [*found, 99]
            shutil.rmtree(folder)
        assert found_at == set(range(-1, len(states)))


async def failing_at(outbox: OpenedOutbox, statement: int) -> list[int]:
    """Let the statement of that number fail as on a full disk; counts the statements in what it returns."""
    seen = [0]

    def watch(_: str) -> None:
        seen[0] += 1

    def refuse(*_: object) -> int:
        return 1 if seen[0] == statement else 0

    def install(connection) -> None:
        connection.set_trace_callback(watch)
        connection.set_progress_handler(refuse, 1)

    await outbox.database.read(install)
    return seen


async def clear(outbox: OpenedOutbox) -> None:
    def remove(connection) -> None:
        connection.set_progress_handler(None, 1)
        connection.set_trace_callback(None)

    await outbox.database.read(remove)


@pytest.mark.parametrize("name", ["commit", "remove", "forget", "make room"])
async def test_a_statement_that_fails_leaves_nothing_behind_and_the_next_try_succeeds(
    tmp_path: Path, name: str
) -> None:
    """Each statement of a transaction fails in turn: the state is that of before, and trying again makes it good."""
    state = tmp_path / "state"
    state.mkdir()
    async with outbox_in(state, max_bytes=400_000 if name == "make room" else 2**30) as outbox:
        chance = random.Random(3)
        rows = 100 if name == "make room" else 3
        for _ in range(rows):
            await outbox.commit(group(*(measured(*(chance.random() for _ in range(100))) for _ in range(5))))
            await outbox.commit(group(measured(1.0), channel=RESEARCH))
        failures = 0
        for statement in range(2, 60):
            before, totals = await everything(outbox), outbox.totals
            seen = await failing_at(outbox, statement)
            try:
                await once(outbox, name)
            except Unreachable as error:
                assert "interrupted" in str(error)
                failures += 1
                await clear(outbox)
                assert await everything(outbox) == before or name == "forget"
                assert outbox.totals == totals
                await check_totals(outbox)
                continue
            await clear(outbox)
            if seen[0] < statement:
                break
        else:
            raise AssertionError("the work has more statements than were tried")
        assert failures >= 3
        await once(outbox, name)
        await check_totals(outbox)


async def once(outbox: OpenedOutbox, name: str) -> None:
    match name:
        case "remove":
            first = (await everything(outbox))[:2]
            await outbox.remove([entry.part.range for entry in first])
        case "forget":
            await outbox.forget(*RESEARCH)
        case _:
            chance = random.Random(4)
            records = [measured(*(chance.random() for _ in range(100))) for _ in range(30)]
            await outbox.commit(group(*records, alert()))


async def test_a_ticket_is_durable_only_once_a_copy_of_the_files_holds_its_sample(tmp_path: Path) -> None:
    """Promise 1: what `durable` has returned for is in the files as a power cut would find them."""
    state = tmp_path / "state"
    state.mkdir()
    async with outbox_in(state) as outbox:
        committer = Committer(outbox, 0.0, lambda: AT)
        for number in range(5):
            committer.add(Stream.DATA, None, measured(number))
            ticket = committer.ticket()
            await committer.flush()
            await ticket.durable()
            folder = copied(state, tmp_path / f"copy-{number}", (state / "outbox.db-wal").read_bytes())
            async with outbox_in(folder, EPOCHS[1]) as found:
                assert await values(found) == list(range(number + 1))
