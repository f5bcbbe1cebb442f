"""The Rule interface: flagged samples in, alert events out. A rule knows no clock but the sample's stamp and draws no
random number; ids come from outside.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from pydantic import BaseModel

from contract.alert import Alert
from contract.ids import AlertId
from contract.sample import Sample

NewId = Callable[[], AlertId]


class Rule(Protocol):
    """One rule over one device. Its memory is bounded, however many samples come."""

    def evaluate(self, sample: Sample) -> tuple[Alert, ...]:
        """The events that `sample` causes, whose members must have been flagged; nothing for a sample of others."""
        ...

    def state(self) -> dict[str, object]:
        """The open alert, if any, as JSON can hold it. Never a measured value: a window starts anew after a restart."""
        ...

    def restore(self, state: Mapping[str, object]) -> None:
        """Take up an alert that `state()` told; Tampered when it is not what a rule of this kind wrote."""
        ...


class RuleModule(Protocol):
    """What a rule's module offers to the registry."""

    @property
    def Config(self) -> type[BaseModel]:  # noqa: N802 - a class that the module holds
        """The model of a [[rule]] of this kind."""
        ...

    def build(self, config: Any, new_id: NewId) -> Rule:  # Any: each module takes its own Config
        """A rule without memory."""
        ...
