"""Every section and macro renders in every language, and a hostile string stays text."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

from contract.alert import Alert, Transition
from contract.consent import Purpose
from contract.ids import AlertId
from contract.record import GapReason
from contract.sample import ClockQuality, Flag
from pages.environment import environment, template
from pages.language import Language

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(2)>{{ 7 * 7 }}\u202e"""
OUR_TAGS = {"script", "img", "iframe", "object", "style", "base", "link", "meta"}


class Tags(HTMLParser):
    """The tags of a document, and the names of their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def row(**more: object) -> SimpleNamespace:
    known = {
        "gateway": HOSTILE, "device": HOSTILE, "subject": HOSTILE, "quantity": HOSTILE, "value": 1.25, "at": NOW,
        "flag": Flag.GOOD, "clock": ClockQuality.BOUNDED, "purpose": Purpose.RESEARCH, "start": NOW, "end": NOW,
        "reason": GapReason.RESTART, "count": 3, "window_s": 60.0, "mean": 1.0, "minimum": 0.5, "maximum": 2.0,
    }  # fmt: skip
    return SimpleNamespace(**(known | more))


def alert(**more: object) -> SimpleNamespace:
    told = Alert(
        AlertId("a" * 32), HOSTILE, HOSTILE, Transition.RAISED, NOW, HOSTILE, 1.0, 2.0, 99, HOSTILE, HOSTILE,
        ((HOSTILE, 1.0), ("window_s", 20.0)),
    )  # fmt: skip
    return row(alert=told, **more)


def chart() -> SimpleNamespace:
    shown = {
        "id": HOSTILE,
        "label": HOSTILE,
        "quantity": HOSTILE,
        "time_label": HOSTILE,
        "unit": HOSTILE,
        "decimals": 2,
    }
    minute = SimpleNamespace(at=NOW, last=1.0, lowest=1.0, highest=1.0)
    return row(shown={**shown, "points": [[1.0], [2.0]], "stages": [{"label": HOSTILE}]}, twin=[minute])


def sections() -> Iterator[tuple[str, object]]:
    flags = [row(flag=flag, clock=clock) for flag in Flag for clock in ClockQuality]
    place = SimpleNamespace(lat_deg=33.9, lon_deg=130.9, speed_mps=None, course_deg=None)
    series = SimpleNamespace(values=(0.8, 0.9), offsets_s=(-0.9, 0.0))
    yield "alerts", [alert(), alert(gateway=None, purpose=Purpose.HEALTH_CENTRE), alert(gateway=None, purpose=None)]
    yield "river", [chart()]
    yield "chart", [chart()]
    yield "vehicles", [row(quantity="position", value=place), row(quantity="mesh_cell", value=5.1e8), row(value=None)]
    yield "stations", [SimpleNamespace(gateway=HOSTILE, device=HOSTILE, rows=[*flags, row(value=None)])]
    yield "people", SimpleNamespace(live=flags, statistics=[row(persons=10)], k=10)
    yield "people", SimpleNamespace(live=[], statistics=[], k=10)
    heard = row(id=HOSTILE, last_seen=NOW, first_seen=NOW, software=HOSTILE)
    gateways = [SimpleNamespace(row=heard, state=state) for state in ("heard", "late", "silent")]
    yield "gateways", gateways
    yield "gaps", [row(reason=reason, gateway=gateway) for reason in GapReason for gateway in (None, HOSTILE)]
    yield "latest", [row(value=series), row(quantity="position", value=place), row(value=None)]


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize(("name", "items"), list(sections()), ids=lambda value: value if isinstance(value, str) else "")
def test_a_hostile_string_stays_text(name: str, items: object, language: Language) -> None:
    html = template(language, f"sections/{name}.html").render(items=items, now=NOW, heard_s=15, silent_s=45, old_s=60)
    tags = Tags()
    tags.feed(html)
    assert not OUR_TAGS & set(tags.tags)
    assert not {name for name in tags.attributes if name.startswith("on") or name == "style"}
    assert "<script>alert" not in html
    assert "{{ 7 * 7 }}" in html or HOSTILE[:8] not in tags.text


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("name", ["alerts", "river", "vehicles", "stations", "gateways", "gaps"])
def test_an_empty_section_says_so(name: str, language: Language) -> None:
    html = template(language, f"sections/{name}.html").render(items=[], now=NOW, heard_s=15, silent_s=45, old_s=60)
    tags = Tags()
    tags.feed(html)
    assert tags.text.strip()


@pytest.mark.parametrize("language", Language)
def test_every_template_compiles(language: Language) -> None:
    names = environment(language).list_templates()
    assert len(names) > 10
    for name in names:
        environment(language).get_template(name)


def test_every_state_has_an_icon_and_words() -> None:
    """Never colour alone."""
    for flag in Flag:
        html = template(Language.EN, "sections/stations.html").render(
            items=[SimpleNamespace(gateway="g", device="d", rows=[row(flag=flag)])],
            now=NOW + timedelta(seconds=5),
            old_s=60,
        )
        tags = Tags()
        tags.feed(html)
        assert html.count('<span class="status') >= 1
        assert tags.tags.count("use") >= html.count('<span class="status')


_BELIEVED = {
    ClockQuality.SYNCHRONISED: "",
    ClockQuality.UNSYNCHRONISED: "Clock not synchronised",
    ClockQuality.BOUNDED: "Time known within bounds",
    ClockQuality.CORRECTED: "Time corrected afterwards",
}


@pytest.mark.parametrize("clock", ClockQuality)
def test_a_time_says_how_far_it_can_be_believed(clock: ClockQuality) -> None:
    items = [row(value=None, clock=clock)]
    html = template(Language.EN, "sections/latest.html").render(items=items, now=NOW, heard_s=15, silent_s=45, old_s=60)
    assert {words for words in _BELIEVED.values() if words and words in html} == {_BELIEVED[clock]} - {""}
