"""A heart-rate strap or band over Bluetooth Low Energy: pulse, RR intervals, energy, battery (HRS 1.0, BAS, DIS)."""

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from contract.configuration import Wrong
from contract.device import Description
from contract.errors import ProtocolError, Unreachable
from contract.sample import Flag, Member, Reading, Sample, Series
from drivers.base import Context
from drivers.codecs.gatt import (
    Contact,
    HeartRateMeasurement,
    decode_battery_level,
    decode_body_location,
    decode_heart_rate,
    decode_text,
    long_uuid,
)
from drivers.links.ble import Peripheral, Target

IS_WORN = True

SERVICE = long_uuid(0x180D)
MEASUREMENT = long_uuid(0x2A37)
BODY_LOCATION = long_uuid(0x2A38)
BATTERY_LEVEL = long_uuid(0x2A19)
MODEL, SERIAL, FIRMWARE, HARDWARE, SOFTWARE, MAKER = (long_uuid(0x2A24 + offset) for offset in range(6))

_NO_INTERVAL = (0, 65535)
"""What straps send for an interval they did not measure."""


class Config(BaseModel):
    """The rest of a `[[device]]` of kind "ble_heart_rate": the strap by its address or by the name it advertises."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ONE_READER: ClassVar = ("address", "advertised_name")
    """Connecting ends a link that is there already, so two readers would end each other's."""

    address: (
        Annotated[str, StringConstraints(to_upper=True, pattern=r"^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$")] | None
    ) = None
    advertised_name: Annotated[str, Field(min_length=1, max_length=248)] | None = None
    stale_after_s: float = Field(default=30, gt=0, le=3600)
    """Without a measurement for so long the link counts as lost: bluetoothd may have died unnoticed."""
    scan_timeout_s: float = Field(default=10, gt=0, le=120)
    connect_timeout_s: float = Field(default=20, gt=0, le=120)

    @model_validator(mode="after")
    def _one_way_to_find_it(self) -> Self:
        if (self.address is None) == (self.advertised_name is None):
            raise Wrong(
                "a strap is found by its address or by the name it advertises, one of the two",
                'Write address = "AA:BB:CC:DD:EE:FF" or advertised_name = "..."',
            )
        return self


def open(config: BaseModel, context: Context) -> "BleHeartRate":  # noqa: A001 - the interface's name
    """One connection to the strap, not opened yet."""
    assert isinstance(config, Config)  # noqa: S101 - for the type checker; the registry pairs them
    return BleHeartRate(config, context)


class BleHeartRate:
    """Reads one strap. Entering connects, reads what it says of itself, and subscribes last: from then on nothing that
    the strap hands over is left behind.
    """

    def __init__(self, config: Config, context: Context) -> None:
        self._config = config
        self._context = context
        target = Target(SERVICE, config.address, config.advertised_name)
        told = (context.now, context.on_fault, context.on_loss)
        self._link = Peripheral(context.device, target, config.scan_timeout_s, config.connect_timeout_s, *told)
        self._stack = AsyncExitStack()
        self._fresh_until = 0.0
        self._battery: tuple[Member, ...] = ()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._link)
            self._context.on_description(await self._description())
            await self._watch_battery()
            if not await self._link.subscribe(MEASUREMENT):
                raise Unreachable(f"{self._context.device}: it offers no heart rate measurement")
            self._stack = stack.pop_all()
        self._heard()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sample:
        """The next measurement as a sample; a battery level rides with it, so that one measurement is one sample.

        Unreachable when the link is lost, or silent for too long.
        """
        while True:
            try:
                async with asyncio.timeout_at(self._fresh_until):
                    notification = await self._link.receive()
            except TimeoutError as error:
                silence = f"no measurement for {self._config.stale_after_s:g} s"
                raise Unreachable(f"{self._context.device}: {silence}") from error
            try:
                if notification.uuid == BATTERY_LEVEL:
                    self._battery = (Reading("battery_level", float(decode_battery_level(notification.value))),)
                    continue
                members = heart_rate_members(decode_heart_rate(notification.value))
            except ProtocolError as error:
                self._context.on_fault(error)
                continue
            self._heard()
            members, self._battery = members + self._battery, ()
            return Sample(self._context.device, notification.stamp, members)

    def _heard(self) -> None:
        self._fresh_until = asyncio.get_running_loop().time() + self._config.stale_after_s

    async def _description(self) -> Description:
        return Description(
            maker=await self._text(MAKER),
            model=await self._text(MODEL),
            serial=await self._text(SERIAL),
            firmware=await self._text(FIRMWARE),
            hardware=await self._text(HARDWARE),
            software=await self._text(SOFTWARE),
            body_location=await self._body_location(),
        )

    async def _text(self, uuid: str) -> str | None:
        value = await self._link.read(uuid)
        try:
            return decode_text(value) or None if value is not None else None
        except ProtocolError as error:
            self._context.on_fault(error)
            return None

    async def _body_location(self) -> str | None:
        value = await self._link.read(BODY_LOCATION)
        try:
            return decode_body_location(value).name.lower() if value is not None else None
        except ProtocolError as error:
            self._context.on_fault(error)
            return None

    async def _watch_battery(self) -> None:
        """Read before subscribing: BlueZ repeats a read value to whoever is subscribed."""
        value = await self._link.read(BATTERY_LEVEL)
        if value is not None:
            self._link.put(BATTERY_LEVEL, value)
        await self._link.subscribe(BATTERY_LEVEL)


def heart_rate_members(measurement: HeartRateMeasurement) -> tuple[Member, ...]:
    """What one measurement says. No pulse is MISSING: off the body, or 0; intervals beside it are SUSPECT then.

    An interval's offset is the moment of the beat that ends it: the newest at the stamp, the others before it.
    """
    has_pulse = measurement.contact is not Contact.NOT_DETECTED and measurement.bpm > 0
    members: list[Member] = [
        Reading("heart_rate", float(measurement.bpm)) if has_pulse else Reading("heart_rate", None, Flag.MISSING)
    ]
    intervals = [rr for rr in measurement.rr_1024 if rr not in _NO_INTERVAL]
    if intervals:
        offsets = [-sum(intervals[i + 1 :]) / 1024 for i in range(len(intervals))]
        flag = Flag.UNKNOWN if has_pulse else Flag.SUSPECT
        members.append(Series("rr_interval", tuple(rr / 1024 for rr in intervals), tuple(offsets), flag=flag))
    if measurement.energy_kj is not None:
        members.append(Reading("energy_expended", float(measurement.energy_kj)))
    return tuple(members)
