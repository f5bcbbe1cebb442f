"""A hub whose database is PostgreSQL: it waits for it, and shows nobody its password."""

from pathlib import Path

import pytest

from cloud_sync import topics
from contract.ids import DeviceId
from contract.record import Stream
from hub.store.rollups import Step
from hub.store.store import Store
from support.gateway_traffic import GATEWAY, levels, receipts
from support.postgres import USER, Postgres, running_postgres
from support.processes import Hub, Process, running
from support.running_hub import gateway_client
from support.waiting import until

PASSWORD_PLACES = ("cmdline", "environ")


def by_file(folder: Path, postgres: Postgres) -> dict[str, str]:
    """A database whose password lies in a file."""
    secret = folder / "database.password"
    secret.write_text(f"{postgres.password}\n")
    postgres.run_sql("CREATE DATABASE by_file")
    return {
        "KANMON_DATABASE_URL": f"postgresql://{USER}@127.0.0.1:{postgres.port}/by_file",
        "KANMON_DATABASE_PASSWORD_FILE": str(secret),
    }


async def test_the_password_is_shown_to_nobody(tmp_path: Path) -> None:
    """Not in the log while the database is away, nor to whoever lists processes or reads the state folder."""
    with running_postgres() as postgres:
        hub = Hub(tmp_path, environment=by_file(tmp_path, postgres))
        async with running(hub):
            for place in PASSWORD_PLACES:
                assert postgres.password.encode() not in Path(f"/proc/{hub.pid}/{place}").read_bytes()
            postgres.kill()

            async def is_seen() -> bool:
                return not await hub.answers()

            await until(is_seen, 10)
            postgres.start()
            await until(hub.answers, 20)
        assert postgres.password not in hub.log.read_text()
        for path in hub.state.rglob("*"):
            assert not path.is_file() or postgres.password.encode() not in path.read_bytes(), path


async def test_a_start_waits_for_the_database(tmp_path: Path) -> None:
    """After a power cut everything starts at once, in any order."""
    with running_postgres() as postgres:
        url = postgres.new_database()
        postgres.kill()
        hub = Hub(tmp_path, environment={"KANMON_DATABASE_URL": url})
        await Process.start(hub)
        try:
            await until((hub.state / "lock").exists, 10)
            postgres.start()
            await until(hub.answers, 30)
        finally:
            await hub.stop()


async def test_a_wrong_password_is_told_without_it(tmp_path: Path, postgres: Postgres) -> None:
    (tmp_path / "secret").write_text("hunter2")
    environment = {
        "KANMON_DATABASE_URL": f"postgresql://{USER}@127.0.0.1:{postgres.port}/postgres",
        "KANMON_DATABASE_PASSWORD_FILE": str(tmp_path / "secret"),
    }
    hub = Hub(tmp_path, environment=environment)
    await Process.start(hub)
    await until(lambda: "password authentication failed" in hub.log.read_text(), 30)
    await hub.stop()
    said = hub.log.read_text()
    assert "hunter2" not in said
    assert postgres.password not in said
    assert "Traceback" not in said


@pytest.mark.parametrize("role", ["api", "ingest"])
async def test_a_role_that_sqlite_cannot_play_is_refused(tmp_path: Path, role: str) -> None:
    hub = Hub(tmp_path, role=role)
    await Process.start(hub)
    code = await hub.ended()
    said = hub.log.read_text()
    assert (code, said.count("\n")) == (2, 2), said
    assert "KANMON_DATABASE_URL=postgresql://" in said
    assert "KANMON_NATS_URL" in said
    assert not (hub.state / "running.json").exists()


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_a_running_hub_rolls_up_what_came(tmp_path: Path, engine: str, request: pytest.FixtureRequest) -> None:
    """Nobody asks for it: upkeep is part of every hub that takes records in."""
    environment = {} if engine == "sqlite" else {"KANMON_DATABASE_URL": request.getfixturevalue("database_url")}
    hub = Hub(tmp_path, environment=environment)
    async with running(hub):
        await hub.add_gateway(GATEWAY)
        async with gateway_client(hub.state, GATEWAY, hub.mqtt_port) as client:
            await client.subscribe(topics.down_filter(GATEWAY))
            await client.publish(topics.up(GATEWAY, Stream.DATA), levels(1, 300), qos=1)
            await receipts(client, 300)
        await until(lambda: is_rolled_up(hub, environment), 30)


async def is_rolled_up(hub: Hub, environment: dict[str, str]) -> bool:
    """The minutes of the readings are there, asked for beside the running hub."""
    async with Store(hub.state / "hub.sqlite", environment.get("KANMON_DATABASE_URL")) as store:
        page = await store.rollups(DeviceId("river-1"), "water_level", Step.MINUTE)
        return sum(row.count for row in page.items) == 300
