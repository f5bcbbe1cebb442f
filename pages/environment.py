"""Jinja2 environments over pages/templates, one a language: autoescape on, an undefined name is an error."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from contract.consent import PURPOSES
from contract.quantity import QUANTITIES
from pages.language import Language
from pages.wording import AGE_UNITS, Wording


@cache
def environment(language: Language) -> Environment:
    """Where the templates of `language` come from."""
    wording = Wording(language)
    made = Environment(
        loader=PackageLoader("pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals.update(
        _=wording.say,
        wording=wording,
        language=language.value,
        quantities=QUANTITIES,
        purposes=PURPOSES,
        age_units=[(least, wording.say(sentence)) for least, sentence in AGE_UNITS],
    )
    return made


def template(language: Language, name: str) -> Template:
    """The named template of `language`."""
    return environment(language).get_template(name)
