"""One catalogue, whole in both languages, and free of words that judge a person's health."""

import re
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from contract.quantity import QUANTITIES
from pages.catalogue import sentences, translate
from pages.language import Language

ROOT = Path(__file__).parents[2]
KEYWORDS = {"_": None, "say": None, "noted": None}
SOURCES = (("pages", "**.html", "jinja2.ext:babel_extract"), ("pages", "**.py", "python"), ("hub", "**.py", "python"))
# A programme that judges these is a medical device in Japan; a measured value and its duration is not.
ENGLISH = ("arrhythmia", "fibrillation", "diagnos", "disease", "patient", "heart attack", "tachycardia", "bradycardia")
JAPANESE = ("心房細動", "不整脈", "診断", "頻脈", "徐脈", "病気", "患者", "心臓発作", "異常")


def said() -> set[str]:
    found = set()
    for folder, files, method in SOURCES:
        rows = extract_from_dir(ROOT / folder, method_map=[(files, method)], options_map={}, keywords=KEYWORDS)
        found |= {message for _, _, message, _, _ in rows if isinstance(message, str)}
    return found


@pytest.mark.parametrize("language", Language)
def test_every_sentence_of_the_code_is_in_the_catalogue_and_no_other(language: Language) -> None:
    assert set(sentences(language)) == said()


@pytest.mark.parametrize("language", Language)
def test_no_entry_is_empty_fuzzy_or_loses_a_value(language: Language) -> None:
    with (ROOT / "pages" / "catalogue" / f"{language.value}.po").open("rb") as file:
        catalogue = read_po(file, locale=language.value)
    for message in catalogue:
        if message.id:
            assert message.string, message.id
            assert not message.fuzzy, message.id
            values = r"%\((\w+)\)s"
            assert set(re.findall(values, str(message.id))) == set(re.findall(values, str(message.string))), message.id


def test_the_japanese_catalogue_is_in_japanese() -> None:
    for english, japanese in sentences(Language.JA).items():
        assert re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", japanese), english


def test_an_unknown_sentence_reads_as_written() -> None:
    assert translate(Language.JA, "Nothing like this") == "Nothing like this"


def texts() -> list[tuple[str, str]]:
    found = [(f"{language}.po", text) for language in Language for text in sentences(language).values()]
    found += [("quantity", f"{row.ja} {row.en}") for row in QUANTITIES.values()]
    found += [(path.name, path.read_text()) for path in (ROOT / "pages" / "templates").rglob("*.html")]
    found += [(name, (ROOT / "pages" / "static" / name).read_text()) for name in ("live.js", "chart.js", "map.js")]
    return found


@pytest.mark.parametrize("word", ENGLISH + JAPANESE)
def test_no_text_judges_a_persons_health(word: str) -> None:
    """What is measured is told as measured; AF, as a word of its own, neither."""
    for place, text in texts():
        assert word not in text.lower(), place
        assert not re.search(r"\bAF\b", text), place
