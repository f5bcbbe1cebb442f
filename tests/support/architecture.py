"""The rules of the house that import-linter cannot say, each a function from a tree of files to what breaks the rule.

They read source as text and syntax trees and import nothing, so that they can also be run on a tree that is broken on
purpose.
"""

import ast
import fnmatch
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

PACKAGES = ("agent", "cloud_sync", "contract", "drivers", "firmware_sim", "hub", "lifeline", "pages")
MODULE_LINES = 400
FUNCTION_LINES = 60

PURE = (
    "contract/*.py",
    "drivers/codecs/*.py",
    "cloud_sync/backoff.py",
    "cloud_sync/blob.py",
    "cloud_sync/envelope.py",
    "cloud_sync/in_flight.py",
    "cloud_sync/link_settings.py",
    "cloud_sync/message_size.py",
    "cloud_sync/topics.py",
    "agent/anonymise.py",
    "agent/mesh.py",
    "agent/pseudonym.py",
    "agent/quality.py",
    "agent/rules/*.py",
    "agent/windows.py",
    "firmware_sim/fleet_ledger.py",
    "firmware_sim/ledger.py",
    "hub/arrival.py",
    "hub/motion.py",
    "hub/policy.py",
    "hub/suppression.py",
    "hub/city/*.py",
)
IMPURE = frozenset(
    ["asyncio", "os", "random", "secrets", "socket", "sqlite3", "ssl", "subprocess", "threading", "time"]
)
GIVEN_RANDOM = ("cloud_sync/backoff.py", "random")  # the type of the generator that is handed in

HOMES: Mapping[str, tuple[str, ...]] = {
    "aiomqtt": ("cloud_sync/session.py",),
    "bleak": ("drivers/links/ble.py",),
    "dbus_fast": ("drivers/links/ble.py", "firmware_sim/bluez/*.py"),  # bleak lets its errors through
    "nats": ("firmware_sim/repeater.py", "hub/broker.py"),
    "psycopg": ("hub/store/postgres/database.py",),
    "pymodbus": ("drivers/links/modbus.py",),
    "serial": ("drivers/links/serial_port.py",),
    "serial_asyncio_fast": ("drivers/links/serial_port.py",),
    "sqlite3": ("agent/sqlite.py", "hub/store/sqlite/database.py"),
}
"""Which module knows which library of input and output: one a package."""

MACHINE_PATHS = re.compile(r"(?<![\w.~-])/(?:work|root|home/[a-z]\w*|Users/\w+)/")
REGISTRIES = tuple(
    ".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"))
)
VENDORED = ("pages/static/vendor/*", "pages/static/*.min.*", "tests/assets/*")


def pure_modules_import_nothing_impure(root: Path) -> list[str]:
    """Codecs, rules, release, formats and mappings know no clock, chance, file or network."""
    return [
        f"{name}:{line} imports {module}, but is pure"
        for name, tree in _trees(root)
        if _matches(name, PURE)
        for module, line in _imports(tree)
        if module.partition(".")[0] in IMPURE and (name, module) != GIVEN_RANDOM
    ]


def libraries_have_one_home(root: Path) -> list[str]:
    """A library that does input and output is known to one module, so that it can be changed there."""
    return [
        f"{name}:{line} imports {module}, which only {' and '.join(HOMES[module.partition('.')[0]])} may"
        for name, tree in _trees(root)
        for module, line in _imports(tree)
        if (library := module.partition(".")[0]) in HOMES and not _matches(name, HOMES[library])
    ]


def drivers_are_registered(root: Path) -> list[str]:
    """A file in drivers/ that opens a device has its line in the registry, and each line its file."""
    modules = {
        f"drivers.{path.stem}"
        for path in (root / "drivers").glob("*.py")
        if {"Config", "open"} <= _defined(_tree(path))
    }
    lines = _table(_tree(root / "drivers" / "registry.py"), "DRIVERS")
    registered = {value.value for value in lines.values() if isinstance(value, ast.Constant)}
    return _differences(modules, registered, "drivers/registry.py")


def drivers_say_whether_they_are_worn(root: Path) -> list[str]:
    """A driver that forgot it would let a person's values through as those of a thing."""
    return [
        f"{path.relative_to(root)} defines no IS_WORN"
        for path in sorted((root / "drivers").glob("*.py"))
        if {"Config", "open"} <= _defined(_tree(path)) and "IS_WORN" not in _defined(_tree(path))
    ]


def rules_are_registered(root: Path) -> list[str]:
    """A file in agent/rules/ that builds a rule has its line in the registry, and each line its file."""
    folder = root / "agent" / "rules"
    modules = {path.stem for path in folder.glob("*.py") if {"Config", "build"} <= _defined(_tree(path))}
    lines = _table(_tree(folder / "registry.py"), "RULES")
    registered = {value.id for value in lines.values() if isinstance(value, ast.Name)}
    return _differences(modules, registered, "agent/rules/registry.py")


def routes_are_included(root: Path) -> list[str]:
    """A file in hub/api/routes/ with a router is taken in by the application."""
    modules = {path.stem for path in (root / "hub/api/routes").glob("*.py") if "router" in _defined(_tree(path))}
    taken_in = {
        alias.name
        for node in ast.walk(_tree(root / "hub" / "api" / "app.py"))
        if isinstance(node, ast.ImportFrom) and node.module == "hub.api.routes"
        for alias in node.names
    }
    return _differences(modules, taken_in, "hub/api/app.py")


def modules_and_functions_are_short(root: Path) -> list[str]:
    """At most 400 lines a module and 60 a function."""
    found = []
    for name, tree in _trees(root, (*PACKAGES, "benchmarks", "tests")):
        lines = (root / name).read_text(encoding="utf-8").count("\n")
        if lines > MODULE_LINES and not name.startswith("tests/"):
            found.append(f"{name} has {lines} lines")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES:
                    found.append(f"{name}:{node.lineno} {node.name} has {length} lines")
    return found


def nothing_belongs_to_one_machine(root: Path) -> list[str]:
    """No path of somebody's machine and no host of a package registry in any tracked text."""
    found = []
    for name in _tracked(root):
        if _matches(name, VENDORED):
            continue
        try:
            text = (root / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue  # a picture, or deleted and not committed yet
        for number, line in enumerate(text.splitlines(), 1):
            if MACHINE_PATHS.search(line):
                found.append(f"{name}:{number} holds a path of one machine")
            if any(host in line for host in REGISTRIES):
                found.append(f"{name}:{number} names a package registry")
    return found


def tasks_have_an_owner(root: Path) -> list[str]:
    """A TaskGroup owns every task: no bare create_task, no ensure_future."""
    return [
        f"{name}:{node.lineno} starts a task that nobody owns"
        for name, tree in _trees(root)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in {"create_task", "ensure_future"}
        and isinstance(node.value, ast.Name)
        and node.value.id in {"asyncio", "loop"}
    ]


def broad_handlers_act(root: Path) -> list[str]:
    """No exception of any kind is swallowed."""
    return [
        f"{name}:{node.lineno} swallows any exception"
        for name, tree in _trees(root)
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and all(isinstance(statement, ast.Pass | ast.Continue) for statement in node.body)
        and (node.type is None or {"Exception", "BaseException"} & _names(node.type))
    ]


RULES: tuple[Callable[[Path], list[str]], ...] = (
    pure_modules_import_nothing_impure,
    libraries_have_one_home,
    drivers_are_registered,
    drivers_say_whether_they_are_worn,
    rules_are_registered,
    routes_are_included,
    modules_and_functions_are_short,
    nothing_belongs_to_one_machine,
    tasks_have_an_owner,
    broad_handlers_act,
)


def _trees(root: Path, folders: tuple[str, ...] = PACKAGES) -> Iterator[tuple[str, ast.Module]]:
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            yield path.relative_to(root).as_posix(), _tree(path)


def _tree(path: Path) -> ast.Module:
    return _parsed(path.read_text(encoding="utf-8"))


@cache
def _parsed(text: str) -> ast.Module:
    """Copies of the tree hold the same texts, each parsed once."""
    return ast.parse(text)


def _imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, node.lineno


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _defined(tree: ast.Module) -> set[str]:
    """Names that a module defines at its top."""
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(target.id for target in targets if isinstance(target, ast.Name))
    return names


def _table(tree: ast.Module, name: str) -> Mapping[str, ast.expr]:
    """Key and value of each line of the dict that is assigned to `name` at the top of a module."""
    for node in tree.body:
        if isinstance(node, ast.AnnAssign | ast.Assign) and name in _defined(ast.Module([node], [])) and node.value:
            dicts = [found for found in ast.walk(node.value) if isinstance(found, ast.Dict)]
            return {
                key.value: value
                for found in dicts[:1]
                for key, value in zip(found.keys, found.values, strict=True)
                if isinstance(key, ast.Constant) and isinstance(key.value, str)
            }
    return {}


def _differences(modules: set[str], registered: set[str], registry: str) -> list[str]:
    return [
        *(f"{module} has no line in {registry}" for module in sorted(modules - registered)),
        *(f"{registry} has a line for {module}, which is no such module" for module in sorted(registered - modules)),
    ]


def _names(node: ast.expr) -> set[str]:
    return {found.id for found in ast.walk(node) if isinstance(found, ast.Name)}


def _tracked(root: Path) -> list[str]:
    """Files under version control; in a copy without it every file."""
    if not (root / ".git").exists():
        return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name]
