"""Runs the parts one after another, shows each figure as it comes, and keeps one that fails from ending the others."""

import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks import machine, report, slow_disk
from benchmarks.figures import Figure, Result
from benchmarks.run import Part, Run, kernel_counts

PARTS = ("agent_weight", "outbox", "backlog", "peers", "whole_path", "store", "fleet")
"""Modules of this folder, each a Part."""
_COLUMNS = (
    SpinnerColumn(),
    BarColumn(20),
    MofNCompleteColumn(),
    TimeElapsedColumn(),
    TextColumn("{task.description}"),
)


class Watch(Protocol):
    """Who is told how a run goes."""

    def begins(self, part: str, load: object) -> None:
        """A part begins."""

    def doing(self, text: str) -> None:
        """What is being measured now."""

    def measured(self, figure: Figure) -> None:
        """One more figure is there."""

    def failed(self, part: str) -> None:
        """A part ended with the error that is being handled."""


class OnTerminal:
    """A bar over all figures, and a line for each that is there, on standard error."""

    def __init__(self, progress: Progress, figures: int) -> None:
        self._progress = progress
        self._bar = progress.add_task("", total=figures)

    def begins(self, part: str, load: object) -> None:
        """Say it."""
        self._progress.console.print(f"[bold]{part}[/] (load {load})", highlight=False)

    def doing(self, text: str) -> None:
        """Put it beside the bar."""
        self._progress.update(self._bar, description=text)

    def measured(self, figure: Figure) -> None:
        """Show it, and move the bar."""
        report.show_figure(self._progress.console, figure)
        self._progress.advance(self._bar)

    def failed(self, part: str) -> None:
        """Show the error."""
        self._progress.console.print(f"  [red]{part} failed[/]")
        self._progress.console.print_exception()


def load_part(name: str) -> Part:
    """The part of that name."""
    return cast("Part", import_module(f"benchmarks.{name}"))


def measure(parts: Sequence[str], is_quick: bool, disk: Path | None) -> tuple[list[Result], dict[str, str]]:
    """The results of `parts`, and why others failed. `disk`: the folder to work in, else that for temporary files."""
    modules = {name: load_part(name) for name in parts}
    figures = sum(len(module.FIGURES) for module in modules.values())
    console = Console(stderr=True)
    with (
        tempfile.TemporaryDirectory(dir=disk, prefix="kanmon-bench-") as folder,
        Progress(*_COLUMNS, console=console, transient=True) as progress,
    ):
        return _measured(modules, is_quick, Path(folder), OnTerminal(progress, figures))


def _measured(
    modules: Mapping[str, Part], is_quick: bool, root: Path, watch: Watch
) -> tuple[list[Result], dict[str, str]]:
    root.chmod(0o755)  # a database server may run as another user
    run = Run(root, is_quick, slow_disk.compiled(root), kernel_counts(root), watch.doing)
    results: list[Result] = []
    failed: dict[str, str] = {}
    for name, module in modules.items():
        about = machine.described(root)
        watch.begins(name, about["load"])
        found: list[Figure] = []
        try:
            for figure in module.measure(run):
                found.append(figure)
                watch.measured(figure)
        except Exception as error:  # noqa: BLE001 - the top of one part's work
            watch.failed(name)
            failed[name] = f"{type(error).__name__}: {error}"
        else:
            results.append(Result(name, about, found, is_quick))
    return results, failed
