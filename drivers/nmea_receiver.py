"""A GNSS receiver that speaks NMEA 0183 on a serial port: positions, altitude and satellites in use."""

import asyncio
from collections import deque
from types import TracebackType
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from contract.errors import ProtocolError, Unreachable
from contract.ids import DeviceId
from contract.sample import ClockQuality, Member, Position, Reading, Sample
from drivers.base import Context
from drivers.codecs.lines import LineBuffer
from drivers.codecs.nmea0183 import decode
from drivers.codecs.nmea_fix import Doubt, Fix, FixAssembler, judged_time
from drivers.links.serial_port import SerialPort

IS_WORN = False
END_OF_BURST_S = 0.25
"""A receiver says its cycle in one burst: after so much silence nothing more comes of it."""


class Config(BaseModel):
    """The rest of a `[[device]]` of kind "nmea_receiver"."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ONE_READER: ClassVar = ("port",)
    """Two readers of one port would take each other's bytes."""

    port: str = Field(min_length=1, description="The serial port's device file")
    baud: int = Field(default=9600, ge=300, le=4_000_000)
    silence_s: float = Field(default=10.0, gt=END_OF_BURST_S, le=3600)
    """Without a whole sentence for so long the receiver counts as lost: one that has no fix still speaks."""


def open(config: BaseModel, context: Context) -> "NmeaReceiver":  # noqa: A001 - the interface's name
    """One connection to the receiver, not opened yet."""
    assert isinstance(config, Config)  # noqa: S101 - for the type checker; the registry pairs them
    return NmeaReceiver(config, context)


class NmeaReceiver:
    """Reads one receiver. Entering waits for its first sentence, so that "up" rests on something understood."""

    def __init__(self, config: Config, context: Context) -> None:
        self._config = config
        self._context = context
        self._port = SerialPort(config.port, config.baud)
        self._lines = LineBuffer()
        self._assembler = FixAssembler()
        self._ready: deque[Sample] = deque()
        self._lost: Unreachable | None = None
        self._heard_s: float | None = None
        self._listening_since_s = 0.0
        self._has_noise = False
        """True when bytes came since the last sentence was heard."""
        self._is_time_told = False
        self._discarded = 0

    async def __aenter__(self) -> Self:
        await self._port.__aenter__()
        self._listening_since_s = asyncio.get_running_loop().time()
        try:
            while self._heard_s is None:
                self._take(await self._receive())
        except BaseException as error:
            await self._port.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._port.__aexit__(kind, error, traceback)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sample:
        """The next fix. Unreachable when the port is gone or silent."""
        while not self._ready:
            if self._lost is not None:
                raise self._lost
            await self._listen()
        return self._ready.popleft()

    async def _listen(self) -> None:
        try:
            if self._assembler.is_holding:
                self._take(await self._port.receive(self._left_s(END_OF_BURST_S)))
            else:
                self._take(await self._receive())
        except TimeoutError:
            self._give(self._assembler.settle())
        except Unreachable as error:
            self._give(self._assembler.settle())
            self._lost = error

    async def _receive(self) -> bytes:
        """The next bytes; Unreachable when no sentence came for too long, whatever else did."""
        try:
            return await self._port.receive(self._left_s(self._config.silence_s))
        except TimeoutError as error:
            spoken = "only noise: check baud" if self._has_noise else "nothing"
            text = f"{self._config.port} has said {spoken} for {self._config.silence_s:g} s"
            raise Unreachable(text) from error

    def _left_s(self, limit_s: float) -> float:
        """What is left of `limit_s` since the last sentence."""
        since_s = self._listening_since_s if self._heard_s is None else self._heard_s
        return max(0.0, since_s + limit_s - asyncio.get_running_loop().time())

    def _take(self, data: bytes) -> None:
        at = self._context.now()
        self._has_noise = self._has_noise or bool(data.strip())
        for line in self._lines.feed(data):
            try:
                sentence = decode(line)
            except ProtocolError as error:
                self._context.on_fault(error)
                continue
            if b"*" not in line:
                continue  # now and then noise holds a `$` and a line end; a right checksum it does not
            self._heard_s = asyncio.get_running_loop().time()
            self._has_noise = False
            if sentence is not None:
                self._give(self._assembler.feed(sentence, at))
        if self._lines.discarded > self._discarded:
            self._context.on_fault(ProtocolError(f"{self._lines.discarded - self._discarded} bytes were no sentence"))
            self._discarded = self._lines.discarded

    def _give(self, fixes: tuple[Fix, ...]) -> None:
        for fix in fixes:
            self._judge_time(fix)
            self._ready.append(to_sample(fix, self._context.device))

    def _judge_time(self, fix: Fix) -> None:
        """Tell once a connection when the receiver's date is off; the position counts all the same."""
        if fix.device_time is None or fix.at.clock is not ClockQuality.SYNCHRONISED or self._is_time_told:
            return
        _, doubt = judged_time(fix.device_time, fix.at.at)
        if doubt is not Doubt.NONE:
            self._is_time_told = True
            weeks = " by whole 1024-week periods" if doubt is Doubt.ROLLED_OVER else ""
            self._context.on_fault(ProtocolError(f"the receiver's date is more than a day off{weeks}"))


def to_sample(fix: Fix, device: DeviceId) -> Sample:
    """A fix as a sample: the position first, then what else the receiver said."""
    members: list[Member] = [Position(fix.place.lat_deg, fix.place.lon_deg, fix.speed_mps, fix.course_deg)]
    if fix.altitude_m is not None:
        members.append(Reading("altitude", fix.altitude_m))
    if fix.satellites is not None:
        members.append(Reading("satellites", float(fix.satellites)))
    return Sample(device, fix.at, tuple(members))
