"""hub.toml is checked whole; what would serve plain HTTP to others is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from contract.consent import Purpose
from contract.errors import Misconfigured
from hub.settings import Settings, load, with_ports
from hub.store.retention import Retention

PROGRAM = str(Path(sys.executable).with_name("kanmon-hub"))


def test_without_a_file_the_known_ports_hold() -> None:
    settings = load(None)
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 8080)
    assert (settings.broker.mqtt_port, settings.broker.nats_port) == (1883, 4222)


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "hub.toml"
    file.write_text('[http]\nhost = "::1"\nport = 9000\n[broker]\nmqtt_port = 9001\n')
    settings = with_ports(load(file), None, 0, 9002)
    assert (settings.http.host, settings.http.port) == ("::1", 9000)
    assert (settings.broker.mqtt_port, settings.broker.nats_port) == (0, 9002)


def test_without_a_file_records_are_kept_as_the_store_keeps_them() -> None:
    table, store = Settings().retention, Retention()
    assert (table.telemetry_days or None, table.minute_days or None) == (store.telemetry_days, store.minute_days)
    assert (table.hour_days or None) == store.hour_days
    assert (dict(store.quantities), dict(store.purposes)) == (table.quantities, table.purposes)


def test_every_fault_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "hub.toml"
    file.write_text('[http]\nhost = "0.0.0.0"\nprot = 8080\n[broker]\nmqtt_port = 70000\n')
    with pytest.raises(Misconfigured) as caught:
        load(file)
    assert sorted(fault.line for fault in caught.value.faults) == [2, 3, 5]
    assert "loopback" in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "localhost", "example.org", ""])  # noqa: S104
def test_another_host_than_loopback_is_refused(tmp_path: Path, host: str) -> None:
    file = tmp_path / "hub.toml"
    file.write_text(f'[http]\nhost = "{host}"\n')
    with pytest.raises(Misconfigured, match="loopback"):
        load(file)


def test_the_command_answers_a_broken_file_with_exit_code_2(tmp_path: Path) -> None:
    file = tmp_path / "hub.toml"
    file.write_text("[http]\nprot = 8080\n")
    command = [PROGRAM, "serve", "--state", str(tmp_path / "state"), "--config", str(file)]
    plain = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (plain.returncode, plain.stdout) == (2, "")
    assert f"{file}:2" in plain.stderr
    told = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=30, check=False)
    assert told.returncode == 2
    error = json.loads(told.stdout)["error"]
    assert error["family"] == "Misconfigured"
    assert error["faults"][0]["line"] == 2


def test_what_is_kept_and_how_is_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "hub.toml"
    file.write_text(
        "[broker]\nreplicas = 3\nstream_bytes = 100000\n[ingest]\nworkers = 8\n"
        "[retention]\ntelemetry_days = 30\nquantities = { water_level = 0 }\npurposes = { research = 365 }\n"
    )
    settings = load(file)
    assert (settings.broker.replicas, settings.broker.stream_bytes, settings.ingest.workers) == (3, 100000, 8)
    assert settings.retention.quantities == {"water_level": 0}
    assert settings.retention.purposes == {Purpose.RESEARCH: 365}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[broker]\nreplicas = 2", "3 or 5"),
        ("[broker]\nstream_bytes = 1", "65536"),
        ("[ingest]\nworkers = 0", "1"),
        ("[ingest]\nworkers = 9", "8"),
        ("[retention]\nquantities = { water_lvel = 3 }", "water_lvel"),
        ("[retention]\npurposes = { curiosity = 3 }", "keep_hub"),
        ("[retention]\ntelemetry_days = -1", "0"),
    ],
)
def test_a_size_that_makes_no_sense_is_refused(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "hub.toml"
    file.write_text(line + "\n")
    with pytest.raises(Misconfigured) as caught:
        load(file)
    assert said in str(caught.value)
    assert caught.value.faults[0].line == 2


def test_settings_are_fixed_once_made() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().http = None  # type: ignore[assignment, misc]  # it is refused
