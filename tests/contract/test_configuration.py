"""A configuration is answered whole: every fault with file, line, cause and fix, and never a value."""

from enum import StrEnum
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, field_validator

from contract.configuration import Wrong, parse
from contract.errors import Fault, Misconfigured


class Order(StrEnum):
    HIGH = "high_first"
    LOW = "low_first"


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["input", "holding"]
    address: int = Field(ge=0, le=65535, examples=[4])
    order: Order = Order.HIGH


class Station(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(min_length=1)
    period_s: float = Field(gt=0)
    password: str = ""
    parts: tuple[Part, ...] = ()
    limits: dict[str, float] = {}
    either: Annotated[int | bool, Field()] = 0
    even: int = 2

    @field_validator("even")
    @classmethod
    def _is_even(cls, value: int) -> int:
        if value % 2:
            raise Wrong("'even' is odd", "Write an even number")
        return value


GOOD = 'name = "x"\nperiod_s = 1\n'

CASES: list[tuple[str, int, str, str]] = [
    ('name = "x"', 1, "'period_s' is missing", "Add period_s = ... (seconds)"),
    (GOOD + "perod_s = 2", 3, "unknown key 'perod_s'", "Did you mean 'period_s'?"),
    (GOOD + "zzz = 2", 3, "unknown key 'zzz'", "Remove it; known here: "),
    ('name = "x"\nperiod_s = 0', 2, "'period_s' must be greater than 0 (seconds)", "Write a number greater than 0"),
    ('name = "x"\nperiod_s = "1"', 2, "'period_s' must be a number (seconds)", "Write a number without quotes"),
    ("name = 5\nperiod_s = 1", 1, "'name' must be text", "Write text between quotes"),
    ('name = ""\nperiod_s = 1', 1, "'name' must have at least 1 characters", "Write at least 1 characters"),
    (GOOD + "parts = 3", 3, "'parts' must be a list", "in brackets"),
    (GOOD + "parts = [1]", 3, "item 1 of 'parts' must be a table", "heading [parts]"),
    (GOOD + '[[parts]]\nkind = "input"', 3, "'address' is missing in [parts]", "Add address = 4"),
    (GOOD + '[[parts]]\naddress = 1\nkind = "hodling"', 5, "'kind' is none of", 'Did you mean "holding"?'),
    (GOOD + '[[parts]]\naddress = 70000\nkind = "input"', 4, "'address' must be at most 65535", "at most 65535"),
    (GOOD + '[[parts]]\naddress = 1.5\nkind = "input"', 4, "'address' must be a whole number", "without a decimal"),
    (GOOD + '[[parts]]\naddress = true\nkind = "input"', 4, "'address' must be a whole number", "without a decimal"),
    (GOOD + '[[parts]]\naddress = 1\nkind = "input"\norder = "high"', 6, "'order' is none of", "high_first"),
    (GOOD + 'parts = [\n{ kind = "input", address = 1, adress = 2 }]', 4, "unknown key 'adress'", "'address'"),
    (GOOD + '[limits]\na.b = "x"', 4, "'a' must be a number", "Write a number"),
    (GOOD + "even = 3", 3, "'even' is odd", "Write an even number"),
    (GOOD + "either = 'x'", 3, "must be", "Write"),
    (GOOD + "name = 3", 3, "not TOML", "key = value"),
    (GOOD + "oops\nx = 1", 3, "not TOML at column", "key = value"),
    (GOOD + 'oops = """', 3, "not TOML: unterminated", "key = value"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "cause", "fix"), CASES)
def test_a_fault_names_file_line_cause_and_fix(text: str, line: int, cause: str, fix: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        parse(Station, text, "station.toml")
    fault = caught.value.faults[0]
    assert (fault.file, fault.line) == ("station.toml", line)
    assert cause in fault.cause
    assert fix in fault.fix


def test_every_fault_is_told_in_the_order_of_lines() -> None:
    text = 'zeta = 1\nname = 1\nperiod_s = -1\n[[parts]]\nkind = "x"\n'
    with pytest.raises(Misconfigured) as caught:
        parse(Station, text, "s.toml")
    assert [fault.line for fault in caught.value.faults] == [1, 2, 3, 4, 5]


def test_a_wrong_item_does_not_make_the_list_too_short() -> None:
    class Listed(BaseModel):
        items: tuple[int, ...] = Field(min_length=1)

    with pytest.raises(Misconfigured) as caught:
        parse(Listed, "items = ['x']", "s.toml")
    assert [fault.cause for fault in caught.value.faults] == ["item 1 of 'items' must be a whole number"]


def test_no_value_is_repeated() -> None:
    """A value may be a password, a person, an address of a wearable."""
    text = 'name = ["canary-1"]\nperiod_s = "canary-2"\npassword = { a = "canary-3" }\npasword = "canary-4"\n'
    text += '[[parts]]\nkind = "canary-5"\naddress = "canary-6"\norder = "canary-7"\n[limits]\nx = "canary-8"\n'
    with pytest.raises(Misconfigured) as caught:
        parse(Station, text, "s.toml")
    assert "canary" not in str(caught.value)
    assert len(caught.value.faults) == 8


def test_a_good_text_gives_the_model() -> None:
    text = GOOD + '[[parts]]\nkind = "input"\naddress = 3\norder = "low_first"\n[limits]\na = 1\nb = inf\n'
    station = parse(Station, text, "s.toml")
    assert station.parts == (Part(kind="input", address=3, order=Order.LOW),)
    assert station.limits == {"a": 1.0, "b": float("inf")}


def test_the_context_reaches_validators() -> None:
    class Named(BaseModel):
        file: str

        @field_validator("file")
        @classmethod
        def _check(cls, value: str, info: object) -> str:
            folder = getattr(info, "context", {})["folder"]
            raise Wrong.of(Misconfigured(Fault(f"{folder}/{value}", 7, "it is wrong", "Correct it")))

    with pytest.raises(Misconfigured) as caught:
        parse(Named, 'file = "other.toml"', "s.toml", {"folder": "here"})
    assert [(fault.file, fault.line) for fault in caught.value.faults] == [("here/other.toml", 7)]


@pytest.mark.parametrize("text", ["x = " + "[" * 3000, "x = " + "[" * 150 + "]" * 150, "x = " + "9" * 5000])
def test_a_monstrous_text_is_a_fault_too(text: str) -> None:
    with pytest.raises(Misconfigured):
        parse(Station, text, "s.toml")


@pytest.mark.parametrize("depth", range(100, 520, 30))
def test_no_depth_of_nesting_escapes(depth: int) -> None:
    with pytest.raises(Misconfigured):
        parse(Station, GOOD + "x = " + "[" * depth + "]" * depth, "s.toml")


KEYS = st.sampled_from(["name", "period_s", "parts", "limits", "either", "even", "kind", "address", "order", "x"])
VALUES = st.one_of(
    st.integers().map(str),
    st.floats().map(repr),
    st.sampled_from(['"x"', "true", "[]", "{}", "[1, {a = 2}]", "{kind = 'input', address = 1}", "2026-11-22", "nan"]),
)
LINES = st.one_of(
    st.tuples(KEYS, VALUES).map(" = ".join), st.sampled_from(["[[parts]]", "[limits]", "[parts]", "[limits.x]"])
)


@given(st.one_of(st.text(), st.lists(LINES, max_size=8).map("\n".join)))
def test_any_text_is_a_configuration_or_misconfigured(text: str) -> None:
    faults: tuple[Fault, ...] = (Fault("s.toml", 1, "none", "none"),)
    try:
        parse(Station, text, "s.toml")
    except Misconfigured as error:
        faults = error.faults
    assert faults
    assert all(fault.cause and fault.fix and fault.line >= 1 for fault in faults)
