"""What the ledger compares with the emissions: read from the hub's API and from the agent's control socket.

Nothing here knows how either keeps it; both are asked as any other client would ask.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from contract.device import LinkState
from contract.errors import ProtocolError, Refused, Unreachable
from firmware_sim.ledger import Span, StoredSample, Window

PAGE = 1000
ANSWER_LIMIT_S = 5.0
MAX_LINE_BYTES = 4 * 2**20
"""A status answer holds a few lines a device; far above what a gateway says."""

_Json = Any  # what json.loads returns; pydantic models check it before it is used
ModelT = TypeVar("ModelT", bound=BaseModel)


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _PositionValue(_Model):
    lat: float
    lon: float


class _SeriesValue(_Model):
    values: tuple[float, ...]


class _Row(_Model):
    """A reading of a thing, or a released value of a person, which has no number."""

    quantity: str
    at: AwareDatetime
    value: _PositionValue | _SeriesValue | float | None
    epoch: str = ""
    stream: str = ""
    sequence: int | None = None


class _Received(_Model):
    samples: int
    start: AwareDatetime | None
    end: AwareDatetime | None


class _GapRow(_Model):
    gateway: str | None
    subject: str
    start: AwareDatetime
    end: AwareDatetime
    reason: str = ""


class _AlertRow(_Model):
    id: str
    at: AwareDatetime


class _DeviceRow(_Model):
    id: str
    last_at: AwareDatetime | None = None


class DeviceStatus(_Model):
    """One device as the agent sees it; `subjects` are a worn device's pseudonyms by purpose."""

    id: str
    state: str
    since: AwareDatetime
    last_sample_at: AwareDatetime | None = None
    subjects: Mapping[str, str] = {}

    @property
    def is_heard(self) -> bool:
        """True when the device has spoken since its link was made."""
        return self.state == LinkState.UP and self.last_sample_at is not None and self.last_sample_at >= self.since


class _Waiting(_Model):
    alert: int
    data: int


class AgentStatus(_Model):
    """The answer to "status"; see the agent's control socket."""

    epoch: str
    started_at: AwareDatetime
    withheld: int
    open_windows: int
    outbox: _Waiting
    downtime: tuple[tuple[AwareDatetime, AwareDatetime], ...] = ()
    devices: tuple[DeviceStatus, ...] = ()

    @property
    def is_waiting(self) -> bool:
        """True while records wait for the hub's receipt."""
        return self.outbox.alert + self.outbox.data > 0


@dataclass(slots=True)
class Subjects:
    """Every pseudonym a device has had in this run: the day's end brings new ones."""

    by_device: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))

    def learn(self, status: AgentStatus) -> None:
        """Take up the pseudonyms of a status."""
        for device in status.devices:
            for purpose, subject in device.subjects.items():
                self.by_device[device.id, purpose].add(subject)

    def of(self, device: str, purpose: str) -> list[str]:
        """Pseudonyms of the device's person under `purpose`."""
        return sorted(self.by_device.get((device, purpose), ()))

    def devices_of(self, subject: str) -> set[str]:
        """The devices whose person has that pseudonym under any purpose."""
        return {device for (device, _), subjects in self.by_device.items() if subject in subjects}


async def ask_agent(socket: Path, request: Mapping[str, object]) -> dict[str, _Json]:
    """One request to a running agent. Raises Unreachable, ProtocolError, or Refused with the agent's own words."""
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            reader, writer = await asyncio.open_unix_connection(socket, limit=MAX_LINE_BYTES)
            try:
                writer.write(json.dumps(request).encode() + b"\n")
                line = await reader.readline()
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError) as error:
        raise Unreachable("the agent does not answer on its control socket") from error
    except ValueError as error:
        raise ProtocolError("the agent's answer is too long") from error
    return _checked_answer(line)


def _checked_answer(line: bytes) -> dict[str, _Json]:
    if not line.endswith(b"\n"):
        raise Unreachable("the agent closed its control socket without an answer")
    try:
        answer = json.loads(line)
    except ValueError as error:
        raise ProtocolError("the agent's answer is not JSON") from error
    if not isinstance(answer, dict):
        raise ProtocolError("the agent's answer is not a JSON object")
    if answer.get("ok") is not True:
        raise Refused(f"{answer.get('family', 'error')}: {answer.get('error', 'no reason given')}")
    return answer


async def agent_status(socket: Path) -> AgentStatus:
    """The agent's status. Raises as `ask_agent`."""
    answer = await ask_agent(socket, {"do": "status"})
    return _parse(AgentStatus, answer, "agent's status")


@asynccontextmanager
async def hub_api(base_url: str) -> AsyncIterator["HubApi"]:
    """The API of the hub at `base_url`, with connections of its own; a proxy of the environment is not asked."""
    async with httpx.AsyncClient(base_url=base_url, trust_env=False) as client:
        yield HubApi(client)


class HubApi:
    """The hub's JSON API. `client` has the hub's address as base_url. Raises Unreachable and ProtocolError."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def is_up(self) -> bool:
        """True when the hub says that it is healthy."""
        with suppress(Unreachable):
            await self._get("/api/v1/health", {})
            return True
        return False

    async def things(self, device: str, quantities: tuple[str, ...]) -> list[StoredSample]:
        """Stored samples of a thing: one for each row of the first quantity, with the others of the same stamp."""
        rows = {name: await self._rows("/api/v1/readings", device=device, quantity=name) for name in quantities}
        return _samples(device, quantities, rows)

    async def released(self, device: str, subjects: Iterable[str], quantity: str, beside: str) -> list[StoredSample]:
        """Stored samples of a worn device, released for research under `subjects`: one for each row of `quantity`.

        The series `beside` it tells two of one moment apart: a gateway that was held up reads several at once.
        """
        samples: list[StoredSample] = []
        for subject in subjects:
            path, query = "/api/v1/released", {"purpose": "research", "subject": subject}
            series: dict[datetime, list[str]] = defaultdict(list)
            for row in await self._rows(path, **query, quantity=beside):
                series[row.at].append(str(row.value))
            for row in await self._rows(path, **query, quantity=quantity):
                told = series[row.at].pop(0) if series[row.at] else ""
                samples.append(StoredSample(device, row.at, _values(row), beside=told))
        return samples

    async def windows(self, device: str, subjects: Iterable[str]) -> list[Window]:
        """What has arrived of a worn device as statistics, one a pseudonym: the hub tells how much, never a value."""
        windows = []
        for subject in subjects:
            answer = await self._get("/api/v1/statistics/received", {"subject": subject})
            row = _parse(_Received, answer, "a count of statistics")
            if row.start is not None and row.end is not None:
                windows.append(Window(device, row.start, row.end, row.samples))
        return windows

    async def gaps(self, subjects: Subjects) -> list[Span]:
        """Declared gaps, by device."""
        spans: list[Span] = []
        for item in await self._items("/api/v1/gaps"):
            row = _parse(_GapRow, item, "a gap")
            devices = subjects.devices_of(row.subject) if row.gateway is None else {row.subject}
            spans.extend(Span(device, row.start, row.end, row.reason) for device in sorted(devices))
        return spans

    async def alert_ids(self) -> set[str]:
        """The alerts the hub has heard of, however many events each has."""
        return {_parse(_AlertRow, item, "an alert").id for item in await self._items("/api/v1/alerts")}

    async def first_alert_at(self) -> datetime | None:
        """When the earliest alert that the hub has heard of was raised; None before there is any."""
        return min(
            (_parse(_AlertRow, item, "an alert").at for item in await self._items("/api/v1/alerts")), default=None
        )

    async def last_at(self, device: str) -> datetime | None:
        """The stamp of the newest value of a thing; None before there is any."""
        rows = [_parse(_DeviceRow, item, "a device") for item in await self._items("/api/v1/devices")]
        return next((row.last_at for row in rows if row.id == device), None)

    async def _rows(self, path: str, **query: str) -> list[_Row]:
        return [_parse(_Row, item, "a row") for item in await self._items(path, **query)]

    async def _items(self, path: str, **query: str) -> list[_Json]:
        """Every item of a list, page after page."""
        items: list[_Json] = []
        cursor: str | None = None
        while True:
            page = await self._get(path, {**query, "limit": str(PAGE), **({"cursor": cursor} if cursor else {})})
            if not isinstance(page, dict) or not isinstance(page.get("items"), list):
                raise ProtocolError(f"the hub's answer to {path} is no list")
            items.extend(page["items"])
            cursor = page.get("next")
            if cursor is None:
                return items

    async def _get(self, path: str, query: dict[str, str]) -> _Json:
        try:
            response = await self._client.get(path, params=query)
            response.raise_for_status()
            return response.json()
        except httpx.HTTPStatusError as error:
            raise Unreachable(f"the hub answers {path} with {error.response.status_code}") from error
        except httpx.HTTPError as error:
            raise Unreachable(f"the hub does not answer {path}: {type(error).__name__}") from error
        except ValueError as error:
            raise ProtocolError(f"the hub's answer to {path} is not JSON") from error


def _samples(device: str, quantities: tuple[str, ...], rows: Mapping[str, list[_Row]]) -> list[StoredSample]:
    first, *others = quantities
    beside = {name: {row.at: row for row in rows[name]} for name in others}
    samples = []
    for row in rows[first]:
        if not all(row.at in beside[name] for name in others):
            continue  # a sample that lost a record is not stored
        values = _values(row)
        for name in others:
            values |= _values(beside[name][row.at])
        identity = "" if row.sequence is None else f"{row.epoch}:{row.stream}:{row.sequence}"
        samples.append(StoredSample(device, row.at, values, identity))
    return samples


def _values(row: _Row) -> dict[str, float]:
    match row.value:
        case None:
            return {}
        case _PositionValue(lat=lat, lon=lon):
            return {"lat": lat, "lon": lon}
        case _SeriesValue():
            return {}
        case float(value):
            return {row.quantity: value}


def _parse(model: type[ModelT], item: _Json, what: str) -> ModelT:
    try:
        return model.model_validate(item)
    except ValidationError as error:
        # pydantic's own text quotes its input, which may be a person's value.
        places = sorted({".".join(map(str, fault["loc"])) for fault in error.errors()})
        raise ProtocolError(f"{what} has another form than agreed, at {places[:5]}") from None
