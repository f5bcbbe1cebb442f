"""Which kind of [[rule]] is decided by which module: one explicit line each."""

from collections.abc import Mapping
from types import MappingProxyType

from agent.rules import pulse_high_at_rest, river_stage
from agent.rules.base import RuleModule

RULES: Mapping[str, RuleModule] = MappingProxyType(
    {
        "pulse_high_at_rest": pulse_high_at_rest,
        "river_stage": river_stage,
    }
)
