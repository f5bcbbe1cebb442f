"""What a person sees: one line a figure as it comes, and the tables of a comparison."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.comparison import Change, Verdict
from benchmarks.figures import Detail, Figure

FILE_WIDTH = 140
"""Columns where no terminal says how many there are."""
_MARKS = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}
_STYLES = {Verdict.REGRESSED: "red", Verdict.IMPROVED: "green"}


def number(value: float | None) -> str:
    """A number as short as it can be read."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def goal_text(figure: Figure) -> str:
    """The goal in words; empty without one."""
    goal = figure.goal
    if goal is None:
        return ""
    bounds = [("at least", goal.at_least), ("at most", goal.at_most)]
    words = " and ".join(f"{word} {number(bound)}" for word, bound in bounds if bound is not None)
    return f"ratio {words}" if goal.of_ratio else words


def show_figure(console: Console, figure: Figure) -> None:
    """One line, or two with details."""
    if figure.value is None:
        console.print(
            f"  [bold]{figure.name}[/]  [yellow]skipped[/]: {figure.skipped}", highlight=False, soft_wrap=True
        )
        return
    unit = "" if figure.unit == "ratio" else f" {figure.unit}"
    parts = [f"  [bold]{figure.name}[/]  {number(figure.value)}{unit}"]
    if figure.limit is not None:
        parts.append(f"ratio {number(figure.ratio)} to {figure.limit.what} ({number(figure.limit.value)})")
    if figure.goal is not None:
        parts.append(f"goal {goal_text(figure)} {_MARKS[figure.is_met]}")
    console.print("  ".join(parts), highlight=False, soft_wrap=True)
    if figure.details:
        console.print(f"      [dim]{_details(figure)}[/]", highlight=False, soft_wrap=True)


def show_changes(console: Console, changes: Sequence[Change]) -> None:
    """A table of every figure then and now, ratios where there are any."""
    if not console.is_terminal:
        console = Console(file=console.file, width=FILE_WIDTH)
    table = Table()
    table.add_column("figure", no_wrap=True)
    for heading in ("ratio before", "ratio now", "worse by"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for heading in ("before", "now"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("unit")
    for change in changes:
        figure = change.now or change.before
        pair = (change.before, change.now)
        ratios = [number(one.ratio) if one else "-" for one in pair]
        values = [number(one.value) if one else "-" for one in pair]
        worse = "" if change.worse_by is None else f"{change.worse_by:+.0%}"
        name, unit = f"{change.part} {change.name}", figure.unit if figure else ""
        style = _STYLES.get(change.verdict)
        table.add_row(name, *ratios, worse, change.verdict.value, *values, unit, style=style)
    console.print(table)


def _details(figure: Figure) -> str:
    return ", ".join(f"{name} {_shown(value)}" for name, value in figure.details.items())


def _shown(value: Detail) -> str:
    return number(value) if isinstance(value, float | int) else str(value)
