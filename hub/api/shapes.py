"""The JSON of the API: models that document it, and functions that make it from the store's rows.

Answers are made as plain JSON and not through the models: validating what we just read costs more than reading it.
A test holds that both agree.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from fastapi.responses import JSONResponse
from pydantic import BaseModel

from contract.record import GapReason
from contract.sample import ClockQuality
from hub.instant import instant
from hub.store import rows
from hub.store.rows import PositionValue, SeriesValue, Value
from hub.suppression import WINDOW, Combined

Json = dict[str, Any]  # one JSON object on its way out: nothing reads it again
_Row = TypeVar("_Row")


class Position(BaseModel):
    """A fix in WGS84; m/s, degrees from true north."""

    lat: float
    lon: float
    speed_mps: float | None
    course_deg: float | None


class Series(BaseModel):
    """Values of one frame with their offsets in seconds from the row's time."""

    values: list[float]
    offsets_s: list[float]


_Value = float | None | Position | Series


class Gateway(BaseModel):
    """A gateway that has spoken."""

    id: str
    first_seen: str
    last_seen: str
    epoch: str | None
    software: str | None


class Latest(BaseModel):
    """The newest value of a quantity."""

    quantity: str
    at: str
    value: _Value
    flag: int
    clock: ClockQuality


class Device(BaseModel):
    """A thing behind a gateway, with its newest values."""

    gateway: str
    id: str
    last_at: str
    quantities: list[str]
    latest: list[Latest]


class Reading(BaseModel):
    """One stored record of a thing."""

    gateway: str
    device: str
    quantity: str
    at: str
    value: _Value
    flag: int
    clock: ClockQuality
    epoch: str
    stream: str
    sequence: int


class Released(BaseModel):
    """One pseudonymous record."""

    purpose: str
    subject: str
    quantity: str
    at: str
    value: _Value
    flag: int
    clock: ClockQuality


class Statistics(BaseModel):
    """Persons together over a window; suppressed, and null, while fewer than ten share, or nobody."""

    quantity: str
    start: str
    window_s: float
    suppressed: bool
    persons: int | None
    count: int | None
    mean: float | None


class Received(BaseModel):
    """How much has arrived under one pseudonym as statistics, without any value."""

    samples: int
    windows: int
    start: str | None
    end: str | None


class Alert(BaseModel):
    """One event of an alert; `id` is the alert's, `event` counts events as stored."""

    id: str
    event: int
    gateway: str | None
    purpose: str | None
    subject: str
    rule: str
    rule_version: str
    transition: str
    at: str
    quantity: str
    value: float
    threshold: float
    level: int
    name: dict[str, str]
    evidence: dict[str, float]


class Gap(BaseModel):
    """Declared loss."""

    gateway: str | None
    purpose: str | None
    subject: str
    quantity: str | None
    start: str
    end: str
    reason: GapReason
    count: int | None


def value(stored: Value) -> object:
    """A value as JSON."""
    match stored:
        case PositionValue():
            fix = {"lat": stored.lat_deg, "lon": stored.lon_deg}
            return {**fix, "speed_mps": stored.speed_mps, "course_deg": stored.course_deg}
        case SeriesValue():
            return {"values": list(stored.values), "offsets_s": list(stored.offsets_s)}
        case _:
            return stored


def gateway(row: rows.GatewayRow) -> Json:
    """A Gateway."""
    seen = {"first_seen": instant(row.first_seen), "last_seen": instant(row.last_seen)}
    return {"id": row.id, **seen, "epoch": row.epoch, "software": row.software}


def device(row: rows.DeviceRow, latest: list[rows.LatestRow]) -> Json:
    """A Device."""
    newest = [{"quantity": one.quantity, **_measured(one)} for one in latest]
    who = {"gateway": row.gateway, "id": row.id, "last_at": instant(row.last_at)}
    return {**who, "quantities": list(row.quantities), "latest": newest}


def reading(row: rows.ReadingRow) -> Json:
    """A Reading."""
    who = {"gateway": row.gateway, "device": row.device, "quantity": row.quantity}
    return {**who, **_measured(row), "epoch": row.epoch, "stream": row.stream, "sequence": row.sequence}


def released(row: rows.ReleasedRow) -> Json:
    """A Released."""
    return {"purpose": row.purpose, "subject": row.subject, "quantity": row.quantity, **_measured(row)}


def statistics(row: Combined) -> Json:
    """A Statistics."""
    window = {"quantity": row.quantity, "start": instant(row.start), "window_s": WINDOW.total_seconds()}
    return {**window, "suppressed": row.is_suppressed, "persons": row.persons, "count": row.count, "mean": row.mean}


def received(row: rows.ReceivedRow) -> Json:
    """A Received."""
    start, end = (None if at is None else instant(at) for at in (row.start, row.end))
    return {"samples": row.samples, "windows": row.windows, "start": start, "end": end}


def alert(row: rows.AlertRow) -> Json:
    """An Alert."""
    event = row.alert
    who = {"id": event.id, "event": row.sequence_id, "gateway": row.gateway, "purpose": row.purpose}
    rule = {"rule": event.rule, "rule_version": event.rule_version, "transition": event.transition}
    measured = {"quantity": event.quantity, "value": event.value, "threshold": event.threshold, "level": event.level}
    name = {"ja": event.name_ja, "en": event.name_en}
    told = {"at": instant(event.at), **measured, "name": name, "evidence": dict(event.evidence)}
    return {**who, "subject": row.subject, **rule, **told}


def gap(row: rows.GapRow) -> Json:
    """A Gap."""
    who = {"gateway": row.gateway, "purpose": row.purpose, "subject": row.subject, "quantity": row.quantity}
    return {**who, "start": instant(row.start), "end": instant(row.end), "reason": row.reason, "count": row.count}


def listing(page: rows.Page[_Row], shape: Callable[[_Row], Json]) -> JSONResponse:
    """The answer that holds one page of a list."""
    return JSONResponse({"items": [shape(row) for row in page.items], "next": page.next_cursor})


def _measured(row: rows.LatestRow | rows.ReadingRow | rows.ReleasedRow) -> Json:
    return {"at": instant(row.at), "value": value(row.value), "flag": int(row.flag), "clock": row.clock}
