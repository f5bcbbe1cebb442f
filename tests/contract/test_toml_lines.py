"""The line of every key is the line an editor shows."""

import tomllib

from hypothesis import example, given
from hypothesis import strategies as st

from contract.toml_lines import line_at, lines_of

TEXT = '''\
# a comment with [brackets] and "quotes"
title = "a # b"
dotted.key."quoted \\u0041 key" = 1

[gateway]
id = 'x'   # comment
name = """
two
lines = 3
"""
[[device]]
id = "a"
registers = [ { name = "x", at = [1, 2] },
  # a comment ]
  { name = "y" },
]
[device.options]
fast = true
[[device.part]]
n = 1
[[device.part]]
n = 2
[[device]]
id = "b"
when = 1979-05-27 07:32:00
'''


def test_every_kind_of_place_is_found() -> None:
    lines = lines_of(TEXT)
    expected = {
        ("title",): 2,
        ("dotted",): 3,
        ("dotted", "key", "quoted A key"): 3,
        ("gateway",): 5,
        ("gateway", "id"): 6,
        ("gateway", "name"): 7,
        ("device", 0): 11,
        ("device", 0, "id"): 12,
        ("device", 0, "registers"): 13,
        ("device", 0, "registers", 0, "at", 1): 13,
        ("device", 0, "registers", 1, "name"): 15,
        ("device", 0, "options"): 17,
        ("device", 0, "options", "fast"): 18,
        ("device", 0, "part", 0, "n"): 20,
        ("device", 0, "part", 1, "n"): 22,
        ("device", 1): 23,
        ("device", 1, "when"): 25,
    }
    assert {path: lines.get(path) for path in expected} == expected


def test_a_path_that_is_not_there_gets_the_line_of_what_holds_it() -> None:
    lines = lines_of(TEXT)
    assert line_at(lines, ("device", 1, "port", "x")) == 23
    assert line_at(lines, ("nothing",)) == 1
    assert line_at(lines, ()) == 1


def test_a_file_with_carriage_returns_has_the_same_lines() -> None:
    assert lines_of(TEXT.replace("\n", "\r\n")) == lines_of(TEXT)


def _paths(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, child in children for found in _paths(child, (*path, key)))]


KEYS = ["a", "b", '"q\\"k"', "'#'", ".", " = ", "\na = ", "\n[a.b]\n", "\n[[a]]\n", "\n[[a.c]]\n"]
VALUES = ["1", '"s"', "'''\n'q'''", '"""a\\""""""', "1.5e3", "2026-11-22 10:00:00", "inf"]
SIGNS = ["[", "]", "[[", "]]", "{", "}", ",", "\n", "\r\n", " ", "\t", "# c ]\n"]
PIECES = st.sampled_from([*KEYS, *VALUES, *SIGNS])


@given(st.lists(PIECES, max_size=25).map("".join))
@example("[[a]]\n[[a.b]]\nc.d = [[1,\n2], {x = 1, y.z = '}'}]\n[a.b.e]\nf=1")
def test_everything_in_a_valid_text_has_a_line(text: str) -> None:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines = lines_of(text)
    for path in _paths(document):
        if path:
            assert 1 <= lines[path] <= text.count("\n") + 1
