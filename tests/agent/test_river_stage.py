"""River stages ring by hysteresis, never flap, and no missing or failed reading raises or clears (promise 3)."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.rules import river_stage
from agent.rules.river_stage import RiverStage, RiverStageConfig
from agent.rules.tables import STAGE_NAMES, STATIONS, StageLevels, in_force
from contract.alert import Alert, Transition
from contract.configuration import parse
from contract.errors import Misconfigured, Tampered
from contract.ids import AlertId, DeviceId
from contract.sample import ClockQuality, Flag, Reading, Sample, Stamp

START = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
THRESHOLDS = {1: 1.5, 2: 2.0, 3: 2.5, 4: 3.0, 5: 3.5}


class Gauge:
    """A rule and the seconds that pass between the readings it is given."""

    def __init__(self, **settings: object) -> None:
        stages = [{"level": level, "threshold_m": metres} for level, metres in THRESHOLDS.items()]
        config = RiverStageConfig.model_validate({"device": "river-1", "stage": stages, **settings})
        self.ids = 0
        self.rule: RiverStage = river_stage.build(config, self.new_id)
        self.uptime_s = 100.0

    def new_id(self) -> AlertId:
        self.ids += 1
        return AlertId(f"{self.ids:032x}")

    def read(
        self, value: float | None, flag: Flag = Flag.GOOD, after_s: float = 1.0, device: str = "river-1"
    ) -> tuple[Alert, ...]:
        self.uptime_s += after_s
        stamp = Stamp(START + timedelta(seconds=self.uptime_s), self.uptime_s, ClockQuality.SYNCHRONISED)
        members = (Reading("air_temperature", 9.0, Flag.GOOD), Reading("water_level", value, flag))
        return self.rule.evaluate(Sample(DeviceId(device), stamp, members))

    def steps(self, *values: float) -> list[tuple[Transition, int]]:
        return [(event.transition, event.level) for value in values for event in self.read(value)]


def test_a_rising_and_falling_river_is_one_alert_from_raised_to_cleared() -> None:
    gauge = Gauge()
    events = [event for value in (1.0, 1.5, 1.7, 2.6, 3.1, 2.95, 2.9, 1.0) for event in gauge.read(value)]
    assert [(event.transition, event.level) for event in events] == [
        (Transition.RAISED, 1),
        (Transition.UPDATED, 3),
        (Transition.UPDATED, 4),
        (Transition.UPDATED, 3),
        (Transition.CLEARED, 0),
    ]
    assert {event.id for event in events} == {AlertId(f"{1:032x}")}
    assert [event.threshold for event in events] == [1.5, 2.5, 3.0, 2.5, 2.5]
    assert [event.value for event in events] == [1.5, 2.6, 3.1, 2.9, 1.0]


def test_the_alert_tells_which_level_was_reached_and_what_it_rests_on() -> None:
    (event,) = Gauge(table="demo", stage=[]).read(1.5)
    assert (event.name_ja, event.name_en) == ("氾濫注意水位に到達", "Flood caution level reached")
    assert event.rule_version == "demo-2026-11+stage-names-2007-04"
    assert dict(event.evidence) == {
        "dead_band_m": 0.1,
        "clear_after_s": 0,
        "flag": 1,
        "suspect_readings": 0,
        "clock_synchronised": 1,
    }


def test_a_second_flood_is_a_second_alert() -> None:
    gauge = Gauge()
    ids = [event.id for value in (2.0, 1.0, 2.0) for event in gauge.read(value)]
    assert ids[0] == ids[1] != ids[2]


@given(st.lists(st.floats(1.901, 1.999), max_size=30))
def test_no_level_within_the_dead_band_makes_the_alert_flap(levels: list[float]) -> None:
    gauge = Gauge()
    assert gauge.steps(2.0) == [(Transition.RAISED, 2)]
    assert gauge.steps(*levels) == []


@given(
    st.lists(
        st.tuples(st.one_of(st.none(), st.floats(-20, 60)), st.sampled_from([Flag.FAIL, Flag.MISSING])), max_size=30
    ),
    st.sampled_from([0.5, 2.2, 4.0]),
)
def test_failed_and_missing_readings_neither_raise_nor_clear(
    readings: list[tuple[float | None, Flag]], before_m: float
) -> None:
    gauge = Gauge()
    gauge.read(before_m)
    state = gauge.rule.state()
    assert [event for value, flag in readings for event in gauge.read(value, flag)] == []
    assert gauge.rule.state() == state


@given(st.lists(st.tuples(st.floats(0, 5), st.sampled_from(list(Flag))), max_size=60))
def test_events_always_tell_a_lawful_life(readings: list[tuple[float, Flag]]) -> None:
    gauge = Gauge()
    level = 0
    for value, flag in readings:
        for event in gauge.read(value, flag):
            assert event.level != level
            assert event.transition is (
                Transition.RAISED if level == 0 else Transition.UPDATED if event.level else Transition.CLEARED
            )
            level = event.level
            if flag is Flag.GOOD:
                assert level == 0 or value > THRESHOLDS[level] - 0.1
    assert bool(gauge.rule.state()) == bool(level)


@pytest.mark.parametrize("flag", [Flag.SUSPECT, Flag.UNKNOWN])
def test_a_suspect_level_is_believed_when_it_persists(flag: Flag) -> None:
    gauge = Gauge(suspect_readings=3)
    assert gauge.read(3.2, flag) == ()
    assert gauge.read(2.6, flag) == ()
    (event,) = gauge.read(3.3, flag)
    assert (event.level, event.value) == (3, 2.6)
    assert dict(event.evidence)["suspect_readings"] == 3


@pytest.mark.parametrize(("value", "flag"), [(None, Flag.MISSING), (99.0, Flag.FAIL), (1.0, Flag.GOOD)])
def test_anything_else_between_suspect_levels_breaks_the_run(value: float | None, flag: Flag) -> None:
    gauge = Gauge(suspect_readings=2)
    assert gauge.read(3.2, Flag.SUSPECT) == ()
    assert gauge.read(value, flag) == ()
    assert gauge.read(3.2, Flag.SUSPECT) == ()


def test_suspect_levels_never_clear() -> None:
    gauge = Gauge()
    gauge.read(2.0)
    assert [event for _ in range(10) for event in gauge.read(0.2, Flag.SUSPECT)] == []


def test_the_alert_clears_only_after_the_level_stayed_low() -> None:
    gauge = Gauge(clear_after_s=10)
    gauge.read(2.0)
    assert gauge.steps(1.0, 1.0, 1.95, 1.0) == []
    assert gauge.read(1.0, after_s=9.9) == ()
    assert gauge.read(None, Flag.MISSING) == ()
    assert gauge.read(1.0) == ()
    assert [event.transition for event in gauge.read(1.0, after_s=10)] == [Transition.CLEARED]


def test_another_device_and_another_quantity_say_nothing() -> None:
    gauge = Gauge()
    assert gauge.read(4.0, device="river-2") == ()
    stamp = Stamp(START, 1.0, ClockQuality.SYNCHRONISED)
    assert gauge.rule.evaluate(Sample(DeviceId("river-1"), stamp, (Reading("raw_value", 4.0, Flag.GOOD),))) == ()


def test_an_open_alert_outlives_a_restart_with_the_scheme_it_was_raised_under() -> None:
    before = Gauge(stage=[{"level": 2, "threshold_m": 1.0}])
    (raised,) = before.read(1.2)
    after = Gauge()
    after.rule.restore(json.loads(json.dumps(before.rule.state())))
    (cleared,) = after.read(0.5)
    assert (cleared.id, cleared.rule_version, cleared.transition) == (
        raised.id,
        raised.rule_version,
        Transition.CLEARED,
    )
    assert after.rule.state() == {}


@pytest.mark.parametrize("state", [{"id": "x"}, {"id": "x", "level": 3, "version": "v", "stages": []}, {"level": []}])
def test_a_state_that_no_rule_wrote_is_told(state: dict[str, object]) -> None:
    with pytest.raises(Tampered):
        Gauge().rule.restore(state)


def test_a_table_changes_on_its_day_in_japan_and_an_unset_clock_takes_the_newest() -> None:
    old = StageLevels("old", date(2020, 1, 1), date(2026, 11, 21), ((1, 1.0),))
    new = StageLevels("new", date(2026, 11, 22), date(2026, 11, 30), ((1, 2.0),))

    def version(at: datetime, clock: ClockQuality = ClockQuality.SYNCHRONISED) -> str:
        return in_force((old, new), Stamp(at, 0, clock)).version

    assert version(datetime(2026, 11, 21, 14, 59, tzinfo=UTC)) == "old"
    assert version(datetime(2026, 11, 21, 15, 0, tzinfo=UTC)) == "new"
    assert version(datetime(2026, 11, 21, 14, 59, tzinfo=UTC), ClockQuality.UNSYNCHRONISED) == "new"
    assert version(datetime(1970, 1, 1, tzinfo=UTC)) == "new"
    assert version(datetime(2027, 1, 1, tzinfo=UTC)) == "new"


def test_every_stage_of_every_table_has_a_name_and_rises() -> None:
    named = [{stage.level for stage in names.stages} for names in STAGE_NAMES]
    for rows in STATIONS.values():
        for row in rows:
            levels = [level for level, _ in row.thresholds_m]
            assert all(set(levels) <= names for names in named)
            assert levels == sorted(set(levels))
            assert [m for _, m in row.thresholds_m] == sorted({m for _, m in row.thresholds_m})


@pytest.mark.parametrize(
    "text",
    [
        'device = "river-1"',
        'device = "river-1"\ntable = "nowhere"',
        'device = "river-1"\ntable = "demo"\n[[stage]]\nlevel = 1\nthreshold_m = 1.0',
        'device = "river-1"\n[[stage]]\nlevel = 2\nthreshold_m = 1.0\n[[stage]]\nlevel = 1\nthreshold_m = 2.0',
        'device = "river-1"\n[[stage]]\nlevel = 1\nthreshold_m = 2.0\n[[stage]]\nlevel = 2\nthreshold_m = 1.0',
        'device = "river-1"\n[[stage]]\nlevel = 6\nthreshold_m = 2.0',
        'device = "river-1"\ntable = "demo"\ndead_band_m = 0',
        'device = "River 1"\ntable = "demo"',
        'device = "river-1"\ntable = "demo"\ndead_bund_m = 1.0',
    ],
)
def test_a_wrong_rule_is_misconfigured(text: str) -> None:
    with pytest.raises(Misconfigured):
        parse(RiverStageConfig, text, "gateway.toml")


def test_a_rule_with_stages_of_its_own_is_read() -> None:
    stages = "[[stage]]\nlevel = 2\nthreshold_m = 1\n[[stage]]\nlevel = 4\nthreshold_m = 2.5"
    text = f'kind = "river_stage"\ndevice = "river-1"\n{stages}'
    config = parse(RiverStageConfig, text, "gateway.toml")
    assert [(stage.level, stage.threshold_m) for stage in config.stage] == [(2, 1.0), (4, 2.5)]
