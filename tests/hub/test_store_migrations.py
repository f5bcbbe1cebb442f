"""A database of each earlier version is brought up to date where it lies, and says afterwards what it said before.

tests/assets/store holds one dump a version and engine, made by the program of that version; it is never made again.
"""

import sqlite3
from pathlib import Path

import psycopg
import pytest

from contract.consent import Purpose
from contract.record import GapReason
from hub.store.postgres import migrations as postgres_migrations
from hub.store.rollups import Step
from hub.store.rows import PositionValue
from hub.store.sqlite import migrations as sqlite_migrations
from hub.store.store import open_store
from support.stores import NOW, RIVER, Place, at, levels, message

DUMPS = sorted((Path(__file__).parents[1] / "assets" / "store").glob("*.sql"))


@pytest.fixture(params=DUMPS, ids=lambda path: path.stem)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A database as an earlier program left it."""
    dump: Path = request.param
    path = tmp_path / "hub.sqlite"
    if dump.name.startswith("sqlite"):
        with sqlite3.connect(path) as connection:
            connection.executescript(dump.read_text())
        connection.close()
        return Place(path, None)
    url = request.getfixturevalue("database_url")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(dump.read_text())
    return Place(path, url)


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_there_is_a_dump_of_every_earlier_version(engine: str) -> None:
    """Whoever adds a migration keeps a database of the version before it."""
    history = {"sqlite": sqlite_migrations.MIGRATIONS, "postgres": postgres_migrations.MIGRATIONS}[engine]
    kept = {path.stem for path in DUMPS if path.stem.startswith(engine)}
    assert kept >= {f"{engine}_{version}" for version in range(1, len(history))}


async def test_an_earlier_database_is_migrated_with_everything_in_it(place: Place) -> None:
    """Readings, latest values, persons, alerts and gaps; what was received is still known."""
    for _ in range(2):
        async with open_store(place.path, place.url) as store:
            (gateway,) = await store.gateways()
            assert (gateway.first_seen, gateway.software) == (NOW, "kanmon 0.1.0")
            rows = (await store.readings(RIVER)).items
            assert [row.value for row in rows if row.quantity == "water_level"] == [7.0, 0.1, 1.1, 2.1, 3.1]
            assert len(rows) == 13
            values = {row.quantity: row.value for row in await store.latest(RIVER)}
            assert values == {
                "water_level": 3.1,
                "humidity": None,
                "position": PositionValue(33.95, 130.94, None, 271.5),
            }
            assert [row.subject for row in (await store.released()).items] == ["p0123abcd"] * 2
            (aggregate,) = await store.aggregates(Purpose.STATISTICS, "heart_rate", NOW, at(60))
            assert aggregate.mean == 70.5
            (alert,) = await store.open_alerts()
            assert alert.alert.name_ja == "避難判断水位"
            assert [(gap.reason, gap.count) for gap in (await store.gaps()).items] == [(GapReason.RESTART, 3)]
            assert (await store.commit([message(levels(1, 13))])).records == 0


async def test_what_was_stored_before_there_were_rollups_is_rolled_up(place: Place) -> None:
    async with open_store(place.path, place.url) as store:
        while (await store.maintain(at(3600))).more:
            continue
        minutes = (await store.rollups(RIVER, "water_level", Step.MINUTE, start=at(-60))).items
        assert [(row.start, row.count, row.last) for row in minutes] == [(at(0), 3, 2.1), (at(60), 1, 3.1)]


async def test_a_migrated_database_is_written_as_a_new_one(place: Place) -> None:
    async with open_store(place.path, place.url) as store:
        assert (await store.commit([message(levels(100, 102))])).records == 3
        assert len((await store.readings(RIVER)).items) == 16
