"""One fix a cycle: which sentence closes it, what is never waited for, and what a receiver's date is worth."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.codecs.nmea0183 import Dated, Kind, Located, Moving, Place, Recommended, Sentence
from drivers.codecs.nmea_fix import Doubt, Fix, FixAssembler, judged_time
from support.driving import Noted

HERE = Place(33.95, 130.94)
DAY = date(2026, 11, 22)
SECOND_US = 1_000_000


def rmc(second: int, place: Place | None = HERE, day: date | None = DAY) -> Recommended:
    return Recommended(second * SECOND_US, day, place, 5.0, 90.0)


def gga(second: int, place: Place | None = HERE) -> Located:
    return Located(Kind.GGA, second * SECOND_US, place, 12.5, 8)


class Feeding:
    """An assembler and the clock its sentences are stamped by."""

    def __init__(self) -> None:
        self.noted = Noted()
        self.assembler = FixAssembler()

    def say(self, *sentences: Sentence) -> list[Fix]:
        return [fix for sentence in sentences for fix in self.assembler.feed(sentence, self.noted.now())]


def test_rmc_closes_the_cycle_with_what_gga_said() -> None:
    feeding = Feeding()
    for second in range(1, 5):
        assert feeding.say(gga(second)) == []
        (fix,) = feeding.say(rmc(second))
        assert (fix.place, fix.speed_mps, fix.course_deg) == (HERE, 5.0, 90.0)
        assert (fix.altitude_m, fix.satellites) == (12.5, 8)
        assert fix.device_time == datetime(2026, 11, 22, 0, 0, second, tzinfo=UTC)


def test_a_receiver_that_sends_only_rmc_is_never_waited_for() -> None:
    feeding = Feeding()
    for second in range(1, 5):
        assert len(feeding.say(rmc(second))) == 1


def test_gga_behind_rmc_is_learnt_from_the_first_cycle() -> None:
    feeding = Feeding()
    (first,) = feeding.say(rmc(1), gga(1))
    assert first.altitude_m is None
    for second in range(2, 5):
        assert feeding.say(rmc(second)) == []
        (fix,) = feeding.say(gga(second, Place(33.9500001, 130.94)))
        assert (fix.place.lat_deg, fix.speed_mps, fix.altitude_m) == (33.9500001, 5.0, 12.5)


def test_without_rmc_the_position_is_given_at_once_after_one_cycle() -> None:
    feeding = Feeding()
    assert feeding.say(gga(1)) == []
    assert feeding.assembler.is_holding
    assert len(feeding.assembler.settle()) == 1
    assert not feeding.assembler.is_holding
    for second in range(2, 5):
        (fix,) = feeding.say(gga(second))
        assert fix.speed_mps is None


def test_vtg_behind_the_position_gives_its_speed() -> None:
    feeding = Feeding()
    assert feeding.say(gga(1), Moving(3.0, 45.0)) == []
    assert [fix.speed_mps for fix in feeding.assembler.settle()] == [3.0]
    for second in range(2, 5):
        assert feeding.say(gga(second)) == []
        (fix,) = feeding.say(Moving(3.0, 45.0))
        assert (fix.speed_mps, fix.course_deg) == (3.0, 45.0)


def test_vtg_beside_rmc_says_nothing_new() -> None:
    (fix,) = Feeding().say(rmc(1), Moving(3.0, 45.0))
    assert fix.speed_mps == 5.0


def test_a_lost_closing_sentence_costs_no_fix() -> None:
    feeding = Feeding()
    given = feeding.say(gga(1), rmc(1), gga(2), gga(3), rmc(3), gga(4), rmc(4))
    assert [fix.device_time.second for fix in given if fix.device_time] == [1, 2, 3, 4]
    assert [fix.speed_mps for fix in given] == [5.0, None, 5.0, 5.0]


def test_a_receiver_may_change_its_habit() -> None:
    feeding = Feeding()
    feeding.say(gga(1), rmc(1))
    held = [len(feeding.say(gga(second))) for second in range(2, 8)]
    assert held == [0, 1, 1, 2, 1, 1]
    assert feeding.say(gga(9), gga(10))[-1].device_time == datetime(2026, 11, 22, 0, 0, 10, tzinfo=UTC)


@pytest.mark.parametrize("order", ["gga first", "rmc first"])
def test_a_warning_voids_the_whole_cycle(order: str) -> None:
    warned = rmc(2, place=None)
    cycle = (gga(2), warned) if order == "gga first" else (warned, gga(2))
    feeding = Feeding()
    assert len(feeding.say(gga(1), rmc(1))) == 1
    assert feeding.say(*cycle) == []
    assert feeding.assembler.settle() == ()
    assert len(feeding.say(gga(3), rmc(3))) == 1


def test_a_moment_is_given_once() -> None:
    """Several talkers repeat one moment; a receiver that lost its fix may say the last one for ever."""
    assert len(Feeding().say(gga(1), rmc(1), rmc(1), gga(1), rmc(1))) == 1


def test_a_fix_is_stamped_when_its_first_sentence_was_read() -> None:
    feeding = Feeding()
    first = feeding.noted.now()
    (fix,) = feeding.say(gga(1), rmc(1))
    assert timedelta(0) < fix.at.at - first.at <= timedelta(milliseconds=1)


def test_the_date_comes_from_zda_where_rmc_has_none_and_turns_at_midnight() -> None:
    feeding = Feeding()
    feeding.say(Dated(86_399 * SECOND_US, DAY))
    given = feeding.say(rmc(86_399, day=None), rmc(1, day=None))
    assert [fix.device_time for fix in given] == [
        datetime(2026, 11, 22, 23, 59, 59, tzinfo=UTC),
        datetime(2026, 11, 23, 0, 0, 1, tzinfo=UTC),
    ]


def test_a_position_without_time_is_given() -> None:
    feeding = Feeding()
    untimed = Recommended(None, None, HERE, 1.0, None)
    given = feeding.say(untimed, untimed)
    assert [fix.device_time for fix in given] == [None, None]


NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("device_time", "judged", "doubt"),
    [
        (NOW - timedelta(hours=23), NOW - timedelta(hours=23), Doubt.NONE),
        (NOW - timedelta(weeks=1024), NOW, Doubt.ROLLED_OVER),
        (NOW - timedelta(weeks=2048, hours=5), NOW - timedelta(hours=5), Doubt.ROLLED_OVER),
        (NOW - timedelta(weeks=500), NOW - timedelta(weeks=500), Doubt.FAR),
        (NOW + timedelta(weeks=1024), NOW + timedelta(weeks=1024), Doubt.FAR),
        (NOW - timedelta(days=2), NOW - timedelta(days=2), Doubt.FAR),
    ],
)
def test_a_date_is_judged_by_the_gateways_own(device_time: datetime, judged: datetime, doubt: Doubt) -> None:
    assert judged_time(device_time, NOW) == (judged, doubt)


TIMES = st.none() | st.integers(0, 86_400 * SECOND_US)
PLACES = st.none() | st.just(HERE)
SENTENCES = st.one_of(
    st.builds(
        Recommended, TIMES, st.none() | st.dates(date(1980, 1, 1), date(9998, 12, 31)), PLACES, st.none(), st.none()
    ),
    st.builds(Located, st.sampled_from([Kind.GGA, Kind.GNS, Kind.GLL]), TIMES, PLACES, st.none(), st.none()),
    st.builds(Moving, st.none(), st.none()),
    st.builds(Dated, TIMES, st.none() | st.dates(date(1980, 1, 1), date(9998, 12, 31))),
)


@given(st.lists(SENTENCES, max_size=30))
def test_any_sentences_give_at_most_one_fix_for_each_position_said(sentences: list[Sentence]) -> None:
    feeding = Feeding()
    given_out = feeding.say(*sentences) + list(feeding.assembler.settle())
    placed = [each for each in sentences if isinstance(each, Recommended | Located) and each.place]
    assert len(given_out) <= len(placed)
