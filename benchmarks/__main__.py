"""`make bench` and `make bench-compare`: measure and keep, or compare with what was kept."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import comparison, figures, report
from benchmarks.comparison import Change, Verdict
from benchmarks.figures import Result
from benchmarks.measuring import PARTS, measure

RESULTS = Path(__file__).with_name("results")
EXIT_FAILED = 1

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
_Parts = Annotated[list[str] | None, typer.Argument(metavar="[PART]...", help=f"Of {', '.join(PARTS)}; without: all.")]
_Quick = Annotated[bool, typer.Option("--quick", help="Short rounds, to see that it works; kept only in --results.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout; progress goes to stderr.")]
_Disk = Annotated[
    Path | None, typer.Option(envvar="KANMON_BENCH_DISK", help="Folder on the disk to measure; not one in memory.")
]
_Results = Annotated[Path | None, typer.Option(help="Folder to keep the results in; without it benchmarks/results.")]


@app.command()
def run(
    parts: _Parts = None,
    quick: _Quick = False,
    as_json: _Json = False,
    results: _Results = None,
    disk: _Disk = None,
) -> None:
    """Measure, and keep the results. Exit 1 when a part could not be measured; a missed goal is only shown."""
    found, failed = measure(_chosen(parts), quick, disk)
    keep = results if results is not None or quick else RESULTS
    if keep is not None:
        for result in found:
            figures.write(keep, result)
    if as_json:
        typer.echo(json.dumps({"results": [figures.as_document(result) for result in found], "failed": failed}))
    raise typer.Exit(EXIT_FAILED if failed else 0)


@app.command()
def compare(
    parts: _Parts = None,
    base: Annotated[Path, typer.Option(help="A result, or a folder of them.")] = RESULTS,
    new: Annotated[Path | None, typer.Option(help="The same; without it everything is measured now.")] = None,
    quick: _Quick = False,
    as_json: _Json = False,
    disk: _Disk = None,
) -> None:
    """Show what changed. Exit 1 when a ratio is worse by more than a fifth, or a part could not be measured."""
    before = _read(base)
    chosen = [part for part in _chosen(parts) if part in before]
    if not chosen:
        raise typer.BadParameter(f"{base} holds no result to compare with")
    failed: dict[str, str] = {}
    if new is None:
        measured, failed = measure(chosen, quick, disk)
        now = {result.part: result for result in measured}
    else:
        now = {part: result for part, result in _read(new).items() if part in chosen}
    found = [one for part, result in now.items() for one in comparison.changes(before[part], result)]
    if as_json:
        typer.echo(json.dumps({"changes": [_said(change) for change in found], "failed": failed}))
    else:
        report.show_changes(Console(), found)
    is_worse = any(change.verdict is Verdict.REGRESSED for change in found)
    raise typer.Exit(EXIT_FAILED if is_worse or failed else 0)


def _chosen(parts: Sequence[str] | None) -> list[str]:
    unknown = set(parts or ()) - set(PARTS)
    if unknown:
        raise typer.BadParameter(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return list(parts or PARTS)


def _read(place: Path) -> dict[str, Result]:
    try:
        return figures.read_all(place)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise typer.BadParameter(f"no results can be read from {place}: {error}") from error


def _said(change: Change) -> dict[str, object]:
    ratios = [one.ratio if one else None for one in (change.before, change.now)]
    return {**asdict(change), "ratio_before": ratios[0], "ratio_now": ratios[1]}


if __name__ == "__main__":
    sys.exit(app())
