"""The Driver interface: one connection to one device, an async context manager iterated for samples.

A driver does not reconnect. Entering connects, or raises Unreachable; iterating raises Unreachable when the device is
lost. `drivers.reconnecting` opens a fresh one each time, so every driver gets back-off and "say it once" alike.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from pydantic import BaseModel

from contract.device import Description
from contract.errors import ProtocolError
from contract.ids import DeviceId
from contract.sample import Sample, Stamp


@dataclass(frozen=True, slots=True)
class Context:
    """What a driver is given besides its configuration.

    `now` stamps a sample at the read. `on_fault` counts a ProtocolError of the device's bytes (a rate-limited log
    line names device and place). `on_description` takes what the device says about itself. `on_loss` is called before a
    sample is given out when something that the device said before it could not be taken: a gap is declared.
    """

    device: DeviceId
    now: Callable[[], Stamp]
    on_fault: Callable[[ProtocolError], None]
    on_description: Callable[[Description], None]
    on_loss: Callable[[], None]


class Driver(Protocol):
    """One connection to one device."""

    async def __aenter__(self) -> Self:
        """Connect. Raises Unreachable, or Misconfigured when trying again cannot help."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close everything that entering opened; never raises for a device that is already gone."""
        ...

    def __aiter__(self) -> AsyncIterator[Sample]:
        """Samples in the order they were read, without end; Unreachable when the device is lost."""
        ...


class DriverModule(Protocol):
    """What a driver's module offers to the registry: its configuration model and how to make one connection.

    `IS_WORN` says that the device is worn by a person, so that a configuration without the person is refused: values
    of a body must never be treated as those of a thing.

    A Config may have a ClassVar `ONE_READER`, a tuple of its keys: two tables that agree in all of them would read the
    same device and are refused. Without it two are refused that agree in everything.
    """

    Config: type[BaseModel]
    IS_WORN: bool

    def open(self, config: BaseModel, context: Context) -> Driver:
        """A driver ready to be entered; opens nothing yet."""
        ...
