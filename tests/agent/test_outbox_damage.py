"""What still reads of a damaged, deleted or replaced file is kept, what is lost is declared, and no id repeats."""

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agent.group import Loss
from cloud_sync.blob import decode
from contract.record import Range, Stream
from support.outboxes import (
    AT,
    EPOCHS,
    PERSON,
    RESEARCH,
    OpenedOutbox,
    after,
    check_totals,
    everything,
    group,
    measured,
    outbox_in,
)

PAGE = 1024


async def fill(outbox: OpenedOutbox, commits: int = 200) -> None:
    """Commits of several kilobytes each, one second apart."""
    for number in range(commits):
        records = [measured(*((number * 31 + index * 7) % 997 / 10 for index in range(100))) for _ in range(3)]
        await outbox.commit(group(*records, at=after(number)))


def closed_cleanly(folder: Path) -> bytes:
    assert not (folder / "outbox.db-wal").exists()
    return (folder / "outbox.db").read_bytes()


def leaves(file: Path) -> list[int]:
    """The numbers, from 0, of the pages that are leaves of the entries' tree (SQLite's file format, 1.6: 0x0d)."""
    content = file.read_bytes()
    with closing(sqlite3.connect(file)) as connection:
        root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'entry'").fetchone()[0]
    interior, found = [root], []
    while interior:
        at = (interior.pop() - 1) * PAGE
        page = content[at : at + PAGE]
        cells = int.from_bytes(page[3:5], "big")
        pointers = [int.from_bytes(page[12 + 2 * n : 14 + 2 * n], "big") for n in range(cells)]
        children = [int.from_bytes(page[p : p + 4], "big") for p in pointers] + [int.from_bytes(page[8:12], "big")]
        for child in children:
            kind = content[(child - 1) * PAGE]
            (interior if kind == 0x05 else found).append(child if kind == 0x05 else child - 1)
    return sorted(found)


def overwrite(file: Path, page: int) -> None:
    with file.open("rb+") as opened:
        opened.seek(page * PAGE)
        opened.write(b"\xa5" * PAGE)


async def test_what_reads_around_bad_pages_is_kept_and_the_rest_is_declared(tmp_path: Path) -> None:
    """Ids, numbers and epochs stay; the gap reaches from the oldest that waited to the moment of damage."""
    async with outbox_in(tmp_path) as outbox:
        await fill(outbox)
        await outbox.attest()
        held = {entry.id: entry for entry in await everything(outbox)}
    closed_cleanly(tmp_path)
    bad = leaves(tmp_path / "outbox.db")[10:70:20]
    for page in bad:
        overwrite(tmp_path / "outbox.db", page)
    async with outbox_in(tmp_path, EPOCHS[1], at=after(500)) as outbox:
        found = {entry.id: entry for entry in await everything(outbox)}
        assert outbox.generation == 1
        assert found.items() <= held.items()
        assert len(held) - 20 <= len(found) < len(held)
        assert outbox.losses == (Loss(1, AT, after(500)),)
        assert outbox.epoch == EPOCHS[2]
        await check_totals(outbox)
        lost_first = await group_declared(outbox)
        assert lost_first.epoch == EPOCHS[2]
    assert (tmp_path / "outbox.db.damaged-1").stat().st_mode & 0o077 == 0
    async with outbox_in(tmp_path, EPOCHS[3]) as outbox:
        assert outbox.losses == ()


async def group_declared(outbox: OpenedOutbox) -> Range:
    """Commit one record with all losses declared; its range."""
    declared = group(measured(7))
    declared.declared = list(outbox.losses)
    await outbox.commit(declared)
    assert outbox.losses == ()
    return (await everything(outbox))[-1].part.range


async def test_damage_met_in_the_middle_of_a_run_stops_nothing(tmp_path: Path) -> None:
    """A receipt that cannot be taken out, and a commit after it: both succeed on the file that was made anew."""
    async with outbox_in(tmp_path) as outbox:
        await fill(outbox, 60)
    bad = leaves(tmp_path / "outbox.db")[20]
    async with outbox_in(tmp_path, EPOCHS[1], at=after(100)) as outbox:
        overwrite(tmp_path / "outbox.db", bad)
        await outbox.remove([Range(EPOCHS[0], Stream.DATA, 1, 60 * 300)])
        assert outbox.generation == 1
        assert await everything(outbox) == ()
        await outbox.commit(group(measured(5), at=after(101)))
        (entry,) = await everything(outbox)
        assert entry.part.range == Range(EPOCHS[2], Stream.DATA, 1, 1)
        assert outbox.losses == (Loss(1, AT, after(100)),)


@pytest.mark.parametrize("content", [b"", b"not a database at all, " * 100, b"SQLite format 3\x00" + bytes(5000)])
async def test_a_file_of_which_nothing_reads_is_a_loss_of_all_that_the_witness_saw(
    tmp_path: Path, content: bytes
) -> None:
    async with outbox_in(tmp_path) as outbox:
        await fill(outbox, 3)
        await outbox.attest()
    (tmp_path / "outbox.db").write_bytes(content)
    async with outbox_in(tmp_path, EPOCHS[1], at=after(60)) as outbox:
        assert [(loss.start, loss.end) for loss in outbox.losses] == [(AT, after(60))]
        assert outbox.resumed.things == {"river-1": after(2)}
        assert await everything(outbox) == ()


async def test_only_the_three_latest_damaged_files_are_kept(tmp_path: Path) -> None:
    for _ in range(5):
        async with outbox_in(tmp_path):
            pass
        (tmp_path / "outbox.db").write_bytes(b"not a database at all, " * 100)
    async with outbox_in(tmp_path):
        kept = sorted(path.name for path in tmp_path.glob("outbox.db.damaged-*"))
        assert kept == ["outbox.db.damaged-3", "outbox.db.damaged-4", "outbox.db.damaged-5"]


async def test_a_file_deleted_while_the_gateway_was_dead_is_declared(tmp_path: Path) -> None:
    """Its marks are gone with it: the witness beside it knows from when something waited, and of what."""
    async with outbox_in(tmp_path) as outbox:
        await fill(outbox, 5)
        await outbox.remove([Range(EPOCHS[0], Stream.DATA, 1, 600)])
        await outbox.attest()
    (tmp_path / "outbox.db").unlink()
    async with outbox_in(tmp_path, EPOCHS[1], at=after(60)) as outbox:
        ((start, end),) = [(loss.start, loss.end) for loss in outbox.losses]
        assert start <= after(2)
        assert end == after(60)
        assert outbox.resumed.things == {"river-1": after(4)}
    async with outbox_in(tmp_path, EPOCHS[2], at=after(70)) as outbox:
        assert len(outbox.losses) == 1, "it was not declared yet, and it is one loss"


async def test_the_first_start_ever_declares_nothing(tmp_path: Path) -> None:
    async with outbox_in(tmp_path) as outbox:
        assert outbox.losses == ()
    async with outbox_in(tmp_path, EPOCHS[1]) as outbox:
        assert outbox.losses == ()


def delete(folder: Path, _: Path) -> None:
    (folder / "outbox.db").unlink()


def delete_all(folder: Path, _: Path) -> None:
    for path in folder.glob("outbox.db*"):
        path.unlink()


def delete_log(folder: Path, _: Path) -> None:
    (folder / "outbox.db-wal").unlink()


def replace_by_older(folder: Path, older: Path) -> None:
    delete_all(folder, older)
    shutil.copy(older / "outbox.db", folder / "outbox.db")


def replace_by_garbage(folder: Path, _: Path) -> None:
    (folder / "other").write_bytes(b"not a database at all, " * 100)
    (folder / "other").replace(folder / "outbox.db")


@pytest.mark.parametrize("happens", [delete, delete_all, delete_log, replace_by_older, replace_by_garbage])
async def test_a_file_that_vanishes_under_the_gateway_takes_nothing_with_it(tmp_path: Path, caplog, happens) -> None:
    """Promise 1: all that was durable lies in a new file, also after a crash; further records have a new epoch."""
    state, older = tmp_path / "state", tmp_path / "older"
    state.mkdir()
    async with outbox_in(state) as outbox:
        await fill(outbox, 3)
    shutil.copytree(state, older)
    async with outbox_in(state, EPOCHS[1], at=after(10)) as outbox:
        await outbox.commit(group(measured(1), channel=RESEARCH, at=after(11)))
        held = {entry.part.range: entry.part.blob for entry in await everything(outbox)}
        assert len(held) == 4
        happens(state, older)
        await outbox.commit(group(measured(2), at=after(12)))
        assert (outbox.generation, outbox.epoch, outbox.losses) == (1, EPOCHS[2], ())
        copy = tmp_path / "crashed"
        shutil.copytree(state, copy)  # as a crash would leave it: nothing was closed
        (copy / "outbox.db-shm").unlink(missing_ok=True)
        await outbox.commit(group(measured(3), at=after(13)))
        assert caplog.text.count("was deleted or replaced in use") == 1
        await check_totals(outbox)
    for folder, more in ((copy, 1), (state, 2)):
        async with outbox_in(folder, EPOCHS[4], at=after(20)) as outbox:
            found = {entry.part.range: entry.part.blob for entry in await everything(outbox)}
            assert found.items() >= held.items()
            fresh = sorted(range_ for range_ in found if range_ not in held)
            assert fresh == [Range(EPOCHS[2], Stream.DATA, number, number) for number in range(1, more + 1)]
            assert outbox.losses == ()
            await check_totals(outbox)


async def test_an_older_copy_repeats_known_numbers_only(tmp_path: Path) -> None:
    """Promise 1: a card restored from an image never gives a new record an old number; that it is older is declared."""
    state, image = tmp_path / "state", tmp_path / "image"
    state.mkdir()
    numbers: dict[Range, bytes] = {}
    async with outbox_in(state) as outbox:
        await fill(outbox, 3)
    shutil.copytree(state, image)
    for epoch in EPOCHS[1:3]:
        async with outbox_in(state, epoch, at=after(10)) as outbox:
            await fill(outbox, 3)
            await outbox.attest()
            for entry in await everything(outbox):
                assert numbers.setdefault(entry.part.range, entry.part.blob) == entry.part.blob
    (state / "outbox.db").unlink()
    shutil.copy(image / "outbox.db", state / "outbox.db")
    async with outbox_in(state, EPOCHS[3], at=after(100)) as outbox:
        await outbox.commit(group(measured(42), at=after(101)))
        for entry in await everything(outbox):
            assert numbers.setdefault(entry.part.range, entry.part.blob) == entry.part.blob
        assert [loss.end for loss in outbox.losses] == [after(100)]


async def test_a_sealed_record_that_does_not_open_is_declared_for_its_person_alone(tmp_path: Path) -> None:
    """Its numbers go out as a tombstone; the loss is noted once."""
    async with outbox_in(tmp_path) as outbox:
        await outbox.commit(group(measured(71), channel=RESEARCH))
        await outbox.commit(group(measured(1)))
    (tmp_path / "keys" / "channel-1.key").write_bytes(bytes(range(32)))
    async with outbox_in(tmp_path, EPOCHS[1], at=after(9)) as outbox:
        for _ in range(2):
            tombstone, thing = await everything(outbox)
            assert tombstone.part.blob == b""
            assert decode(thing.part.blob) == [measured(1)]
            assert [(loss.person, loss.end) for loss in outbox.losses] == [(PERSON, after(9))]
        await check_totals(outbox)


async def test_a_cut_while_the_new_file_takes_the_place_loses_nothing(tmp_path: Path) -> None:
    """At each step either the old file or the whole new one is found."""
    async with outbox_in(tmp_path) as outbox:
        await fill(outbox, 3)
        held = len(await everything(outbox))
    shutil.copy(tmp_path / "outbox.db", tmp_path / "outbox.db.ready")
    (tmp_path / "outbox.db").write_bytes(b"not a database at all, " * 100)
    async with outbox_in(tmp_path, EPOCHS[1]) as outbox:
        assert len(await everything(outbox)) == held
    shutil.copy(tmp_path / "outbox.db", tmp_path / "outbox.db.new")
    async with outbox_in(tmp_path, EPOCHS[2]) as outbox:
        assert len(await everything(outbox)) == held
    assert not (tmp_path / "outbox.db.new").exists()


async def test_whatever_is_under_way_when_the_file_vanishes_is_done_once_in_one_new_epoch(tmp_path: Path) -> None:
    """No piece of work that was queued behind the one that noticed it runs with the old epoch's numbers."""
    async with outbox_in(tmp_path) as outbox:
        await fill(outbox, 4)
        delete_all(tmp_path, tmp_path)
        _, entries, _, _ = await asyncio.gather(
            outbox.commit(group(measured(1))),
            everything(outbox),
            outbox.remove([Range(EPOCHS[0], Stream.DATA, 1, 300)]),
            outbox.forget(*RESEARCH),
        )
        assert outbox.generation == 1
        assert len(entries) >= 3
        found = [entry.part.range for entry in await everything(outbox)]
        assert found == [
            *(Range(EPOCHS[0], Stream.DATA, 300 * n + 1, 300 * n + 300) for n in range(1, 4)),
            Range(EPOCHS[1], Stream.DATA, 1, 1),
        ]
        await check_totals(outbox)
