"""What every part is handed: where it may write, how thorough it is, the slow disk, and rounds that take turns."""

import asyncio
import os
import statistics
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, TypeVar

from benchmarks.figures import Figure
from benchmarks.processes import written_bytes

PROBE_BYTES = 4 * 2**20
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `shim` is the library that makes fsync slow, None without a C compiler."""

    root: Path
    is_quick: bool
    shim: Path | None
    counts_bytes: bool
    """Whether the kernel counts what is written in `root`."""
    say: Callable[[str], None]

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A fresh folder on the measured disk."""
        with TemporaryDirectory(dir=self.root, prefix="bench-") as name:
            yield Path(name)

    def take(self, full: _Answer, quick: _Answer) -> _Answer:
        """`full`, or `quick` in a quick run."""
        return quick if self.is_quick else full


class Part(Protocol):
    """A module that measures: the names of its figures, and `measure`, which yields each of them."""

    FIGURES: tuple[str, ...]

    def measure(self, run: Run) -> Iterator[Figure]:
        """Measure everything in FIGURES, in that order."""
        ...


def medians(run: Run, rounds: int, candidates: Mapping[str, Callable[[Path], float]]) -> dict[str, list[float]]:
    """What each candidate gave in `rounds` rounds in which they take turns; a first round is thrown away."""
    found: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(rounds + 1):
        for name, measure in candidates.items():
            run.say(f"{name}, round {number} of {rounds}")
            with run.folder() as folder:
                value = measure(folder)
            if number:
                found[name].append(value)
    return found


def median_pair(ours: list[float], limit: list[float]) -> tuple[float, float]:
    """Our median and the limit that gives the median of the rounds' ratios with it."""
    value = statistics.median(ours)
    return value, value / statistics.median(a / b for a, b in zip(ours, limit, strict=True))


def finished(work: Coroutine[None, None, _Answer]) -> _Answer:
    """The answer of a coroutine, in an event loop of its own."""
    return asyncio.run(work)


def kernel_counts(root: Path) -> bool:
    """Whether bytes written in `root` appear in the kernel's write counter; not so in memory or on some networks."""
    with TemporaryDirectory(dir=root) as name:
        before = written_bytes(os.getpid())
        with (Path(name) / "probe").open("wb") as file:
            file.write(os.urandom(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
        return written_bytes(os.getpid()) - before >= PROBE_BYTES
