"""requirements.lock is what pyproject.toml asks for; said without a network. `make lock` makes it anew."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
ENTRY = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)((?:[^\n]*\\\n)*[^\n]*\n(?:    #[^\n]*\n)*)", re.MULTILINE)


def asked_for() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lists = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    return [Requirement(line) for lines in lists for line in lines]


def test_the_lock_holds_every_dependency_in_a_wanted_version() -> None:
    locked = {canonicalize_name(name): version for name, version, _ in ENTRY.findall(LOCK)}
    for requirement in asked_for():
        name = canonicalize_name(requirement.name)
        assert name in locked, f"{name} is not locked: make lock"
        assert requirement.specifier.contains(locked[name]), f"{name} is locked as {locked[name]}: make lock"


def test_the_lock_holds_nothing_that_was_dropped() -> None:
    """What the lock says pyproject.toml asks for is asked for still."""
    direct = {canonicalize_name(name) for name, _, rest in ENTRY.findall(LOCK) if "kanmon (pyproject.toml" in rest}
    assert direct == {canonicalize_name(requirement.name) for requirement in asked_for()}


def test_every_locked_file_is_named_by_its_hash() -> None:
    entries = ENTRY.findall(LOCK)
    assert len(entries) == len(re.findall("^[a-z]", LOCK, re.MULTILINE))
    for name, _, rest in entries:
        assert "--hash=sha256:" in rest, name
