"""Purposes, what each lets out of a gateway and in which form, and the versioned record of a resident's choice."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from contract.ids import PersonId


class Purpose(StrEnum):
    """What a resident can agree to, each on its own, all off by default."""

    ALERT_SELF = "alert_self"
    ALERT_FAMILY = "alert_family"
    HEALTH_CENTRE = "health_centre"
    EMERGENCY = "emergency"
    RESEARCH = "research"
    STATISTICS = "statistics"
    KEEP_GATEWAY = "keep_gateway"
    KEEP_HUB = "keep_hub"


class Form(StrEnum):
    """The form in which a purpose lets records leave the gateway."""

    LOCAL = "local"
    IDENTIFIED = "identified"
    PSEUDONYMOUS = "pseudonymous"
    AGGREGATE = "aggregate"


@dataclass(frozen=True, slots=True)
class PurposeRule:
    """Form of release, and what is released: measurements as read, alerts, or neither."""

    form: Form
    measurements: bool
    alerts: bool
    ja: str
    en: str


PURPOSES: Mapping[Purpose, PurposeRule] = MappingProxyType(
    {
        Purpose.ALERT_SELF: PurposeRule(Form.LOCAL, False, False, "自分への通知", "Alert me"),
        Purpose.ALERT_FAMILY: PurposeRule(Form.IDENTIFIED, False, True, "家族への通知", "Alert my family"),
        Purpose.HEALTH_CENTRE: PurposeRule(
            Form.IDENTIFIED, False, True, "保健センターへの通知", "Alert the health centre"
        ),
        Purpose.EMERGENCY: PurposeRule(Form.IDENTIFIED, False, True, "緊急時の通知", "Alert in an emergency"),
        Purpose.RESEARCH: PurposeRule(
            Form.PSEUDONYMOUS, True, False, "研究（仮名）", "Scientific study (pseudonymous)"
        ),
        Purpose.STATISTICS: PurposeRule(Form.AGGREGATE, True, False, "市の統計", "City statistics"),
        Purpose.KEEP_GATEWAY: PurposeRule(Form.LOCAL, False, False, "ゲートウェイでの保存", "Keep at the gateway"),
        Purpose.KEEP_HUB: PurposeRule(Form.IDENTIFIED, True, True, "ハブでの保存", "Keep at the hub"),
    }
)

HEALTH_RULES_RUN_FOR = frozenset({Purpose.ALERT_SELF, Purpose.ALERT_FAMILY, Purpose.HEALTH_CENTRE, Purpose.EMERGENCY})
"""Health rules run for a person while any of these is on; each decides only who hears of the alert."""


@dataclass(frozen=True, slots=True)
class Consent:
    """One change of one purpose. `version` counts from 1; `made_on` is the version the person saw (0: none yet)."""

    person: PersonId
    purpose: Purpose
    on: bool
    version: int
    made_on: int
    at: datetime
    actor: str
