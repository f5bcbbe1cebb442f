"""What others made is exactly what the table says, and has its licence beside it."""

import hashlib
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "pages" / "static"
ASSETS = tomllib.loads((STATIC / "vendored.toml").read_text())["asset"]
OURS = {"kanmon.css", "live.js", "chart.js", "map.js", "icons.svg", "mark.svg", "vendored.toml"}


@pytest.mark.parametrize("asset", ASSETS, ids=lambda asset: asset["file"])
def test_a_vendored_file_is_the_one_in_the_table(asset: dict[str, str]) -> None:
    assert set(asset) == {"name", "version", "licence", "licence_text", "file", "sha256"}
    assert hashlib.sha256((ROOT / asset["file"]).read_bytes()).hexdigest() == asset["sha256"]
    assert len((ROOT / asset["licence_text"]).read_text()) > 100


def test_every_file_that_is_not_ours_is_in_the_table() -> None:
    listed = {ROOT / asset["file"] for asset in ASSETS}
    found = {path for path in STATIC.iterdir() if path.is_file() and path.name not in OURS}
    found |= {path for path in (ROOT / "tests" / "assets").iterdir() if path.suffix in {".js", ".json"}}
    assert found == listed


def test_every_licence_text_belongs_to_an_asset() -> None:
    named = {Path(asset["licence_text"]).name for asset in ASSETS}
    assert {path.name for path in (STATIC / "licences").iterdir()} <= named


@pytest.mark.parametrize("name", sorted(OURS - {"vendored.toml", "icons.svg", "mark.svg"}))
def test_our_own_files_name_no_other_host(name: str) -> None:
    """Zero third-party requests: a page has nothing to ask anybody else for."""
    text = (STATIC / name).read_text()
    assert "http://" not in text
    assert "https://" not in text
    assert "//cdn" not in text
