"""What happens to the file of the gateway's outbox: deleted, copied, put back. Never opened as a database here."""

import shutil
from collections.abc import Iterable
from pathlib import Path

NAME = "outbox.db"
_BESIDE = ("", "-wal", "-shm")
"""SQLite's own suffixes (fileformat2.html, 4.1); the last one is made anew from the second."""


def delete(gateway: Path) -> None:
    """Take the file away, with what SQLite keeps beside it; a process that has it open keeps what it holds."""
    for path in _files(gateway):
        path.unlink(missing_ok=True)


def copy(gateway: Path, into: Path) -> None:
    """A copy as a power cut would leave the file. The agent must be stopped or dead meanwhile."""
    into.mkdir(exist_ok=True)
    for path in _files(gateway):
        if path.exists() and not path.name.endswith("-shm"):
            shutil.copy(path, into / path.name)


def put_back(gateway: Path, copied: Path) -> None:
    """The copy in place of the file. The agent must be dead."""
    delete(gateway)
    for path in copied.iterdir():
        shutil.move(path, gateway / path.name)


def _files(gateway: Path) -> Iterable[Path]:
    return (gateway / f"{NAME}{suffix}" for suffix in _BESIDE)
