"""What the town writes down survives its death: at most the line being written is lost."""

import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import Tampered
from firmware_sim.ledger import Emission
from firmware_sim.recorder import Recorder, read_emissions

AT = datetime(2026, 11, 22, 3, 0, 0, 123456, tzinfo=UTC)
FIRST = Emission("strap-1", AT, {"heart_rate": 72.0})
SECOND = Emission("bus-1", AT, {"lat": 33.95, "lon": 130.94})

KILLED_WHILE_WRITING = """
import sys, pathlib, datetime
from firmware_sim.ledger import Emission
from firmware_sim.recorder import Recorder
with Recorder(pathlib.Path(sys.argv[1])) as recorder:
    for n in range(10**9):
        recorder.record(Emission("river-1", datetime.datetime.now(datetime.UTC), {"device_counter": n}))
        if n == 100:
            print("enough", flush=True)
"""


def write(path: Path, *emissions: Emission) -> None:
    with Recorder(path) as recorder:
        for emission in emissions:
            recorder.record(emission)


def test_what_was_recorded_is_read(tmp_path: Path) -> None:
    path = tmp_path / "emitted.jsonl"
    write(path, FIRST)
    write(path, SECOND)
    assert list(read_emissions(path)) == [FIRST, SECOND]


def test_a_file_that_is_absent_is_empty(tmp_path: Path) -> None:
    assert list(read_emissions(tmp_path / "none.jsonl")) == []


@given(st.integers(1, 60))
def test_a_cut_last_line_is_left_out_and_removed_by_the_next_recorder(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "emitted.jsonl"
    write(path, FIRST, SECOND)
    path.write_bytes(path.read_bytes()[:-cut])
    assert list(read_emissions(path)) == [FIRST]
    write(path, SECOND)
    assert list(read_emissions(path)) == [FIRST, SECOND]


def test_a_file_of_one_cut_line_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "emitted.jsonl"
    path.write_bytes(b'{"device":' * 1000)
    assert list(read_emissions(path)) == []
    write(path, FIRST)
    assert list(read_emissions(path)) == [FIRST]


@pytest.mark.parametrize(
    "line", ["[]", "{}", "no", '{"device":"a","at":"b","values":{}}', '{"device":"a","at":1,"values":[]}']
)
def test_a_broken_line_elsewhere_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "emitted.jsonl"
    write(path, FIRST)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(Tampered, match=r"emitted\.jsonl:2"):
        list(read_emissions(path))


def test_a_killed_writer_leaves_every_line_that_it_finished(tmp_path: Path) -> None:
    path = tmp_path / "emitted.jsonl"
    writer = subprocess.Popen([sys.executable, "-c", KILLED_WHILE_WRITING, str(path)], stdout=subprocess.PIPE)
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"enough\n"
        writer.send_signal(signal.SIGKILL)
    numbers = [emission.values["device_counter"] for emission in read_emissions(path)]
    assert len(numbers) > 100
    assert numbers == list(range(len(numbers)))
