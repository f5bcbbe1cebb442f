"""On which line of a TOML text each key, table and array item stands. Only for texts that tomllib has accepted.

tomllib tells no positions; an installer with a long gateway.toml needs them.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping

Path = tuple[str | int, ...]
"""Keys and array indices from the top of the document."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}' + r"|'''.*?'{3,5}" + r'|"(?:\\.|[^"\\])*"' + r"|'[^']*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}\n#]*")
_ESCAPE = re.compile(r"\\(?:u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|x[0-9A-Fa-f]{2}|.)", re.DOTALL)
_NAMED_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b"}


def lines_of(text: str) -> Mapping[Path, int]:
    """Line (from 1) of every table, key and array item in `text`, which must be valid TOML."""
    return _Scanner(text).scan()


def line_at(lines: Mapping[Path, int], path: Path) -> int:
    """The line of `path`, else of the nearest thing that holds it; 1 when that is the whole text."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


class _Scanner:
    """One pass over the text; `_position` always stands before what is read next."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._lines: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}
        self._ends = [match.start() for match in re.finditer("\n", text)]

    def scan(self) -> Mapping[Path, int]:
        table: Path = ()
        while self._skip(_BLANK) < len(self._text):
            if self._text[self._position] == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _header(self) -> Path:
        """Read `[table]` or `[[table]]`; the path that its keys belong to."""
        line = self._line()
        is_array = self._text.startswith("[[", self._position)
        self._position += 2 if is_array else 1
        *outer, last = self._key()
        self._position += 2 if is_array else 1
        path: Path = ()
        for key in outer:
            path = self._in_last_item((*path, key))
            self._lines.setdefault(path, line)
        path = (*path, last)
        self._lines.setdefault(path, line)
        if is_array:
            self._counts[path] = self._counts.get(path, 0) + 1
        path = self._in_last_item(path)
        self._lines.setdefault(path, line)
        return path

    def _in_last_item(self, path: Path) -> Path:
        """`[a.b]` after `[[a]]` speaks of the last a."""
        return (*path, self._counts[path] - 1) if path in self._counts else path

    def _pair(self, table: Path) -> None:
        line = self._line()
        path = table
        for key in self._key():
            path = (*path, key)
            self._lines.setdefault(path, line)
        self._position += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)

    def _key(self) -> list[str]:
        """Read a dotted key and the space behind it."""
        parts = []
        while True:
            self._skip(_SPACE)
            quote = self._text[self._position]
            if quote in "\"'":
                parts.append(_unquoted(self._take(_STRING), quote))
            else:
                parts.append(self._take(_BARE))
            self._skip(_SPACE)
            if self._text[self._position] != ".":
                return parts
            self._position += 1

    def _value(self, path: Path) -> None:
        self._lines.setdefault(path, self._line())
        opening = self._text[self._position]
        if opening == "[":
            self._items(path)
        elif opening == "{":
            self._inline_table(path)
        elif opening in "\"'":
            self._take(_STRING)
        else:
            self._take(_SCALAR)

    def _items(self, path: Path) -> None:
        index = 0
        self._position += 1
        while self._next_is_not("]"):
            self._value((*path, index))
            index += 1
        self._position += 1

    def _inline_table(self, path: Path) -> None:
        self._position += 1
        while self._next_is_not("}"):
            self._pair(path)
        self._position += 1

    def _next_is_not(self, closing: str) -> bool:
        self._skip(_BLANK)
        if self._text[self._position] == ",":
            self._position += 1
            self._skip(_BLANK)
        return self._text[self._position] != closing

    def _skip(self, pattern: re.Pattern[str]) -> int:
        self._take(pattern)
        return self._position

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._position)
        if match is None:
            raise ValueError("not TOML: ask tomllib what is wrong")
        self._position = match.end()
        return match.group()

    def _line(self) -> int:
        return bisect_right(self._ends, self._position - 1) + 1 if self._position else 1


def _unquoted(string: str, quote: str) -> str:
    return string[1:-1] if quote == "'" else _ESCAPE.sub(_unescaped, string[1:-1])


def _unescaped(match: re.Match[str]) -> str:
    code = match.group()[1:]
    if len(code) > 1:
        return chr(int(code[1:], 16))
    return _NAMED_ESCAPES.get(code, code)
