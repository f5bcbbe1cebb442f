"""The files that keep results, the parts that make them, and the command that shows both. Nothing is timed here."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks import slow_disk
from benchmarks.__main__ import RESULTS, app
from benchmarks.figures import Figure, Goal, Limit, Result, as_document, not_measured, path_of, read, write
from benchmarks.machine import described, filesystem
from benchmarks.measuring import PARTS, load_part
from benchmarks.run import Run, medians

ROOT = Path(__file__).parents[2]
RESULT = Result(
    "part",
    {"machine": "x86_64", "cores": 2, "postgresql": None},
    [
        Figure("rate", 80.0, "readings/s", True, Goal(at_least=0.8, of_ratio=True), Limit("raw", 100.0), {"batch": 7}),
        Figure("bytes", 31.0, "bytes/reading", False, Goal(at_most=30)),
        not_measured("p99", "ms", "no compiler", Goal(at_most=3, of_ratio=True)),
    ],
)


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read(write(tmp_path, RESULT)) == RESULT
    assert [path.name for path in tmp_path.iterdir()] == ["part.json"]


def test_a_file_says_ratios_and_goals_for_who_reads_it() -> None:
    figures = as_document(RESULT)["figures"]
    assert isinstance(figures, list)
    assert [(one["ratio"], one["is_met"]) for one in figures] == [(0.8, True), (None, False), (None, None)]


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "part.json"
    path.write_text('{"format": 999}')
    with pytest.raises(ValueError, match="format"):
        read(path)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_names_what_it_measures_and_the_document_explains_it(part: str) -> None:
    names = load_part(part).FIGURES
    assert len(set(names)) == len(names)
    text = (ROOT / "docs" / "benchmarks.md").read_text()
    section = text.split(f"\n## {part}\n", 1)[1].split("\n## ", 1)[0]
    assert re.findall(r"^\| (\w+) \|", section, re.MULTILINE)[1:] == list(names)


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_a_kept_baseline_is_whole(path: Path) -> None:
    """Measured at full length, under its part's name, with every figure of the part."""
    kept = read(path)
    assert not kept.is_quick
    assert path == path_of(RESULTS, kept.part)
    assert [figure.name for figure in kept.figures] == list(load_part(kept.part).FIGURES)


def test_the_machine_is_described(tmp_path: Path) -> None:
    said = described(tmp_path)
    assert {"machine", "cores", "python", "sqlite", "postgresql", "nats", "load", "date"} <= said.keys()
    assert json.loads(json.dumps(said)) == said
    assert filesystem(Path("/proc")) == "proc"


def test_rounds_take_turns_and_the_first_is_thrown_away(tmp_path: Path) -> None:
    order: list[str] = []

    def count(name: str) -> float:
        order.append(name)
        return float(len(order))

    run = Run(tmp_path, False, None, False, lambda _: None)
    found = medians(run, 2, {"a": lambda _: count("a"), "b": lambda _: count("b")})
    assert order == ["a", "b"] * 3
    assert found == {"a": [3.0, 5.0], "b": [4.0, 6.0]}


def test_the_library_for_a_slow_disk_compiles(tmp_path: Path) -> None:
    library = slow_disk.compiled(tmp_path)
    if library is None:
        pytest.skip(slow_disk.NO_COMPILER)
    said = slow_disk.environment(library, 2.5)
    assert (said["LD_PRELOAD"], said["KANMON_FSYNC_DELAY_US"]) == (str(library), "2500")


def test_a_worse_ratio_between_two_folders_makes_the_command_fail(tmp_path: Path) -> None:
    base, same, worse = (tmp_path / name for name in ("base", "same", "worse"))
    agent = Result("agent_weight", {}, [Figure("rss", 50.0, "MiB", False, None, Limit("bare", 20.0))])
    write(base, agent)
    write(same, agent)
    write(worse, Result("agent_weight", {}, [Figure("rss", 90.0, "MiB", False, None, Limit("bare", 20.0))]))
    runner = CliRunner()
    good = runner.invoke(app, ["compare", "--base", str(base), "--new", str(same)])
    assert good.exit_code == 0, good.output
    bad = runner.invoke(app, ["compare", "--base", str(base), "--new", str(worse), "--json"])
    assert bad.exit_code == 1
    (change,) = json.loads(bad.stdout)["changes"]
    assert (change["verdict"], change["ratio_before"], change["ratio_now"]) == ("regressed", 2.5, 4.5)


def test_a_part_that_is_none_is_refused() -> None:
    answer = CliRunner().invoke(app, ["run", "nonsense"])
    assert answer.exit_code == 2
    assert "no such part" in answer.output
