"""The one gettext catalogue: what pages, API texts and alerts say, keyed by the English sentence in the code.

The .po files are read as they stand; there is no compiled form that could lag behind.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from babel.messages.pofile import read_po

from pages.language import Language


@cache
def sentences(language: Language) -> Mapping[str, str]:
    """What each sentence of the code reads in `language`."""
    with files(__name__).joinpath(f"{language.value}.po").open("rb") as file:
        catalogue = read_po(file, locale=language.value)
    return {str(message.id): str(message.string) for message in catalogue if message.id and message.string}


def translate(language: Language, sentence: str) -> str:
    """`sentence` in `language`; a sentence without an entry reads as it is written, which a test forbids."""
    return sentences(language).get(sentence, sentence)
