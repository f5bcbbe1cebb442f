"""Numbers, moments and ages read as each language writes them, in the city's time zone."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pages.language import Language, choose
from pages.wording import Wording

JA, EN = Wording(Language.JA), Wording(Language.EN)
AT = datetime(2026, 11, 22, 23, 7, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("asked", "remembered", "header", "chosen"),
    [
        ("en", "ja", "ja", Language.EN),
        (None, "en", "ja", Language.EN),
        (None, None, "en-GB,en;q=0.8,ja;q=0.9", Language.EN),
        (None, None, "ko, ja;q=0.3, en;q=0.7", Language.EN),
        (None, None, "ko", Language.JA),
        (None, None, "en;q=0, ja;q=0.1", Language.JA),
        ("xx", "yy", None, Language.JA),
        ("../..", "\x00", "en;q=oops, *;q=1", Language.JA),
    ],
)
def test_the_language_is_the_one_asked_for_then_remembered_then_preferred(
    asked: str | None, remembered: str | None, header: str | None, chosen: Language
) -> None:
    assert choose(asked, remembered, header) is chosen


@given(st.one_of(st.none(), st.text()), st.one_of(st.none(), st.text()), st.one_of(st.none(), st.text()))
def test_any_header_leads_to_a_language(asked: str | None, remembered: str | None, header: str | None) -> None:
    assert choose(asked, remembered, header) in Language


def test_moments_are_told_in_japan_standard_time() -> None:
    assert JA.moment(AT) == "2026年11月23日 08:07:05"
    assert EN.moment(AT) == "23 Nov 2026, 08:07:05"
    assert EN.time(AT) == "08:07:05"


@pytest.mark.parametrize(
    ("seconds", "ja", "en"),
    [
        (-5, "0秒前", "0 s ago"),
        (59.9, "59秒前", "59 s ago"),
        (60, "1分前", "1 min ago"),
        (3599, "59分前", "59 min ago"),
        (7200, "2時間前", "2 h ago"),
        (200_000, "2日前", "2 d ago"),
    ],
)
def test_ages_are_told_in_the_largest_whole_unit(seconds: float, ja: str, en: str) -> None:
    age = timedelta(seconds=seconds)
    assert (JA.age(age), EN.age(age)) == (ja, en)


def test_values_have_the_decimals_and_the_unit_of_their_quantity() -> None:
    assert EN.value(1002.44, "pressure") == "1,002.4 hPa"
    assert JA.value(2.0, "water_level") == "2.00 m"
    assert EN.value(None, "water_level") == "–"
    assert EN.value(float("nan"), "raw_value") == "–"
    assert EN.value(1.5, "a_quantity_of_tomorrow") == "1.500"


@pytest.mark.parametrize(("degrees", "point"), [(0, "N"), (22.4, "N"), (22.6, "NE"), (213, "SW"), (359, "N")])
def test_a_direction_is_the_nearest_of_eight_points(degrees: float, point: str) -> None:
    assert EN.compass(degrees) == point
