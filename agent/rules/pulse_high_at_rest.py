"""Sustained high pulse: raised when nearly all good values of a whole window lie beyond the limit, with hysteresis and
a cool-down. It says what was measured; whether the person rests, nobody told, so the alert says that too.

Whose pulse may be judged is decided outside, by consent. One instance serves one device.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.rules.base import NewId
from agent.rules.pulse_window import PulseWindow
from agent.rules.tables import PULSE_WORDS, in_force
from contract.alert import Alert, Transition
from contract.errors import Tampered
from contract.ids import ID_PATTERN, AlertId
from contract.sample import ClockQuality, Sample, Stamp

RAISE_SHARE = 0.9
"""Share of good values that must lie beyond the limit: single beats alone gave 801 alerts a person and day."""
COVERAGE = 0.6
"""Share of the window for which good values must speak, to raise and to clear."""
CLEAR_SHARE = 0.5
"""The alert clears once fewer than this share lie beyond the limit less the dead band."""


class PulseHighAtRestConfig(BaseModel):
    """A [[rule]] of kind "pulse_high_at_rest"."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["pulse_high_at_rest"] = "pulse_high_at_rest"
    person: Annotated[str, Field(pattern=f"^{ID_PATTERN}$")] | None = None
    """Omitted: every person whose consent lets health rules run."""
    limit_bpm: float = Field(default=120, ge=60, le=220)
    dead_band_bpm: float = Field(default=5, gt=0, le=40)
    window_s: float = Field(default=600, ge=10, le=3600)
    cool_down_s: float = Field(default=600, ge=0, le=86_400)
    """After an alert has cleared no other is raised for this long."""


Config: type[PulseHighAtRestConfig] = PulseHighAtRestConfig


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert in its life, with the words and the limit it was raised under."""

    id: AlertId
    version: str
    limit_bpm: float
    name_ja: str
    name_en: str


class _SavedAlert(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: str
    version: str
    limit_bpm: float
    name_ja: str
    name_en: str


class PulseHighAtRest:
    """The rule over one wearable. Memory: one window and the open alert."""

    def __init__(self, config: PulseHighAtRestConfig, new_id: NewId) -> None:
        self._config = config
        self._new_id = new_id
        self._window = PulseWindow(config.window_s, config.limit_bpm, config.limit_bpm - config.dead_band_bpm)
        self._open: OpenAlert | None = None
        self._cleared_at_s: float | None = None

    def evaluate(self, sample: Sample) -> tuple[Alert, ...]:
        """At most one event: raised or cleared. Silence and values of poor quality do neither."""
        if not self._window.add(sample):
            return ()
        stamp = sample.stamp
        if not self._window.is_whole(stamp.uptime_s) or self._window.coverage < COVERAGE:
            return ()
        if self._open is None and self._is_high() and not self._is_cooling_down(stamp):
            return (self._raise(stamp),)
        if self._open is not None and self._window.beyond_clear < CLEAR_SHARE * self._window.count:
            return (self._clear(self._open, stamp),)
        return ()

    def state(self) -> dict[str, object]:
        """The open alert, or nothing; no value of the pulse."""
        alert = self._open
        if alert is None:
            return {}
        return {
            "id": alert.id,
            "version": alert.version,
            "limit_bpm": alert.limit_bpm,
            "name_ja": alert.name_ja,
            "name_en": alert.name_en,
        }

    def restore(self, state: Mapping[str, object]) -> None:
        """Take up the alert that `state()` told."""
        if not state:
            self._open = None
            return
        try:
            saved = _SavedAlert.model_validate(state)
        except ValidationError as error:
            # Without the cause: its text would repeat what was saved about a person.
            raise Tampered(f"saved pulse alert is not what the rule wrote: {error.error_count()} faults") from None
        self._open = OpenAlert(AlertId(saved.id), saved.version, saved.limit_bpm, saved.name_ja, saved.name_en)

    def _is_high(self) -> bool:
        return self._window.beyond_limit >= RAISE_SHARE * self._window.count

    def _is_cooling_down(self, stamp: Stamp) -> bool:
        return self._cleared_at_s is not None and stamp.uptime_s - self._cleared_at_s < self._config.cool_down_s

    def _raise(self, stamp: Stamp) -> Alert:
        words = in_force(PULSE_WORDS, stamp)
        self._open = OpenAlert(
            self._new_id(),
            words.version,
            self._config.limit_bpm,
            words.ja.format(window=_length_ja(self._config.window_s)),
            words.en.format(window=_length_en(self._config.window_s)),
        )
        return self._event(self._open, Transition.RAISED, stamp)

    def _clear(self, alert: OpenAlert, stamp: Stamp) -> Alert:
        self._open = None
        self._cleared_at_s = stamp.uptime_s
        return self._event(alert, Transition.CLEARED, stamp)

    def _event(self, alert: OpenAlert, transition: Transition, stamp: Stamp) -> Alert:
        window = self._window
        return Alert(
            id=alert.id,
            rule="pulse_high_at_rest",
            rule_version=alert.version,
            transition=transition,
            at=stamp.at,
            quantity="heart_rate",
            value=window.mean_bpm,
            threshold=alert.limit_bpm,
            level=1 if transition is Transition.RAISED else 0,
            name_ja=alert.name_ja,
            name_en=alert.name_en,
            evidence=(
                ("window_s", self._config.window_s),
                ("count", float(window.count)),
                ("coverage", min(1.0, window.coverage)),
                ("share", window.beyond_limit / window.count),
                ("rejected", float(window.rejected)),
                ("dead_band_bpm", self._config.dead_band_bpm),
                ("activity_known", 0.0),
                ("clock_synchronised", float(stamp.clock is ClockQuality.SYNCHRONISED)),
            ),
        )


def build(config: PulseHighAtRestConfig, new_id: NewId) -> PulseHighAtRest:
    """A rule without memory."""
    return PulseHighAtRest(config, new_id)


def _length_ja(window_s: float) -> str:
    return f"{window_s / 60:g}分間" if window_s % 60 == 0 else f"{window_s:g}秒間"


def _length_en(window_s: float) -> str:
    if window_s % 60 == 0:
        return "1 minute" if window_s == 60 else f"{window_s / 60:g} minutes"
    return f"{window_s:g} seconds"
