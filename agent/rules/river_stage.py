"""River stages: an alert rises and falls with the level of one gauge, by hysteresis, under a dated table.

Only GOOD drives it. SUSPECT drives it upwards once it persists; FAIL and MISSING neither raise nor clear
(a water-level gauge with a broken sensor has shown floods on sunny days).
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal, Self
from zlib import crc32

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent.rules.base import NewId
from agent.rules.tables import STAGE_NAMES, STATIONS, StageLevels, StageNames, in_force
from contract.alert import Alert, Transition
from contract.configuration import Wrong
from contract.errors import Tampered
from contract.ids import ID_PATTERN, AlertId, DeviceId
from contract.sample import ClockQuality, Flag, Reading, Sample, Stamp

QUANTITY = "water_level"


class StageConfig(BaseModel):
    """One [[rule.stage]]: where a stage lies on this gauge. Its name comes from the dated table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    level: int = Field(ge=1, le=5)
    threshold_m: float = Field(allow_inf_nan=False)


class RiverStageConfig(BaseModel):
    """A [[rule]] of kind "river_stage": either `table`, a station's name, or stages of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["river_stage"] = "river_stage"
    device: Annotated[str, Field(pattern=f"^{ID_PATTERN}$")]
    table: str | None = None
    stage: tuple[StageConfig, ...] = ()
    dead_band_m: float = Field(default=0.1, gt=0, le=10)
    """A stage is left when the level has fallen this far below its threshold."""
    clear_after_s: float = Field(default=0, ge=0, le=86_400)
    """...and has stayed there this long."""
    suspect_readings: int = Field(default=3, ge=2, le=100)
    """How many suspect readings in a row are believed."""

    @model_validator(mode="after")
    def _one_source_of_stages(self) -> Self:
        if (self.table is None) == (not self.stage):
            raise Wrong(
                'a river rule takes its stages from "table" or from [[rule.stage]], one of the two',
                f"Name one of the tables ({', '.join(sorted(STATIONS))}) or write each stage",
            )
        if self.table is not None and self.table not in STATIONS:
            raise Wrong("no stage table has this name", f"Use one of: {', '.join(sorted(STATIONS))}")
        rising = [(stage.level, stage.threshold_m) for stage in self.stage]
        if any(low[0] >= high[0] or low[1] >= high[1] for low, high in pairwise(rising)):
            raise Wrong("river stages do not rise", "Write [[rule.stage]] in order: higher level, higher threshold_m")
        return self


Config: type[RiverStageConfig] = RiverStageConfig


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage as an alert tells it."""

    level: int
    threshold_m: float
    ja: str
    en: str


@dataclass(frozen=True, slots=True)
class Scheme:
    """Names and thresholds in force together, lowest stage first."""

    version: str
    stages: tuple[Stage, ...]

    def reached(self, level_m: float) -> int:
        """The highest stage whose threshold the level has reached; 0 below all."""
        return max((stage.level for stage in self.stages if level_m >= stage.threshold_m), default=0)

    def kept(self, level_m: float, dead_band_m: float) -> int:
        """The highest stage that is not left yet: the level lies above its threshold less the dead band."""
        return max((stage.level for stage in self.stages if level_m > stage.threshold_m - dead_band_m), default=0)

    def stage(self, level: int) -> Stage:
        """The stage of `level`, which the scheme has."""
        return next(stage for stage in self.stages if stage.level == level)


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert in its life, with the scheme it was raised under."""

    id: AlertId
    level: int
    scheme: Scheme


class _SavedStage(BaseModel):
    model_config = ConfigDict(extra="forbid")
    level: int
    threshold_m: float
    ja: str
    en: str


class _SavedAlert(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: str
    level: int
    version: str
    stages: list[_SavedStage]

    @model_validator(mode="after")
    def _level_has_a_stage(self) -> Self:
        if self.level not in [stage.level for stage in self.stages]:
            raise ValueError("the alert's level has no stage")
        return self


class RiverStage:
    """The rule over one gauge. Memory: the open alert and the last few suspect readings."""

    def __init__(self, config: RiverStageConfig, new_id: NewId) -> None:
        self._config = config
        self._device = DeviceId(config.device)
        self._levels = _station(config)
        self._new_id = new_id
        self._open: OpenAlert | None = None
        self._suspects: deque[float] = deque(maxlen=config.suspect_readings)
        self._low_since_s: float | None = None

    def evaluate(self, sample: Sample) -> tuple[Alert, ...]:
        """At most one event: raised, moved to another stage, or cleared."""
        if sample.device != self._device:
            return ()
        for member in sample.members:
            if member.quantity == QUANTITY and isinstance(member, Reading):
                return self._step(member, sample.stamp)
        return ()

    def state(self) -> dict[str, object]:
        """The open alert with the whole scheme it was raised under, or nothing."""
        alert = self._open
        if alert is None:
            return {}
        stages = [
            {"level": stage.level, "threshold_m": stage.threshold_m, "ja": stage.ja, "en": stage.en}
            for stage in alert.scheme.stages
        ]
        return {"id": alert.id, "level": alert.level, "version": alert.scheme.version, "stages": stages}

    def restore(self, state: Mapping[str, object]) -> None:
        """Take up the alert that `state()` told."""
        self._open = _loaded(state) if state else None

    def _step(self, reading: Reading, stamp: Stamp) -> tuple[Alert, ...]:
        value = self._believed(reading)
        if value is None:
            return ()
        before = self._open.level if self._open else 0
        scheme = self._open.scheme if self._open else _scheme(self._levels, stamp)
        after = scheme.reached(value)
        if after <= before:
            after = self._lowered(before, max(after, scheme.kept(value, self._config.dead_band_m)), reading, stamp)
        if after == before:
            return ()
        return (self._move(scheme, before, after, value, reading.flag, stamp),)

    def _believed(self, reading: Reading) -> float | None:
        """The level to act on: a GOOD value, or the lowest of a run of suspect ones; None to do nothing."""
        if reading.value is None or reading.flag in (Flag.FAIL, Flag.MISSING):
            self._suspects.clear()
            self._low_since_s = None
            return None
        if reading.flag is Flag.GOOD:
            self._suspects.clear()
            return reading.value
        # A value that nobody judged is believed no more than a suspect one.
        self._suspects.append(reading.value)
        return min(self._suspects) if len(self._suspects) == self._suspects.maxlen else None

    def _lowered(self, before: int, kept: int, reading: Reading, stamp: Stamp) -> int:
        """The stage after a level that reaches no higher one: lower only by GOOD values, low for long enough."""
        if kept >= before:
            self._low_since_s = None
            return before
        if reading.flag is not Flag.GOOD:
            return before
        if self._low_since_s is None:
            self._low_since_s = stamp.uptime_s
        return kept if stamp.uptime_s - self._low_since_s >= self._config.clear_after_s else before

    def _move(self, scheme: Scheme, before: int, after: int, value: float, flag: Flag, stamp: Stamp) -> Alert:
        self._low_since_s = None
        alert = OpenAlert(self._open.id if self._open else self._new_id(), after, scheme)
        self._open = alert if after else None
        transition = Transition.UPDATED if before else Transition.RAISED
        if not after:
            transition = Transition.CLEARED
        stage = scheme.stage(after or before)
        return Alert(
            id=alert.id,
            rule="river_stage",
            rule_version=scheme.version,
            transition=transition,
            at=stamp.at,
            quantity=QUANTITY,
            value=value,
            threshold=stage.threshold_m,
            level=after,
            name_ja=stage.ja,
            name_en=stage.en,
            evidence=(
                ("dead_band_m", self._config.dead_band_m),
                ("clear_after_s", self._config.clear_after_s),
                ("flag", float(flag)),
                ("suspect_readings", float(len(self._suspects))),
                ("clock_synchronised", float(stamp.clock is ClockQuality.SYNCHRONISED)),
            ),
        )


def build(config: RiverStageConfig, new_id: NewId) -> RiverStage:
    """A rule without memory."""
    return RiverStage(config, new_id)


def _station(config: RiverStageConfig) -> tuple[StageLevels, ...]:
    """The rows of the named station; inline stages as one row for ever, named by their content."""
    if config.table is not None:
        return STATIONS[config.table]
    thresholds = tuple((stage.level, stage.threshold_m) for stage in config.stage)
    version = f"inline-{crc32(repr(thresholds).encode()):08x}"
    always = STAGE_NAMES[0].valid_from
    return (StageLevels(version, always, None, thresholds),)


def _scheme(levels: Sequence[StageLevels], stamp: Stamp) -> Scheme:
    return _join(in_force(STAGE_NAMES, stamp), in_force(levels, stamp))


def _join(names: StageNames, levels: StageLevels) -> Scheme:
    named = {stage.level: stage for stage in names.stages}
    return Scheme(
        f"{levels.version}+{names.version}",
        tuple(
            Stage(level, threshold_m, named[level].reached_ja, named[level].reached_en)
            for level, threshold_m in levels.thresholds_m
        ),
    )


def _loaded(state: Mapping[str, object]) -> OpenAlert:
    try:
        saved = _SavedAlert.model_validate(state)
    except ValidationError as error:
        raise Tampered("saved river alert is not what the rule wrote") from error
    stages = tuple(Stage(stage.level, stage.threshold_m, stage.ja, stage.en) for stage in saved.stages)
    return OpenAlert(AlertId(saved.id), saved.level, Scheme(saved.version, stages))
