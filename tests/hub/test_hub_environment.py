"""What the environment says is checked at start; no secret of it is shown."""

from pathlib import Path

import pytest

from contract.errors import Misconfigured
from hub.environment import Access, Environment, Role, check, masked, read

POSTGRES = "postgresql://kanmon@db.example:5432/kanmon"


def secret(folder: Path, text: str = "p@ss/word:1\n") -> str:
    path = folder / "secret"
    path.write_text(text)
    return str(path)


def test_without_variables_the_hub_has_its_own_database_and_broker() -> None:
    assert read({}) == read({"KANMON_NATS_URL": "", "KANMON_DATABASE_URL": ""}) == Environment()


def test_a_password_file_completes_the_database_url(tmp_path: Path) -> None:
    """Whatever the password holds, it stays one part of the URL."""
    found = read({"KANMON_DATABASE_URL": POSTGRES, "KANMON_DATABASE_PASSWORD_FILE": secret(tmp_path)})
    assert found.database_url == "postgresql://kanmon:p%40ss%2Fword%3A1@db.example:5432/kanmon"
    assert read({"KANMON_DATABASE_URL": POSTGRES}).database_url == POSTGRES


def test_a_cluster_is_several_urls(tmp_path: Path) -> None:
    variables = {
        "KANMON_NATS_URL": "nats://a:4222, nats://b:4222,nats://c",
        "KANMON_NATS_USER": "hub",
        "KANMON_NATS_PASSWORD_FILE": secret(tmp_path),
    }
    assert read(variables).broker == Access(("nats://a:4222", "nats://b:4222", "nats://c"), "hub", "p@ss/word:1")


WRONG = [
    ({"KANMON_DATABASE_URL": "mysql://x:hunter2@h/d"}, "no postgresql"),
    ({"KANMON_DATABASE_URL": "postgresql://[h"}, "no postgresql"),
    ({"KANMON_DATABASE_URL": "postgresql://h/d", "KANMON_DATABASE_PASSWORD_FILE": "FILE"}, "needs a user"),
    ({"KANMON_DATABASE_URL": "postgresql://u:hunter2@h/d", "KANMON_DATABASE_PASSWORD_FILE": "FILE"}, "no password"),
    ({"KANMON_DATABASE_URL": POSTGRES, "KANMON_DATABASE_PASSWORD_FILE": "/nowhere"}, "No such file"),
    ({"KANMON_DATABASE_URL": POSTGRES, "KANMON_DATABASE_PASSWORD_FILE": "EMPTY"}, "is empty"),
    ({"KANMON_NATS_URL": "nats://u:hunter2@a:4222,http://u:hunter2@b"}, "no NATS URL"),
    ({"KANMON_NATS_URL": "nats://u:hunter2@a:notaport"}, "no NATS URL"),
    ({"KANMON_NATS_URL": "nats://a", "KANMON_NATS_USER": "hub"}, "belong together"),
    ({"KANMON_NATS_URL": "nats://a", "KANMON_NATS_PASSWORD_FILE": "FILE"}, "belong together"),
]


@pytest.mark.parametrize(("variables", "said"), WRONG)
def test_what_is_wrong_is_said_without_a_secret(tmp_path: Path, variables: dict[str, str], said: str) -> None:
    (tmp_path / "empty").touch()
    files = {"FILE": secret(tmp_path, "hunter2"), "EMPTY": str(tmp_path / "empty")}
    with pytest.raises(Misconfigured, match=said) as caught:
        read({name: files.get(value, value) for name, value in variables.items()})
    assert "hunter2" not in str(caught.value)


def test_nothing_that_is_printed_holds_a_secret(tmp_path: Path) -> None:
    variables = {
        "KANMON_DATABASE_URL": POSTGRES,
        "KANMON_DATABASE_PASSWORD_FILE": secret(tmp_path, "hunter2"),
        "KANMON_NATS_URL": "nats://hub:hunter2@a:4222",
        "KANMON_NATS_USER": "hub",
        "KANMON_NATS_PASSWORD_FILE": secret(tmp_path, "hunter2"),
    }
    assert "hunter2" not in repr(read(variables))
    assert (
        masked("at nats://hub:hunter2@a:4222 and postgresql://x:y@h/d")
        == "at nats://***@a:4222 and postgresql://***@h/d"
    )


def test_sqlite_and_the_embedded_broker_are_for_one_process() -> None:
    check(Environment(), Role.ALL, 1)
    check(Environment(POSTGRES, Access(("nats://a",))), Role.INGEST, 3)
    for role in (Role.API, Role.INGEST):
        with pytest.raises(Misconfigured, match="KANMON_DATABASE_URL=postgresql") as caught:
            check(Environment(), role, 1)
        assert len(caught.value.faults) == 2
        with pytest.raises(Misconfigured, match="KANMON_NATS_URL"):
            check(Environment(POSTGRES), role, 1)
    with pytest.raises(Misconfigured, match="replicas"):
        check(Environment(POSTGRES), Role.ALL, 3)
