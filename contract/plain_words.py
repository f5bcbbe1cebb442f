"""What pydantic found wrong in a configuration, in words for an installer: cause and fix. A value is never repeated:
it may be a password, an address of a wearable, a home.
"""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

_UNITS = {
    "s": "seconds",
    "ms": "milliseconds",
    "min": "minutes",
    "h": "hours",
    "m": "metres",
    "mps": "metres per second",
    "bpm": "beats per minute",
    "deg": "degrees",
    "bytes": "bytes",
    "kib_per_s": "KiB per second",
    "mib": "MiB",
    "hz": "hertz",
    "records": "records",
    "latitude": "degrees",
    "longitude": "degrees",
    "baud": "bits per second",
}
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,40}")
_QUOTED = re.compile(r"'([^']*)'")
_SHOWN_CHARACTERS = 40

_LIST = "in brackets: [..., ...]; a list of tables has a heading [[{name}]] over each"
_TABLE = "with its heading [{name}] and its keys below it"
_TYPES: Mapping[str, tuple[str, str]] = {
    "string_type": ("text", 'between quotes: "..."'),
    "int_type": ("a whole number", "without quotes and without a decimal point"),
    "int_from_float": ("a whole number", "without quotes and without a decimal point"),
    "int_parsing": ("a whole number", "without quotes and without a decimal point"),
    "float_type": ("a number", "without quotes"),
    "float_parsing": ("a number", "without quotes"),
    "finite_number": ("a finite number", "not nan or inf"),
    "bool_type": ("true or false", "without quotes"),
    "bool_parsing": ("true or false", "without quotes"),
    "list_type": ("a list", _LIST),
    "tuple_type": ("a list", _LIST),
    "set_type": ("a list", _LIST),
    "frozen_set_type": ("a list", _LIST),
    "dict_type": ("a table", _TABLE),
    "model_type": ("a table", _TABLE),
    "model_attributes_type": ("a table", _TABLE),
    "dataclass_type": ("a table", _TABLE),
    "path_type": ("the name of a file", 'between quotes: "..."'),
}
_LIMITS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
    "multiple_of": ("a multiple of", "multiple_of"),
}
_LENGTHS = {
    "string_too_short": ("at least", "min_length", "characters"),
    "string_too_long": ("at most", "max_length", "characters"),
    "too_short": ("at least", "min_length", "items"),
    "too_long": ("at most", "max_length", "items"),
}


def cause_and_fix(
    error: ErrorDetails, model: type[BaseModel], table: str = "", neighbours: Sequence[str] = ()
) -> tuple[str, str]:
    """What is wrong and what to do about it, for one error that validating by `model` gave.

    `table` is the name of the table that was validated, `neighbours` keys that may stand in it besides the model's.
    """
    kind, loc = error["type"], error["loc"]
    name = shown(loc[-1]) if loc else "the document"
    if isinstance(loc[-1] if loc else None, int):
        name = f"item {int(loc[-1]) + 1} of {shown(_last_name(loc))}"
    if kind == "missing":
        return f"{name} is missing{_inside(loc, table)}", _missing_fix(loc, model)
    if kind == "extra_forbidden":
        known = [*known_keys(model, loc[:-1]), *(neighbours if len(loc) == 1 else ())]
        return f"unknown key {name}{_inside(loc, table)}", unknown_key_fix(str(loc[-1]), known)
    if kind in {"enum", "literal_error"}:
        return f"{name} is none of the values it can have", _choice_fix(error)
    if kind in _TYPES:
        what, how = _TYPES[kind]
        return f"{name} must be {what}{_in_unit(loc)}", f"Write {what} {how.format(name=_last_name(loc) or 'name')}"
    return _limit_words(error, name)


def known_keys(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The keys that the tables at `loc` below `model` can have."""
    return [key for table in _tables(model, loc) for key in table]


def unknown_key_fix(key: str, known: Sequence[str]) -> str:
    """The nearest key that exists, else all of them."""
    near = get_close_matches(key, known, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {shown(near[0])}?"
    return f"Remove it; known here: {', '.join(sorted(known))}" if known else "Remove it"


def choices_fix(value: object, choices: Sequence[str]) -> str:
    """Names the choices, the nearest first."""
    near = get_close_matches(value, choices, n=1, cutoff=0.6) if isinstance(value, str) else []
    hint = f'Did you mean "{near[0]}"? ' if near else ""
    return f"{hint}Known: {', '.join(choices)}"


def shown(key: str | int) -> str:
    """A key as an installer writes it, cut and escaped when it is none."""
    text = str(key)
    if not _BARE_KEY.fullmatch(text):
        text = ascii(text[:_SHOWN_CHARACTERS])[1:-1]
    return f"'{text}'"


def _limit_words(error: ErrorDetails, name: str) -> tuple[str, str]:
    kind, loc, facts = error["type"], error["loc"], error.get("ctx", {})
    if kind in _LIMITS:
        words, fact = _LIMITS[kind]
        limit = f"{words} {facts[fact]:g}{_in_unit(loc)}"
        return f"{name} must be {limit}", f"Write a number {limit}"
    if kind == "json_invalid":
        return "tables lie too deep in each other", "Simplify the file"
    if kind in _LENGTHS:
        words, fact, unit = _LENGTHS[kind]
        return f"{name} must have {words} {facts[fact]} {unit}", f"Write {words} {facts[fact]} {unit}"
    if kind == "string_pattern_mismatch":
        return f"{name} is not written as it must be", f"Write it as {facts['pattern']}"
    if kind in {"value_error", "assertion_error"}:
        return f"{name}: {facts['error']}" if loc else str(facts["error"]), f"Correct {name}"
    words = error["msg"].replace("Input should be", "must be").replace("Input should", "must")
    return f"{name}: {words}", f"Correct {name}"


def _missing_fix(loc: Sequence[str | int], model: type[BaseModel]) -> str:
    key = str(loc[-1]) if loc else ""
    field: Any = next((each[key] for each in _tables(model, loc[:-1]) if key in each), None)  # pydantic's FieldInfo
    example = _written(field.examples[0]) if field is not None and field.examples else "..."
    words = f" ({field.description})" if field is not None and field.description else _in_unit(loc)
    if field is not None and (get_origin(field.annotation) is dict or _models_in(field.annotation)):
        return f"Add a table [{key}]{words}"
    return f"Add {key} = {example}{words}"


def _written(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _choice_fix(error: ErrorDetails) -> str:
    choices = _QUOTED.findall(str(error.get("ctx", {}).get("expected", "")))
    return choices_fix(error["input"], choices) if choices else "Correct it"


def _in_unit(loc: Sequence[str | int]) -> str:
    name = _last_name(loc)
    unit = _UNITS.get(name.partition("_")[2]) or _UNITS.get(name.rpartition("_")[2])
    return f" ({unit})" if unit else ""


def _inside(loc: Sequence[str | int], table: str) -> str:
    name = _last_name(loc[:-1]) or table
    return f" in [{shown(name)[1:-1]}]" if name else ""


def _last_name(loc: Sequence[str | int]) -> str:
    return next((part for part in reversed(loc) if isinstance(part, str)), "")


def _tables(model: type[BaseModel], loc: Sequence[str | int]) -> list[Mapping[str, Any]]:
    """Fields by written name of the models at `loc`."""
    models = [model]
    for part in loc:
        if isinstance(part, str):
            fields = [_fields(each) for each in models]
            models = [found for each in fields if part in each for found in _models_in(each[part].annotation)] or models
    return [_fields(each) for each in models]


def _fields(model: type[BaseModel]) -> Mapping[str, Any]:  # Any: pydantic's FieldInfo
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _models_in(annotation: object) -> list[type[BaseModel]]:
    """The models an annotation speaks of: X, list[X], X | None, dict[str, X], Annotated[X, ...]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
