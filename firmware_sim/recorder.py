"""Emissions as JSON lines in a file: written line by line by the town, read by the ledger's sources."""

import json
import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from contract.errors import Tampered
from firmware_sim.ledger import Emission


class Recorder:
    """Appends emissions to a file; each line is handed to the system before `record` returns.

    A process that is killed can leave one cut line behind. It is removed when the file is opened again, so that only
    the last line of a file can ever be cut.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        self._file = self._path.open("ab", buffering=0)
        self._file.truncate(_whole_bytes(self._path))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def record(self, emission: Emission) -> None:
        """Append one line; a single write, so that a kill cannot cut it between two."""
        if self._file is None:
            raise RuntimeError("the recorder is not open")
        line = {"device": emission.device, "at": emission.at.isoformat(), "values": dict(emission.values)}
        self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")


def read_emissions(path: Path) -> Iterator[Emission]:
    """The emissions of a file in the order written; a cut last line is left out.

    Raises Tampered, naming the line, for any other line that is not an emission. A file that is absent is empty.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.endswith(b"\n"):
                yield _parse(line, f"{path.name}:{number}")


def _parse(line: bytes, place: str) -> Emission:
    try:
        entry = json.loads(line)
        values: Mapping[str, float] = {str(name): float(value) for name, value in entry["values"].items()}
        return Emission(str(entry["device"]), datetime.fromisoformat(entry["at"]), values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Tampered(f"{place} is not an emission: {type(error).__name__}") from error


def _whole_bytes(path: Path) -> int:
    """Bytes up to and with the last line feed."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - 4096)
            file.seek(start)
            cut = file.read(end - start).rfind(b"\n")
            if cut >= 0:
                return start + cut + 1
            end = start
    return 0
