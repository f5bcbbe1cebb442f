"""A PostgreSQL server that is measured: that of the tests, with fsync on, on a slow disk if one is asked for."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import slow_disk

TESTS = Path(__file__).parents[1] / "tests"
MISSING = "PostgreSQL 15 or newer is not installed. Debian: sudo apt install postgresql"
SETTINGS = {"fsync": "on", "shared_buffers": "256MB", "max_wal_size": "2GB", "max_connections": "60"}
"""As an operator would set them on a small machine; durability as it is by default."""


def _tests_own() -> Any:
    if str(TESTS) not in sys.path:
        sys.path.append(str(TESTS))
    return import_module("support.postgres")


def is_installed() -> bool:
    """Whether there is a PostgreSQL to measure."""
    return _tests_own().programs() is not None


@contextmanager
def running(folder: Path, shim: Path | None = None) -> Iterator[Any]:
    """A server in `folder`, its files on the disk of that; `shim` makes its fsync slow."""
    support = _tests_own()
    for place in (folder, *folder.parents[:1]):
        place.chmod(0o711)
    server = support.Postgres(support.programs(), folder / "server", SETTINGS)
    server.make()
    before = dict(os.environ)
    if shim is not None:
        os.environ.update(slow_disk.environment(shim))
    try:
        server.start()
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
    try:
        yield server
    finally:
        server.kill()  # its files are thrown away: a checkpoint on a slow disk would take half a minute
