"""Where the real inputs lie that nobody here wrote; they are read in place and never copied."""

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("KANMON_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))


def corpus(name: str) -> Path:
    """The path of a corpus file or folder; skips the test where it is absent, fails in CI."""
    path = ROOT / name
    if not path.exists():
        reason = f"corpus file {name} is absent (set KANMON_CORPUS)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path
