"""TOML text to a checked pydantic model, or every fault in it: file, line, cause, fix. Opens no file itself.

    settings = parse(RegisterMap, text, "river-station.toml")

A validator inside a model says what is wrong by `raise Wrong(cause, fix)`, which takes faults of another file along
(`Wrong.of(misconfigured)`). Types are checked strictly: `port = "502"` is text, not a number.
"""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from contract.errors import Fault, Misconfigured
from contract.plain_words import cause_and_fix
from contract.toml_lines import Path, line_at, lines_of

Model = TypeVar("Model", bound=BaseModel)

_SYNTAX_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)")


class Wrong(ValueError):
    """What a validator raises: cause and fix in an installer's words, without the value itself."""

    def __init__(self, cause: str, fix: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(cause)
        self.cause = cause
        self.fix = fix
        self.faults = tuple(faults)
        """Faults of another file that are reported in place of this one."""

    @classmethod
    def of(cls, error: Misconfigured) -> Self:
        """Pass the faults of a file that the configuration names through a validator."""
        return cls("a file it names is wrong", "Correct that file", error.faults)


def parse(model: type[Model], text: str, file: str, context: Mapping[str, object] | None = None) -> Model:
    """The configuration in `text` as a `model`.

    `file` is the name told to the installer, `context` pydantic's validation context. Raises Misconfigured with every
    fault, in the order of lines.
    """
    document = Document(text, file)
    result = document.check(model, document.table, context=context)
    if result is None:
        raise document.misconfigured()
    return result


class Document:
    """A TOML text under check: parts of it are checked one by one, faults gather until `close`."""

    def __init__(self, text: str, file: str) -> None:
        """Raises Misconfigured when the text is no TOML, since nothing else can be said of it then."""
        self.file = file
        self.table, self._lines = _loaded(text, file)
        self._faults: list[Fault] = []

    def check(
        self,
        model: type[Model],
        value: object,
        at: Path = (),
        context: Mapping[str, object] | None = None,
        neighbours: Sequence[str] = (),
    ) -> Model | None:
        """`value`, which stands at `at`, as a `model`; None when it has faults, which are noted.

        `neighbours` are keys that the same table can have besides the model's; they are hints for a misspelt one.
        """
        try:
            return model.model_validate_json(json.dumps(value, default=str), strict=True, context=context)
        except ValidationError as error:
            self._faults.extend(faults_of(error, model, self, at, neighbours))
        except Misconfigured as error:
            self._faults.extend(error.faults)
        return None

    def fault(self, at: Path, cause: str, fix: str) -> None:
        """Note something wrong that no model can see."""
        self._faults.append(Fault(self.file, self.line(at), cause, fix))

    def add(self, faults: Sequence[Fault]) -> None:
        """Note faults of another file that this one names."""
        self._faults.extend(faults)

    def line(self, at: Path) -> int:
        """The line of what stands at `at`, else of what holds it."""
        return line_at(self._lines, at)

    def close(self) -> None:
        """Raise Misconfigured with all faults noted, if any."""
        if self._faults:
            raise self.misconfigured()

    def misconfigured(self) -> Misconfigured:
        """All faults noted, those of this file first, by line; one said twice is one."""
        faults = dict.fromkeys(self._faults)
        return Misconfigured(*sorted(faults, key=lambda fault: (fault.file != self.file, fault.file, fault.line)))


def faults_of(
    error: ValidationError, model: type[BaseModel], document: Document, at: Path = (), neighbours: Sequence[str] = ()
) -> list[Fault]:
    """Every fault in `error`, which checking the part of `document` at `at` by `model` gave."""
    faults: list[Fault] = []
    table = next((part for part in reversed(at) if isinstance(part, str)), "")
    details = error.errors(include_url=False)
    for detail in details:
        if detail["type"] == "too_short" and any(_is_inside(other["loc"], detail["loc"]) for other in details):
            continue  # pydantic does not count the items that are wrong
        reason = detail.get("ctx", {}).get("error")
        if isinstance(reason, Wrong) and reason.faults:
            faults.extend(reason.faults)
            continue
        place = _written_path(detail["loc"], document.table, at)
        if isinstance(reason, Wrong):
            cause, fix = reason.cause, reason.fix
        else:
            cause, fix = cause_and_fix(_at(detail, at), model, table, neighbours)
        faults.append(Fault(document.file, document.line(place), cause, fix))
    return faults


def _is_inside(loc: Path, outer: Path) -> bool:
    return len(loc) > len(outer) and loc[: len(outer)] == outer


def _at(detail: ErrorDetails, at: Path) -> ErrorDetails:
    """The error as it is; one of a whole part is told by the part's name."""
    return detail if detail["loc"] or not at else {**detail, "loc": (at[-1],)}


def _written_path(loc: Path, table: object, at: Path) -> Path:
    """`loc` below `at` without the parts that pydantic adds (names of union members and validators)."""
    here: Any = table  # Any: nested TOML values
    for part in at:
        here = here[part]
    path = at
    for part in loc:
        is_item = isinstance(here, list) and isinstance(part, int) and part < len(here)
        if is_item or (isinstance(here, dict) and part in here):
            here = here[part]
            path = (*path, part)
    return path


def _loaded(text: str, file: str) -> tuple[dict[str, Any], Mapping[Path, int]]:  # Any: nested TOML values
    try:
        return tomllib.loads(text), lines_of(text)
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(_syntax_fault(str(error), text, file)) from None
    except (ValueError, RecursionError):
        fault = Fault(file, 1, "a number has too many digits or tables lie too deep in each other", "Simplify the file")
        raise Misconfigured(fault) from None


def _syntax_fault(message: str, text: str, file: str) -> Fault:
    place = _SYNTAX_PLACE.search(message)
    cause = _SYNTAX_PLACE.sub("", message)
    line = int(place[1]) if place and place[1] else text.count("\n") + 1
    where = f" at column {place[2]}" if place and place[2] else ""
    fix = "Correct the line: key = value, [table] or [[table]], text between double quotes"
    return Fault(file, line, f"this is not TOML{where}: {cause[:1].lower()}{cause[1:]}", fix)
