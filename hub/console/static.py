"""The files of pages/static, read once and held compressed: few, small, and asked for by every page."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

MEDIA_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "css": "text/css; charset=utf-8",
        "geojson": "application/geo+json",
        "js": "text/javascript; charset=utf-8",
        "svg": "image/svg+xml",
    }
)
"""What is served, by the end of the name; licences and the table of versions stay in the package."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: its bytes, the same gzipped, and the tag by which a browser asks whether they changed."""

    content: bytes
    zipped: bytes
    media_type: str
    etag: str


@cache
def assets() -> Mapping[str, Asset]:
    """Every served file by its name."""
    found = {}
    for file in files("pages").joinpath("static").iterdir():
        media_type = MEDIA_TYPES.get(file.name.rpartition(".")[2])
        if media_type is not None and file.is_file():
            content = file.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            found[file.name] = Asset(content, gzip.compress(content, mtime=0), media_type, etag)
    return MappingProxyType(found)
