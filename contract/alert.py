"""Alerts: raised, updated and cleared events of one id. Alarm: a state with a life; alert: what is told of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from contract.ids import AlertId


class Transition(StrEnum):
    """The step in the alert's life that an event tells."""

    RAISED = "raised"
    UPDATED = "updated"
    CLEARED = "cleared"


@dataclass(frozen=True, slots=True)
class Alert:
    """One event. Worded as what was measured, never as a diagnosis or an official warning.

    `level` is the rule's own scale, 0 when cleared (river stages 1 to 5; pulse 1). `name_ja` and `name_en` come from
    the dated table the rule was evaluated under and stay with the alert. `threshold` and `value` are in the
    quantity's unit. `evidence` holds named numbers the decision rests on: window_s, count, coverage...
    """

    id: AlertId
    rule: str
    rule_version: str
    transition: Transition
    at: datetime
    quantity: str
    value: float
    threshold: float
    level: int
    name_ja: str
    name_en: str
    evidence: tuple[tuple[str, float], ...] = ()
