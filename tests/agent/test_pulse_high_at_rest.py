"""A pulse that stays high rings once; artefacts, silence and short peaks do not (promise 3, no personal value kept)."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.rules import pulse_high_at_rest
from agent.rules.pulse_high_at_rest import PulseHighAtRest, PulseHighAtRestConfig
from agent.rules.pulse_window import PulseWindow
from contract.alert import Alert, Transition
from contract.errors import Tampered
from contract.ids import AlertId, DeviceId
from contract.sample import ClockQuality, Flag, Member, Reading, Sample, Series, Stamp

START = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


class Strap:
    """A rule and the notifications it is given, one a second unless said otherwise."""

    def __init__(self, **settings: object) -> None:
        config = PulseHighAtRestConfig.model_validate({"window_s": 20, "cool_down_s": 30, **settings})
        self.ids = 0
        self.rule: PulseHighAtRest = pulse_high_at_rest.build(config, self.new_id)
        self.uptime_s = 1000.0

    def new_id(self) -> AlertId:
        self.ids += 1
        return AlertId(f"{self.ids:032x}")

    def tell(
        self, bpm: float | None, flag: Flag = Flag.GOOD, rr: tuple[float, ...] = (), after_s: float = 1.0
    ) -> tuple[Alert, ...]:
        self.uptime_s += after_s
        members: tuple[Member, ...] = (Reading("heart_rate", bpm, flag),)
        if rr:
            members = (*members, Series("rr_interval", rr, tuple(0.0 for _ in rr), flag=Flag.GOOD))
        stamp = Stamp(START + timedelta(seconds=self.uptime_s), self.uptime_s, ClockQuality.SYNCHRONISED)
        return self.rule.evaluate(Sample(DeviceId("strap-1"), stamp, members))

    def tell_for(self, seconds: int, bpm: float | None, flag: Flag = Flag.GOOD) -> list[Alert]:
        return [event for _ in range(seconds) for event in self.tell(bpm, flag)]


def test_a_whole_window_of_high_pulse_raises_once_and_says_what_was_measured() -> None:
    strap = Strap()
    assert strap.tell_for(20, 131) == []
    (event,) = strap.tell_for(40, 131)
    assert (event.transition, event.level, event.value, event.threshold) == (Transition.RAISED, 1, 131, 120)
    assert event.name_ja == "安静時の脈拍が高い状態が20秒間続いています（活動の有無は未確認）"
    assert event.name_en == "Pulse high at rest for 20 seconds (activity unknown)"
    evidence = dict(event.evidence)
    assert (evidence["window_s"], evidence["count"], evidence["coverage"], evidence["share"]) == (20, 21, 1, 1)
    assert (evidence["activity_known"], evidence["rejected"]) == (0, 0)


def test_the_window_of_the_text_is_the_window_of_the_rule() -> None:
    strap = Strap(window_s=600)
    (event,) = strap.tell_for(601, 140)
    assert "10分間" in event.name_ja
    assert "10 minutes" in event.name_en


def test_nine_in_ten_values_must_lie_beyond_the_limit() -> None:
    strap = Strap()
    events = [event for second in range(100) for event in strap.tell(100 if second % 7 == 0 else 150)]
    assert events == []
    strap = Strap()
    events = [event for second in range(100) for event in strap.tell(100 if second % 20 == 0 else 150)]
    assert [event.transition for event in events] == [Transition.RAISED]


def test_values_at_the_limit_are_not_beyond_it() -> None:
    assert Strap().tell_for(60, 120) == []


def test_too_little_coverage_raises_nothing() -> None:
    strap = Strap()
    events = [
        event
        for _ in range(30)
        for event in (*strap.tell(150), *strap.tell(None, Flag.MISSING), *strap.tell(None, Flag.MISSING))
    ]
    assert events == []


def test_a_band_that_tells_every_five_seconds_is_covered() -> None:
    strap = Strap(window_s=60)
    events = [event for _ in range(20) for event in strap.tell(150, after_s=5)]
    assert [event.transition for event in events] == [Transition.RAISED]


def test_the_alert_clears_by_hysteresis_and_waits_before_the_next() -> None:
    strap = Strap(cool_down_s=100)
    (raised,) = strap.tell_for(21, 130)
    assert strap.tell_for(60, 117) == []
    (cleared,) = strap.tell_for(20, 80)
    assert (cleared.id, cleared.transition, cleared.level) == (raised.id, Transition.CLEARED, 0)
    assert strap.tell_for(85, 150) == []
    (again,) = strap.tell_for(30, 150)
    assert again.transition is Transition.RAISED
    assert again.id != raised.id


@given(st.lists(st.floats(115.1, 125), max_size=60))
def test_no_pulse_within_the_dead_band_makes_the_alert_flap(pulses: list[float]) -> None:
    strap = Strap()
    assert len(strap.tell_for(21, 130)) == 1
    assert [event for bpm in pulses for event in strap.tell(bpm)] == []


@given(
    st.lists(
        st.tuples(st.floats(0, 400), st.sampled_from([Flag.FAIL, Flag.MISSING, Flag.SUSPECT, Flag.UNKNOWN])),
        max_size=60,
    ),
    st.sampled_from([70.0, 150.0]),
)
def test_values_that_are_not_good_neither_raise_nor_clear(readings: list[tuple[float, Flag]], before: float) -> None:
    strap = Strap()
    strap.tell_for(25, before)
    state = strap.rule.state()
    events = [e for bpm, flag in readings for e in strap.tell(None if flag is Flag.MISSING else bpm, flag)]
    assert events == []
    assert strap.rule.state() == state


def test_silence_never_clears() -> None:
    strap = Strap()
    strap.tell_for(21, 130)
    assert strap.tell(130, after_s=86_400) == ()
    assert strap.tell(70, after_s=86_400) == ()
    assert strap.rule.state() != {}


def test_a_pulse_that_its_own_intervals_contradict_is_an_artefact() -> None:
    strap = Strap()
    assert [event for _ in range(60) for event in strap.tell(150, rr=(0.8,))] == []
    events = [event for _ in range(60) for event in strap.tell(150, rr=(0.41, 0.39))]
    assert [event.transition for event in events] == [Transition.RAISED]
    assert dict(events[0].evidence)["rejected"] > 0


def test_what_is_kept_over_a_restart_holds_no_pulse() -> None:
    strap = Strap()
    (raised,) = strap.tell_for(21, 137)
    saved = json.dumps(strap.rule.state())
    assert "137" not in saved
    after = Strap()
    after.rule.restore(json.loads(saved))
    (cleared,) = after.tell_for(40, 70)
    assert (cleared.id, cleared.name_ja, cleared.transition) == (raised.id, raised.name_ja, Transition.CLEARED)
    after.rule.restore({})
    assert after.rule.state() == {}


def test_a_state_that_no_rule_wrote_is_told_without_repeating_it() -> None:
    with pytest.raises(Tampered) as caught:
        Strap().rule.restore({"id": "secret-of-a-person"})
    assert "secret-of-a-person" not in str(caught.value)


def test_a_clock_of_seconds_since_boot_that_falls_back_starts_the_window_anew() -> None:
    strap = Strap()
    strap.tell_for(15, 150)
    strap.uptime_s = 1.0
    assert strap.tell_for(20, 150) == []
    assert len(strap.tell_for(5, 150)) == 1


def test_memory_is_bounded_against_a_device_that_floods() -> None:
    window = PulseWindow(window_s=20, limit_bpm=120, clear_bpm=115)
    for step in range(5000):
        stamp = Stamp(START, step / 1000, ClockQuality.SYNCHRONISED)
        window.add(Sample(DeviceId("strap-1"), stamp, (Reading("heart_rate", 150, Flag.GOOD),)))
    assert (window.count, window.beyond_limit, window.beyond_clear) == (81, 81, 81)
    assert window.coverage == pytest.approx(0.004)


@given(
    st.lists(
        st.tuples(st.floats(0.1, 30), st.floats(60, 180), st.sampled_from([Flag.GOOD, Flag.MISSING])),
        min_size=1,
        max_size=80,
    )
)
def test_the_sums_of_a_window_are_those_of_its_values(steps: list[tuple[float, float, Flag]]) -> None:
    window = PulseWindow(window_s=20, limit_bpm=120, clear_bpm=115)
    at_s = 0.0
    good: list[tuple[float, float]] = []
    for after_s, bpm, flag in steps:
        at_s += after_s
        stamp = Stamp(START, at_s, ClockQuality.SYNCHRONISED)
        window.add(Sample(DeviceId("strap-1"), stamp, (Reading("heart_rate", bpm, flag),)))
        if flag is Flag.GOOD:
            good.append((at_s, bpm))
        inside = [value for when, value in good if when >= at_s - 20]
        assert window.count == len(inside)
        assert window.beyond_limit == sum(value > 120 for value in inside)
        assert 0 <= window.coverage <= 1.01
