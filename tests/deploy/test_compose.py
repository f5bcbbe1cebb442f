"""The compose file is one by its own schema, and starts what this version of the hub understands."""

import json
import re
import shlex
from pathlib import Path

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from hub import environment
from hub.cli import app
from hub.settings import load

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "deploy" / "cluster"
COMPOSE = yaml.safe_load((CLUSTER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
HUBS = sorted(name for name, service in SERVICES.items() if service.get("image") == "kanmon-hub")
VARIABLES = re.compile(r"KANMON_[A-Z_]+")


def test_the_compose_file_follows_the_schema() -> None:
    """Of the Compose Specification itself, which refuses members it does not know."""
    schema = json.loads((ROOT / "tests" / "assets" / "compose-spec.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.Draft7Validator(schema).validate(COMPOSE)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate({"services": {"api": {"imaje": "x"}}})


def test_it_is_the_cluster_that_the_documents_promise() -> None:
    assert {"node-1", "node-2", "node-3", "postgres"} | set(HUBS) == set(SERVICES)
    assert [SERVICES[name]["command"][2] for name in HUBS] == ["api", "ingest", "ingest"]


@pytest.mark.parametrize("name", HUBS)
def test_each_hub_is_started_with_options_that_it_knows(name: str) -> None:
    result = CliRunner().invoke(app, [*SERVICES[name]["command"], "--help"])
    assert result.exit_code == 0, result.output
    known = {getattr(environment, constant) for constant in dir(environment) if constant.isupper()}
    assert set(SERVICES[name]["environment"]) <= known


@pytest.mark.parametrize("name", HUBS)
def test_no_secret_stands_in_it(name: str) -> None:
    """Passwords come as files; a URL holds none."""
    for text in SERVICES[name]["environment"].values():
        assert ":" not in re.sub(r"://|:\d+", "", text), text


def test_what_is_mounted_is_there_or_is_made_by_hand() -> None:
    made = set((CLUSTER / ".gitignore").read_text().replace("state/", "state").split())
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("./"):
                assert (CLUSTER / source).exists() or source[2:] in made, source
            else:
                assert source in COMPOSE["volumes"]
    files = [entry["file"] for table in ("secrets", "configs") for entry in COMPOSE[table].values()]
    assert all((CLUSTER / file).exists() or Path(file).parts[0] in made for file in files)


def test_everything_listens_on_this_machine_only() -> None:
    """Nothing between gateway and hub is encrypted in this version."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 7
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert len({port.split(":")[1] for port in ports}) == 7


def test_the_settings_of_the_cluster_are_settings() -> None:
    settings = load(CLUSTER / "hub.toml")
    assert (settings.broker.replicas, settings.ingest.workers) == (3, 2)


def test_the_image_is_made_of_every_package_and_of_no_secret() -> None:
    listed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"benchmarks", "tests"}
    assert listed == packages | {"requirements.lock", "pyproject.toml", "README.md", "LICENSE"}
    dockerfile = (CLUSTER / "Dockerfile").read_text()
    for source in re.findall(r"^COPY (\S+)", dockerfile, re.MULTILINE):
        assert source == "." or source in listed
    assert json.loads(dockerfile.rpartition("ENTRYPOINT ")[2].splitlines()[0]) == ["kanmon-hub"]
    assert shlex.split(dockerfile.partition("USER ")[2])[0] == "kanmon"
