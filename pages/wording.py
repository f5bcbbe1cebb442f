"""How a value, a moment or an age is written for a reader: in his language, in the city's time zone, with units."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from babel.numbers import format_decimal

from contract.quantity import QUANTITIES, Quantity
from pages.catalogue import translate
from pages.language import Language

CITY_TIME = ZoneInfo("Asia/Tokyo")


def noted(sentence: str) -> str:
    """`sentence` itself: marks for the catalogue what is translated where it is used."""
    return sentence


AGE_UNITS = (
    (86400.0, noted("%(n)s d ago")),
    (3600.0, noted("%(n)s h ago")),
    (60.0, noted("%(n)s min ago")),
    (0.0, noted("%(n)s s ago")),
)
"""Least seconds and sentence, longest unit first; the browser counts on with the same table."""
_COMPASS = (noted("N"), noted("NE"), noted("E"), noted("SE"), noted("S"), noted("SW"), noted("W"), noted("NW"))


@dataclass(frozen=True, slots=True)
class Wording:
    """Everything that differs between languages, for one of them."""

    language: Language

    def say(self, sentence: str, **values: object) -> str:
        """The catalogue's entry for `sentence`, its %(name)s filled."""
        text = translate(self.language, sentence)
        return text % values if values else text

    def quantity(self, quantity: Quantity) -> str:
        """Its name, from the quantity table."""
        return quantity.ja if self.language is Language.JA else quantity.en

    def either(self, ja: str, en: str) -> str:
        """The one of two names, from a dated table, that the reader reads."""
        return ja if self.language is Language.JA else en

    def number(self, value: float | None, decimals: int = 0) -> str:
        """`value` with exactly `decimals` digits after the point, grouped as the language does; a dash for none."""
        if value is None or not math.isfinite(value):
            return "–"
        return format_decimal(value, "#,##0." + "0" * decimals if decimals else "#,##0", locale=self.language.value)

    def value(self, value: float | None, name: str) -> str:
        """`value` of the named quantity with the decimals and the symbol of its row."""
        row = QUANTITIES.get(name)
        if row is None:
            return self.number(value, 3)
        number = self.number(value, row.decimals)
        return f"{number} {row.symbol}" if row.symbol and value is not None else number

    def moment(self, at: datetime) -> str:
        """Date and time to the second, in the city's time zone."""
        pattern = "y年M月d日 HH:mm:ss" if self.language is Language.JA else "d MMM y, HH:mm:ss"
        return format_datetime(at, pattern, tzinfo=CITY_TIME, locale=self.language.value)

    def time(self, at: datetime) -> str:
        """Time of day to the second, in the city's time zone."""
        return format_datetime(at, "HH:mm:ss", tzinfo=CITY_TIME, locale=self.language.value)

    def age(self, age: timedelta) -> str:
        """How long ago, in the largest whole unit; a clock ahead of ours counts as now."""
        seconds = max(0.0, age.total_seconds())
        least, sentence = next(row for row in AGE_UNITS if seconds >= row[0])
        return self.say(sentence, n=self.number(math.floor(seconds / (least or 1.0))))

    def compass(self, degrees: float) -> str:
        """The nearest of the eight points from which, or towards which, `degrees` says."""
        return self.say(_COMPASS[round(degrees / 45.0) % 8])
