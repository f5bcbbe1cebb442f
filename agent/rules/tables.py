"""Dated tables of the rules: what a level is called and where it lies, each row with its version and validity.

An alert keeps the row it was raised under. A local gauge says which level was reached; an official warning it never is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta, timezone
from types import MappingProxyType
from typing import Protocol, TypeVar

from contract.sample import ClockQuality, Stamp

_JAPAN = timezone(timedelta(hours=9))


class Dated(Protocol):
    """A row that holds from `valid_from` to `valid_to`, both included, by the Japanese calendar."""

    @property
    def valid_from(self) -> date:
        """First day."""
        ...

    @property
    def valid_to(self) -> date | None:
        """Last day; None while no successor is known."""
        ...


Row = TypeVar("Row", bound=Dated)


@dataclass(frozen=True, slots=True)
class StageName:
    """A river stage: its name in the flood-fighting scheme, and what is told when a gauge reaches it."""

    level: int
    ja: str
    en: str
    reached_ja: str
    reached_en: str


@dataclass(frozen=True, slots=True)
class StageNames:
    """The names of stages 1 to 5 under one scheme."""

    version: str
    valid_from: date
    valid_to: date | None
    stages: tuple[StageName, ...]


@dataclass(frozen=True, slots=True)
class StageLevels:
    """Where the stages of one station lie: `thresholds_m` holds (stage, metres on its gauge), rising."""

    version: str
    valid_from: date
    valid_to: date | None
    thresholds_m: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class PulseWords:
    """What is told of a pulse: what was measured, for how long. `{window}` is replaced by the window's length."""

    version: str
    valid_from: date
    valid_to: date | None
    ja: str
    en: str


STAGE_NAMES: tuple[StageNames, ...] = (
    # 国土交通省 洪水等に関する防災用語改善検討会, 2006-06; used at rivers from April 2007.
    StageNames(
        version="stage-names-2007-04",
        valid_from=date(2007, 4, 1),
        valid_to=None,
        stages=(
            StageName(
                1,
                "水防団待機水位",
                "Flood fighters' standby level",
                "水防団待機水位に到達",
                "Flood fighters' standby level reached",
            ),
            StageName(2, "氾濫注意水位", "Flood caution level", "氾濫注意水位に到達", "Flood caution level reached"),
            StageName(
                3,
                "避難判断水位",
                "Evacuation decision level",
                "避難判断水位に到達",
                "Evacuation decision level reached",
            ),
            StageName(4, "氾濫危険水位", "Flood danger level", "氾濫危険水位に到達", "Flood danger level reached"),
            StageName(5, "氾濫発生", "Overflow", "氾濫発生の水位に到達", "Overflow level reached"),
        ),
    ),
)

STATIONS: Mapping[str, tuple[StageLevels, ...]] = MappingProxyType(
    {
        # The simulated river of the demo town; belongs to no real gauge.
        "demo": (
            StageLevels(
                version="demo-2026-11",
                valid_from=date(2026, 11, 1),
                valid_to=None,
                thresholds_m=((1, 1.0), (2, 1.5), (3, 2.0), (4, 2.5), (5, 3.0)),
            ),
        ),
    }
)
"""Stage tables of stations by name, oldest row first."""

PULSE_WORDS: tuple[PulseWords, ...] = (
    PulseWords(
        version="pulse-words-2026-11",
        valid_from=date(2026, 11, 1),
        valid_to=None,
        ja="安静時の脈拍が高い状態が{window}続いています（活動の有無は未確認）",
        en="Pulse high at rest for {window} (activity unknown)",
    ),
)


def in_force(rows: Sequence[Row], stamp: Stamp) -> Row:
    """The row that holds on the day of `stamp`, else the newest.

    A clock that is not synchronised, or a table that nobody renewed, must not silence an alarm.
    """
    if stamp.clock is ClockQuality.SYNCHRONISED:
        day = stamp.at.astimezone(_JAPAN).date()
        for row in rows:
            if row.valid_from <= day and (row.valid_to is None or day <= row.valid_to):
                return row
    return rows[-1]
