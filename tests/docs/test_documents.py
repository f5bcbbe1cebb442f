"""What the documents say is so: links lead somewhere, commands and addresses exist, tables are complete."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
import typer
from packaging.requirements import Requirement
from typer.testing import CliRunner

from agent.cli import app as agent_app
from contract.configuration import parse
from contract.consent import PURPOSES
from firmware_sim.cli import app as sim_app
from hub.cli import app as hub_app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
APPS: dict[str, typer.Typer] = {"kanmon-agent": agent_app, "kanmon-hub": hub_app, "kanmon-sim": sim_app}


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """(document, text) of every code block in `language`."""
    for path in DOCUMENTS:
        for found, text in BLOCK.findall(path.read_text()):
            if found == language:
                yield path.relative_to(ROOT).as_posix(), text


def commands() -> Iterator[tuple[str, list[str]]]:
    """(document, words) of every line of a shell block, and of commands of ours quoted in the text."""
    for name, text in blocks("sh"):
        for line in text.splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield name, words
    for path in DOCUMENTS:
        for line in re.findall(r"`(kanmon-\w+ [^`]+)`", path.read_text()):
            yield path.relative_to(ROOT).as_posix(), shlex.split(line)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files(path: Path) -> None:
    links = [link for link in LINK.findall(path.read_text()) if not link.startswith(("http:", "https:", "mailto:"))]
    missing = [link for link in links if not (path.parent / link).exists()]
    assert missing == []


def test_commands_exist() -> None:
    """Subcommands and options of our commands, and targets of make, are there."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    seen = 0
    for name, words in commands():
        if words[0] == "make":
            wanted = {word for word in words[1:] if "=" not in word}
            assert wanted <= targets, f"{name}: {words}"
        elif words[0] in APPS:
            result = CliRunner().invoke(APPS[words[0]], [*words[1:], "--help"])
            assert result.exit_code == 0, f"{name}: {words}: {result.output}"
        else:
            assert words[0] in {"sudo", "git", "cd", "curl"}, f"{name}: {words}"
        seen += 1
    assert seen >= 20


def test_toml_blocks_are_toml() -> None:
    for name, text in blocks("toml"):
        try:
            tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            pytest.fail(f"{name}: {error}")


def test_the_settings_of_the_hub_are_as_shown() -> None:
    from hub.settings import Settings

    (text,) = [text for name, text in blocks("toml") if name == "docs/operate.md"]
    assert parse(Settings, text, "hub.toml") == Settings()


def test_the_addresses_of_the_api_exist() -> None:
    """Paths and parameters in docs/services.md are those of the API's own description."""
    from hub.api.app import create_app
    from hub.settings import Settings

    nothing = cast(Any, None)  # the description is made without a store
    paths = create_app(nothing, nothing, Settings(), lambda: datetime.now(UTC)).openapi()["paths"]
    urls = [urlsplit(words[-1]) for name, words in commands() if name == "docs/services.md" and words[0] == "curl"]
    assert len(urls) >= 9
    for url in urls:
        template = next((path for path in paths if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), url.path)), None)
        assert template, url.path
        known = {parameter["name"] for parameter in paths[template]["get"].get("parameters", [])}
        assert set(parse_qs(url.query)) <= known, url.geturl()


def test_every_dependency_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lists = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    asked_for = {Requirement(line).name for lines in lists for line in lines}
    text = (ROOT / "docs" / "dependencies.md").read_text()
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in re.findall(r"^\|.*\|$", text, re.MULTILINE)]
    explained = {row[0]: row for row in rows if row[0] not in {"package"} and not row[0].startswith("---")}
    assert set(explained) == asked_for
    assert all(len(row) == 4 and all(row) for row in explained.values())


def test_every_purpose_is_explained_to_residents() -> None:
    text = (ROOT / "docs" / "residents.md").read_text()
    for rule in PURPOSES.values():
        assert f"| {rule.en} |" in text
        assert f"| {rule.ja} |" in text


def test_every_decision_has_its_page_in_the_list() -> None:
    index = (ROOT / "docs" / "adr" / "README.md").read_text()
    pages = sorted((ROOT / "docs" / "adr").glob("0*.md"))
    assert [page.name for page in pages] == re.findall(r"\((0[^)]+\.md)\)", index)
    for page in pages:
        text = page.read_text()
        headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert headings == ["Question", "What decides", "Options", "Choice", "Consequences"], page.name
        assert text.count("\n") <= 60, f"{page.name} is longer than a page"


def test_both_readmes_have_the_same_parts() -> None:
    english, japanese = ((ROOT / name).read_text() for name in ("README.md", "README.ja.md"))
    assert english.count("\n## ") == japanese.count("\n## ")
    assert BLOCK.findall(english)[0][1].split("#")[0] == BLOCK.findall(japanese)[0][1].split("#")[0]
    assert set(LINK.findall(english)) - {"README.ja.md"} == set(LINK.findall(japanese)) - {"README.md"}
