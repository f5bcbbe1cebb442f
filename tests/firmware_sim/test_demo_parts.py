"""What the demo prepares before anything runs: ports, the state folder, and settings that the gateway accepts."""

import socket
from pathlib import Path

import pytest

from agent import settings
from firmware_sim import gateway_files, ports
from firmware_sim.narrator import LineCount
from firmware_sim.plan import BUS, RIVER, STRAPS, Layout
from firmware_sim.ports import Ports, PortTaken
from firmware_sim.state_folder import StateUnusable, state_folder

STAGES_M = ((1, 1.5), (2, 2.0), (3, 2.5))


def test_free_ports_differ_and_are_free() -> None:
    chosen = ports.choose(0)
    numbers = {chosen.http, chosen.mqtt, chosen.nats, chosen.modbus}
    assert len(numbers) == 4
    for number in numbers:
        with socket.create_server((ports.HOST, number)):
            pass


def test_a_taken_port_is_one_clear_sentence() -> None:
    with socket.create_server((ports.HOST, 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(
            PortTaken, match=rf"^Port {taken} cannot be used: Address already in use\. End .*--port 0\.$"
        ):
            ports.choose(taken)


def test_a_temporary_folder_goes_at_the_end_unless_kept() -> None:
    with state_folder(None, keep=False) as root:
        (root / "deep").mkdir()
    assert not root.exists()
    with state_folder(None, keep=True) as root:
        pass
    assert (root / "lock").exists()
    (root / "lock").unlink()
    root.rmdir()


def test_a_given_folder_stays_and_serves_one_run_at_a_time(tmp_path: Path) -> None:
    wanted = tmp_path / "a" / "b"
    with state_folder(wanted, keep=False) as root:
        assert root == wanted
        with pytest.raises(StateUnusable, match=f"Another kanmon-sim runs on {wanted}"):
            state_folder(wanted, keep=False).__enter__()
    with state_folder(wanted, keep=False):
        pass
    assert wanted.is_dir()


def test_a_folder_that_cannot_be_made_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateUnusable, match=r"^The state folder cannot be written: .*Not a directory\.$"):
        state_folder(tmp_path / "file" / "state", keep=False).__enter__()


def test_a_path_too_long_for_sockets_is_said_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(StateUnusable, match=r"bytes too long for the sockets in it"):
        state_folder(tmp_path / ("x" * 100), keep=False).__enter__()


def test_the_gateway_accepts_the_settings_that_the_demo_writes(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.password.parent.mkdir(parents=True)
    layout.password.touch(mode=0o600)
    layout.password.write_text("secret")
    gateway_files.write(layout, Ports(http=8080, mqtt=18830, nats=4222, modbus=15020), STAGES_M)
    accepted = settings.load(layout.settings)
    assert {device.id for device in accepted.devices} == {RIVER, BUS, *STRAPS}
    assert accepted.hub.urls == ("mqtt://127.0.0.1:18830",)
    assert {rule.kind for rule in accepted.rules} == {"river_stage", "pulse_high_at_rest"}


def test_lines_of_a_growing_file_are_counted_once(tmp_path: Path) -> None:
    counter, path = LineCount(), tmp_path / "emitted.jsonl"
    assert counter.of(path) == 0
    path.write_bytes(b"1\n2\n3")
    assert counter.of(path) == 2
    path.write_bytes(b"1\n2\n3\n4\n")
    assert counter.of(path) == 4
    assert counter.of(path) == 4
