"""What only SQLite can get wrong: the file, its rights, its schema, a disk that is full."""

from pathlib import Path

import pytest

from contract.errors import Misconfigured, StoreFull, Tampered
from hub.arrival import read
from hub.store.quarantine import seal_beside
from hub.store.sqlite.database import Database
from hub.store.sqlite.writing import Writer
from hub.store.store import Store
from support.stores import NOW, levels, message


async def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    async with Store(tmp_path / "hub.sqlite"):
        pass
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())


async def test_a_file_that_is_no_database_is_one_clear_sentence(tmp_path: Path) -> None:
    path = tmp_path / "hub.sqlite"
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(Misconfigured, match="cannot be opened"):
        async with Store(path):
            pass


async def test_a_full_database_keeps_nothing_of_the_group_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    async with Database(tmp_path / "hub.sqlite") as database:
        writer = Writer(seal_beside(tmp_path / "hub.sqlite"))
        many = [message(levels(first, first + 499)) for first in range(1, 5001, 500)]
        (pages,) = await database.read(lambda c: c.execute("PRAGMA page_count").fetchone())
        await database.read(lambda c: c.execute(f"PRAGMA max_page_count = {pages + 10}").fetchone())
        with pytest.raises(StoreFull):
            await database.transact(lambda c: writer.write(c, many))
        assert await database.read(lambda c: c.execute("SELECT count(*) FROM seen").fetchone()) == (0,)
        await database.read(lambda c: c.execute("PRAGMA max_page_count = 100000").fetchone())
        outcome = await database.transact(lambda c: writer.write(c, many))
        assert outcome.records == 5000


async def test_what_is_quarantined_rests_sealed(tmp_path: Path) -> None:
    path = tmp_path / "hub.sqlite"
    async with Store(path) as store:
        await store.commit([read("kanmon.gw-1.up.data", b"canary", NOW)])
        assert [payload for _, payload in await store.quarantined()] == [b"canary"]
        assert b"canary" not in b"".join(one.read_bytes() for one in tmp_path.iterdir())
    async with Database(path) as database:
        await database.transact(lambda c: c.execute("UPDATE quarantine SET payload = CAST(x'00' || payload AS BLOB)"))
    async with Store(path) as store:
        with pytest.raises(Tampered):
            await store.quarantined()


async def test_a_database_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "hub.sqlite"
    async with Database(path) as database:
        await database.read(lambda c: c.execute("PRAGMA user_version = 99"))
    with pytest.raises(Misconfigured, match="version 99"):
        async with Database(path):
            pass
