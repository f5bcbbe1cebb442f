"""The messages between gateway and hub: envelope (header and stored blobs unchanged), receipt, hello. Pure.

Envelope on the wire: one line of JSON (the header), a line feed, then the blobs one after another. The header names
for each part its range, its purpose (null for things) and its size. A part of size 0 is a tombstone: its numbers are
used up, its content was withdrawn. `boots` tells what is known of boots whose times some blob rests on.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract.boot import BOOT_PATTERN, BootId, BootTime
from contract.consent import Purpose
from contract.errors import ProtocolError
from contract.ids import EPOCH_PATTERN, Epoch
from contract.record import Range, Stream

MAJOR, MINOR = 1, 1
MAX_HEADER_BYTES = 256 * 2**10
MAX_PARTS = 1024
MAX_BOOTS = 64
MAX_RECEIPTED = 64
"""Ranges a hello states: of the latest epochs."""
_Sequence = Annotated[int, Field(ge=1, lt=2**63)]
_EpochText = Annotated[str, Field(pattern=f"^{EPOCH_PATTERN}$")]
_RangeText = tuple[_EpochText, Stream, _Sequence, _Sequence]
_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Part:
    """One stored blob and the range of numbers it holds. `purpose` is None for things; an empty blob is a tombstone."""

    range: Range
    purpose: Purpose | None
    blob: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message: parts, and what is known of the boots that times in them rest on."""

    parts: tuple[Part, ...]
    boots: Mapping[BootId, BootTime]


class _PartHeader(BaseModel):
    model_config = ConfigDict(extra="ignore")
    epoch: _EpochText
    stream: Stream
    first: _Sequence
    last: _Sequence
    purpose: Purpose | None
    size: Annotated[int, Field(ge=0)]


class _BootHeader(BaseModel):
    model_config = ConfigDict(extra="ignore")
    boot: Annotated[str, Field(pattern=f"^{BOOT_PATTERN}$")]
    zero_ms: int | None = None
    after_ms: int | None = None
    before_ms: int | None = None


class _Header(BaseModel):
    # A newer minor version may add members: they are ignored, so that hub and gateways upgrade in any order.
    model_config = ConfigDict(extra="ignore")
    v: tuple[int, int]
    parts: Annotated[list[_PartHeader], Field(max_length=MAX_PARTS)]
    boots: Annotated[list[_BootHeader], Field(max_length=MAX_BOOTS)] = []


class _Ranges(BaseModel):
    model_config = ConfigDict(extra="ignore")
    v: tuple[int, int]
    ranges: list[_RangeText] = []
    time: datetime


class _Hello(BaseModel):
    model_config = ConfigDict(extra="ignore")
    v: tuple[int, int]
    software: Annotated[str, Field(max_length=64)]
    epoch: _EpochText
    receipted: Annotated[list[_RangeText], Field(max_length=MAX_RECEIPTED)] = []


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the hub has committed, and the hub's time (UTC) when it said so. Without ranges it answers a hello."""

    ranges: tuple[Range, ...]
    time: datetime


@dataclass(frozen=True, slots=True)
class Hello:
    """What a gateway says first on each connection."""

    software: str
    epoch: Epoch
    receipted: tuple[Range, ...] = ()
    """What the gateway holds receipts for, of its latest epochs; a hub that holds less lost it."""


def encode_envelope(parts: Sequence[Part], boots: Sequence[BootTime] = ()) -> bytes:
    """The message that carries `parts`, their blobs unchanged, and the times of the `boots` they rest on."""
    header: dict[str, object] = {
        "v": (MAJOR, MINOR),
        "parts": [
            {
                "epoch": part.range.epoch,
                "stream": part.range.stream,
                "first": part.range.first,
                "last": part.range.last,
                "purpose": part.purpose,
                "size": len(part.blob),
            }
            for part in parts
        ],
    }
    if boots:
        header["boots"] = [asdict(boot) for boot in boots]
    return b"".join([json.dumps(header, separators=(",", ":")).encode(), b"\n", *(part.blob for part in parts)])


def decode_envelope(message: bytes) -> Envelope:
    """What a message carries; ProtocolError unless header, ranges and sizes fit together exactly."""
    end = message.find(b"\n", 0, MAX_HEADER_BYTES)
    if end < 0:
        raise ProtocolError("envelope has no header line")
    header = _parse(_Header, message[:end])
    _check_version(header.v)
    parts, offset = [], end + 1
    for part in header.parts:
        if part.last < part.first:
            raise ProtocolError("envelope names a range that ends before it starts")
        blob = message[offset : offset + part.size]
        if len(blob) != part.size:
            raise ProtocolError("envelope is shorter than its header says")
        parts.append(Part(Range(Epoch(part.epoch), part.stream, part.first, part.last), part.purpose, blob))
        offset += part.size
    if offset != len(message):
        raise ProtocolError("envelope is longer than its header says")
    boots = {BootId(b.boot): BootTime(BootId(b.boot), b.zero_ms, b.after_ms, b.before_ms) for b in header.boots}
    return Envelope(tuple(parts), boots)


def encode_receipt(receipt: Receipt) -> bytes:
    """The receipt as JSON."""
    ranges = [list(range_) for range_ in receipt.ranges]
    return json.dumps({"v": (MAJOR, MINOR), "ranges": ranges, "time": receipt.time.isoformat()}).encode()


def decode_receipt(message: bytes) -> Receipt:
    """The receipt in `message`; ProtocolError when it is none."""
    parsed = _parse(_Ranges, message)
    _check_version(parsed.v)
    _check_aware(parsed.time)
    return Receipt(_ranges(parsed.ranges), parsed.time)


def encode_hello(hello: Hello) -> bytes:
    """The gateway's hello as JSON."""
    receipted = [list(range_) for range_ in hello.receipted]
    said = {"v": (MAJOR, MINOR), "software": hello.software, "epoch": hello.epoch, "receipted": receipted}
    return json.dumps(said).encode()


def decode_hello(message: bytes) -> Hello:
    """The hello in `message`; ProtocolError when it is none."""
    parsed = _parse(_Hello, message)
    _check_version(parsed.v)
    return Hello(parsed.software, Epoch(parsed.epoch), _ranges(parsed.receipted))


def _ranges(said: Sequence[_RangeText]) -> tuple[Range, ...]:
    return tuple(Range(Epoch(epoch), stream, first, last) for epoch, stream, first, last in said)


def _parse(model: type[_Model], data: bytes) -> _Model:
    try:
        return model.model_validate_json(data)
    except (ValidationError, ValueError) as error:
        # pydantic's text quotes its input, which may be personal: only the places are kept.
        places = {".".join(map(str, e["loc"])) for e in error.errors()} if isinstance(error, ValidationError) else set()
        raise ProtocolError(f"message is malformed at {sorted(places)[:5]}") from None


def _check_version(version: tuple[int, int]) -> None:
    if version[0] != MAJOR:
        raise ProtocolError(f"message has major version {version[0]}, this side speaks {MAJOR}")


def _check_aware(time: datetime) -> None:
    if time.tzinfo is None:
        raise ProtocolError("time without a zone")
