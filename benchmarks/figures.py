"""What one run found: figures with their goals and limits, and the file that keeps them. No measuring, no clock."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

FORMAT = 1
Detail = float | str | None


@dataclass(frozen=True, slots=True)
class Goal:
    """Where a figure is to lie: its value, or its ratio to the limit measured in the same run."""

    at_least: float | None = None
    at_most: float | None = None
    of_ratio: bool = False

    def is_met(self, number: float) -> bool:
        """Whether `number` lies within the goal."""
        is_low_enough = self.at_most is None or number <= self.at_most
        return is_low_enough and (self.at_least is None or number >= self.at_least)


@dataclass(frozen=True, slots=True)
class Limit:
    """What is possible on this machine at this moment: `value` in the figure's unit, measured in the same run."""

    what: str
    value: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured thing. `value` is None when it could not be measured, for the reason in `skipped`.

    `unit` "ratio": the value is itself a ratio of two measurements of one run.
    """

    name: str
    value: float | None
    unit: str
    higher_is_better: bool = False
    goal: Goal | None = None
    limit: Limit | None = None
    details: Mapping[str, Detail] = field(default_factory=dict)
    skipped: str = ""

    @property
    def ratio(self) -> float | None:
        """The value by its limit: what may be compared between runs and machines; None when there is no limit."""
        if self.value is None:
            return None
        if self.limit is not None:
            return self.value / self.limit.value if self.limit.value else None
        return self.value if self.unit == "ratio" else None

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is met; None without a goal or a measurement."""
        number = self.ratio if self.goal is not None and self.goal.of_ratio else self.value
        return None if self.goal is None or number is None else self.goal.is_met(number)


def not_measured(name: str, unit: str, reason: str, goal: Goal | None = None) -> Figure:
    """The place of a figure that cannot be measured here, and why."""
    return Figure(name, None, unit, goal=goal, skipped=reason)


@dataclass(frozen=True, slots=True)
class Result:
    """One part's figures. `machine` says on what, when and with which versions they were measured."""

    part: str
    machine: Mapping[str, Detail]
    figures: Sequence[Figure]
    is_quick: bool = False


def path_of(folder: Path, part: str) -> Path:
    """Where the result of `part` lies in a folder of results."""
    return folder / f"{part}.json"


def as_document(result: Result) -> dict[str, object]:
    """The result as it stands in its file; ratios and whether goals are met are written out for readers."""
    figures = []
    for figure in result.figures:
        ratio = None if figure.ratio is None else _rounded(figure.ratio)
        figures.append({**asdict(figure), "value": _rounded(figure.value), "ratio": ratio, "is_met": figure.is_met})
    return {
        "format": FORMAT,
        "part": result.part,
        "is_quick": result.is_quick,
        "machine": dict(result.machine),
        "figures": figures,
    }


def write(folder: Path, result: Result) -> Path:
    """Keep `result` in `folder`; the file is put in place whole."""
    folder.mkdir(parents=True, exist_ok=True)
    path = path_of(folder, result.part)
    beside = path.with_suffix(".json.new")
    beside.write_text(json.dumps(as_document(result), indent=1, ensure_ascii=False) + "\n")
    beside.replace(path)
    return path


def read(path: Path) -> Result:
    """The result in a file that `write` made. ValueError when it is another format."""
    document = json.loads(path.read_text())
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"{path} is no result of format {FORMAT}")
    figures = [
        Figure(
            name=one["name"],
            value=one["value"],
            unit=one["unit"],
            higher_is_better=one["higher_is_better"],
            goal=Goal(**one["goal"]) if one["goal"] else None,
            limit=Limit(**one["limit"]) if one["limit"] else None,
            details=one["details"],
            skipped=one["skipped"],
        )
        for one in document["figures"]
    ]
    return Result(document["part"], document["machine"], figures, document["is_quick"])


def read_all(place: Path) -> dict[str, Result]:
    """The results in a folder, or the one in a file, by part."""
    paths = sorted(place.glob("*.json")) if place.is_dir() else [place]
    return {result.part: result for result in map(read, paths)}


def _rounded(number: float | None) -> float | None:
    """Four digits that count: more would be noise."""
    return None if number is None else float(f"{number:.4g}") if abs(number) < 10_000 else round(number)
