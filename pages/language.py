"""Which language a reader gets: what was asked for, else what was chosen before, else what the browser prefers."""

from enum import StrEnum


class Language(StrEnum):
    """The languages of the one catalogue; the value is the tag of the `lang` attribute."""

    JA = "ja"
    EN = "en"


DEFAULT = Language.JA
_BY_TAG = {language.value: language for language in Language}


def choose(asked: str | None, remembered: str | None, accept_language: str | None) -> Language:
    """The first of the three that names a language we have; Japanese when none does."""
    tags = (asked or "", remembered or "", *_preferred(accept_language or ""))
    return next((_BY_TAG[tag] for tag in tags if tag in _BY_TAG), DEFAULT)


def _preferred(accept_language: str) -> list[str]:
    """Primary language tags of an Accept-Language header, most wanted first (RFC 9110, 12.5.4)."""
    weighed = []
    for part in accept_language[:500].split(","):
        tag, _, weight = part.strip().partition(";")
        wanted = _weight(weight)
        if tag and wanted > 0:
            weighed.append((wanted, tag.split("-")[0].strip().lower()))
    return [tag for _, tag in sorted(weighed, key=lambda pair: -pair[0])]


def _weight(text: str) -> float:
    name, _, value = text.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
