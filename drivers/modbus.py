"""A Modbus TCP device, polled at absolute deadlines; a register map says what its registers mean."""

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationInfo, field_validator

from contract.configuration import Wrong, parse
from contract.errors import Fault, Misconfigured, ProtocolError, Unreachable
from contract.sample import Sample
from drivers.base import Context
from drivers.codecs.modbus_map import RegisterMap
from drivers.codecs.modbus_registers import Block, blocks
from drivers.links.modbus import ExceptionAnswer, ModbusTcp

IS_WORN = False
NEVER_RIGHT = frozenset({1, 2, 3})
"""Exceptions that say the request was wrong: a fault of the map, not of the moment."""
ILLEGAL_ADDRESS = 2
BUSY = 6
BUSY_PAUSE_S = 0.05
BUSY_RETRIES = 3
FAILURES_TO_GIVE_UP = 5
"""So many refusals in a row, without one answer between, and the device counts as lost."""


def _load_map(value: object, info: ValidationInfo) -> RegisterMap:
    """The map in the file that `value` names, relative to the folder of gateway.toml."""
    if isinstance(value, RegisterMap):
        return value
    if not isinstance(value, str) or not value:
        raise Wrong("'map' is no file name", 'Name the register map: map = "station.toml"')
    path = Path((info.context or {}).get("folder", ".")) / value
    try:
        register_map = parse(RegisterMap, path.read_text(encoding="utf-8-sig"), str(path))
        _check_blocks(register_map, str(path))
    except Misconfigured as error:
        raise Wrong.of(error) from error
    except (OSError, ValueError) as error:
        raise Wrong(f"the register map {path} cannot be read", "Name a readable UTF-8 file") from error
    return register_map


def _check_blocks(register_map: RegisterMap, file: str) -> None:
    for block in blocks(register_map):
        limit = register_map.max_count(block.table)
        if block.count > limit:
            cause = f"a group spans {block.count} addresses ({block})"
            raise Misconfigured(Fault(file, 0, cause, f"One request reads at most {limit}: use smaller groups"))


class Config(BaseModel):
    """The rest of a `[[device]]` of kind "modbus"."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(min_length=1)
    port: int = Field(default=502, ge=1, le=65_535)
    unit_id: int = Field(default=1, ge=0, le=255)
    timeout_s: float = Field(default=1.0, gt=0, le=60)
    map: Annotated[RegisterMap, PlainValidator(_load_map)]
    """In the file: the name of the register map. Here: the map itself."""
    period_s: Annotated[float, Field(ge=0, le=86_400)] | None = None
    """In place of the map's own; 0 polls without pause."""

    @field_validator("host")
    @classmethod
    def _check_host(cls, host: str) -> str:
        try:
            host.encode("idna")
        except UnicodeError as error:
            raise Wrong("'host' is no host name or address", 'Write it like host = "192.168.1.20"') from error
        return host


def open(config: BaseModel, context: Context) -> "ModbusDevice":  # noqa: A001 - the interface's name
    """One connection to the device, not opened yet."""
    assert isinstance(config, Config)  # noqa: S101 - for the type checker; the registry pairs them
    return ModbusDevice(config, context)


def next_deadline(due_s: float, period_s: float, now_s: float) -> float:
    """The deadline after `due_s`: a whole number of periods later, and not past; what was missed is left out."""
    if period_s <= 0:
        return now_s
    return due_s + period_s * max(1, math.ceil((now_s - due_s) / period_s))


class ModbusDevice:
    """Polls one device. Entering makes the first request, so that "up" rests on an answer.

    Each answer is one sample, stamped when it arrived: its values are of one instant.
    """

    def __init__(self, config: Config, context: Context) -> None:
        self._link = ModbusTcp(config.host, config.port, config.unit_id, config.timeout_s)
        self._context = context
        self._period_s = config.map.period_s if config.period_s is None else config.period_s
        self._blocks = list(blocks(config.map))
        self._refused: set[Block] = set()
        self._turn: deque[Block] = deque()
        self._due_s = 0.0
        self._failures = 0
        self._has_answered = False
        self._first: Sample | None = None

    async def __aenter__(self) -> Self:
        await self._link.__aenter__()
        try:
            self._first = await self._first_sample()
        except BaseException as error:
            await self._link.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._link.__aexit__(kind, error, traceback)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sample:
        """The next answer, at its time. Unreachable when the device is lost, Misconfigured when it refuses all."""
        sample, self._first = self._first, None
        while sample is None:
            if not self._turn:
                await self._wait_for_deadline()
                self._turn.extend(self._blocks)
            sample = await self._read(self._turn.popleft())
        return sample

    async def _first_sample(self) -> Sample:
        self._due_s = asyncio.get_running_loop().time()
        self._turn.extend(self._blocks)
        while self._turn:
            sample = await self._read(self._turn.popleft())
            if sample is not None:
                return sample
        raise Unreachable(f"{self._link.place} answers no request")

    async def _wait_for_deadline(self) -> None:
        now_s = asyncio.get_running_loop().time()
        self._due_s = next_deadline(self._due_s, self._period_s, now_s)
        await asyncio.sleep(self._due_s - now_s)

    async def _read(self, block: Block) -> Sample | None:
        """The sample of one request; None when the device refused it."""
        try:
            words = await self._answer(block)
            members = block.decode(words)
        except ExceptionAnswer as refusal:
            return self._refusal(block, refusal)
        except ProtocolError as error:
            self._context.on_fault(error)
            raise Unreachable(f"{self._link.place} breaks the protocol: {error}") from error
        self._failures = 0
        self._has_answered = True
        self._refused.discard(block)
        return Sample(self._context.device, self._context.now(), members)

    async def _answer(self, block: Block) -> Sequence[int]:
        for _ in range(BUSY_RETRIES):
            try:
                return await self._link.read(block.table, block.address, block.count)
            except ExceptionAnswer as refusal:
                if refusal.code != BUSY:
                    raise
            await asyncio.sleep(BUSY_PAUSE_S)
        return await self._link.read(block.table, block.address, block.count)

    def _refusal(self, block: Block, refusal: ExceptionAnswer) -> Sample | None:
        """What follows from a refused request: smaller requests, no values, or the end of this connection."""
        parts = block.split() if refusal.code == ILLEGAL_ADDRESS else (block,)
        if len(parts) > 1:
            place = self._blocks.index(block)
            self._blocks[place : place + 1] = parts
            self._turn.extendleft(reversed(parts))
            return None
        if refusal.code not in NEVER_RIGHT:
            self._context.on_fault(ProtocolError(f"{block}: {refusal}"))
            self._failures += 1
            if self._failures >= FAILURES_TO_GIVE_UP:
                raise Unreachable(f"{self._link.place} only answers {refusal}") from refusal
            return None
        if block not in self._refused:
            self._context.on_fault(ProtocolError(f"{block}: {refusal}; correct the register map"))
            self._refused.add(block)
        if self._refused.issuperset(self._blocks):
            if self._has_answered:  # the map was right before: the device is in trouble
                raise Unreachable(f"{self._link.place} now refuses all registers: {refusal}") from refusal
            raise Misconfigured(self._fault(block, refusal)) from refusal
        return Sample(self._context.device, self._context.now(), block.no_values())

    def _fault(self, block: Block, refusal: ExceptionAnswer) -> Fault:
        cause = f"{self._context.device}: {self._link.place} refuses all registers; {block}: {refusal}"
        return Fault("gateway.toml", 0, cause, "Correct unit_id, or table and addresses in the register map")
