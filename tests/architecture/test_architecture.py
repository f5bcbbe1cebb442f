"""The tree keeps the rules of the house; and each rule, broken on purpose in a copy, is seen to report it."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support import architecture
from support.architecture import PACKAGES, RULES

ROOT = Path(__file__).parents[2]
Rule = Callable[[Path], list[str]]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_tree_keeps_the_rule(rule: Rule) -> None:
    assert rule(ROOT) == []


def test_the_imports_follow_the_picture() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The tree's Python packages and pyproject.toml, to be broken."""
    ignored = shutil.ignore_patterns("__pycache__", "static", "catalogue")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


CONFIG_AND = "class Config: ...\ndef {}(): ...\n"
LONG_FUNCTION = "def f() -> None:\n" + "    print()\n" * 60
SWALLOWING = "try:\n    f()\nexcept Exception:\n    pass\n"
PURITY = architecture.pure_modules_import_nothing_impure
BREAKS: list[tuple[Rule, str, str, str]] = [
    *((PURITY, "drivers/codecs/broken.py", f"import {name}\n", f"imports {name}") for name in architecture.IMPURE),
    *((PURITY, name.replace("*", "broken"), "from time import time\n", "imports time") for name in architecture.PURE),
    *(
        (architecture.libraries_have_one_home, "agent/broken.py", f"import {name}.x\n", name)
        for name in architecture.HOMES
    ),
    (architecture.drivers_are_registered, "drivers/broken.py", CONFIG_AND.format("open"), "broken has no line"),
    (
        architecture.drivers_are_registered,
        "drivers/registry.py",
        'DRIVERS = {"x": "drivers.x"}\n',
        "line for drivers.x",
    ),
    (architecture.drivers_say_whether_they_are_worn, "drivers/broken.py", CONFIG_AND.format("open"), "no IS_WORN"),
    (architecture.rules_are_registered, "agent/rules/broken.py", CONFIG_AND.format("build"), "broken has no line"),
    (architecture.rules_are_registered, "agent/rules/registry.py", 'RULES: M = T({"x": gone})\n', "a line for gone"),
    (architecture.routes_are_included, "hub/api/routes/broken.py", "router = APIRouter()\n", "broken has no line"),
    (architecture.routes_are_included, "hub/api/app.py", "from hub.api.routes import gone\n", "a line for gone"),
    (architecture.modules_and_functions_are_short, "hub/broken.py", "\n" * 401, "has 401 lines"),
    (architecture.modules_and_functions_are_short, "hub/broken.py", LONG_FUNCTION, "f has 61 lines"),
    (architecture.nothing_belongs_to_one_machine, "hub/broken.md", "in /" + "home/someone/x", "path of one machine"),
    (architecture.nothing_belongs_to_one_machine, "hub/broken.md", architecture.REGISTRIES[0], "a package registry"),
    (architecture.tasks_have_an_owner, "hub/broken.py", "import asyncio\nasyncio.create_task(f())\n", "nobody owns"),
    (architecture.broad_handlers_act, "hub/broken.py", SWALLOWING, "swallows"),
]


@pytest.mark.parametrize(("rule", "file", "text", "report"), BREAKS, ids=lambda part: getattr(part, "__name__", None))
def test_a_broken_tree_is_reported(copy: Path, rule: Rule, file: str, text: str, report: str) -> None:
    assert not any(file in line and report in line for line in rule(copy))
    path = copy / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert any(report in line for line in rule(copy))


IMPORT_BREAKS = [
    ("layers", "agent/broken.py", "import hub.feed"),
    ("layers", "hub/broken.py", "import agent.main"),
    ("layers", "agent/broken.py", "import firmware_sim.ledger"),
    ("layers", "drivers/broken.py", "import agent.settings"),
    ("layers", "drivers/broken.py", "import cloud_sync.topics"),
    ("layers", "cloud_sync/broken.py", "import drivers.base"),
    ("layers", "contract/broken.py", "import cloud_sync.topics"),
    ("layers", "pages/broken.py", "import hub.feed"),
    ("layers", "pages/broken.py", "import cloud_sync.topics"),
    ("layers", "lifeline/broken.py", "import hub.feed"),
    ("hub-without-drivers", "hub/broken.py", "import drivers.base"),
    ("simulators-apart", "firmware_sim/broken.py", "import drivers.codecs"),
    ("simulators-apart", "firmware_sim/broken.py", "import pages"),
    ("pure", "contract/ids.py", "import time"),
    ("pure", "drivers/codecs/broken.py", "import asyncio"),
    ("pure", "agent/rules/broken.py", "import agent.store"),
    ("contract-alone", "contract/broken.py", "import rich"),
    ("pages-offline", "pages/broken.py", "import socket"),
    ("light-gateway", "agent/broken.py", "import fastapi"),
]


@pytest.mark.parametrize(("contract", "file", "line"), IMPORT_BREAKS)
def test_a_forbidden_import_is_reported(copy: Path, contract: str, file: str, line: str) -> None:
    path = copy / file
    path.write_text((path.read_text() if path.exists() else "") + f"\n{line}\n")
    result = lint_imports(copy, contract)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "BROKEN" in result.stdout
    assert file.removesuffix(".py").replace("/", ".") in result.stdout


def test_every_contract_of_import_linter_was_seen_broken() -> None:
    declared = re.findall(r'^id = "([\w-]+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert set(declared) == {contract for contract, _, _ in IMPORT_BREAKS}


def test_every_rule_was_seen_broken() -> None:
    assert {rule for rule, _, _, _ in BREAKS} == set(RULES)


def lint_imports(root: Path, contract: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    if contract is not None:
        command += ["--contract", contract]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
