"""A small town in a real hub store, spoken to as gateways speak, and the console served over it."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import uvicorn
from fastapi import FastAPI

from cloud_sync import blob
from cloud_sync.envelope import Hello, Part, encode_envelope, encode_hello
from contract.alert import Alert, Transition
from contract.consent import Purpose
from contract.ids import AlertId, Epoch
from contract.record import Aggregate, AlertRecord, Gap, GapReason, Measured, Range, Record, Stream, records_in
from contract.sample import ClockQuality, Flag, Member, Position, Reading
from hub.arrival import read
from hub.console.routes import router
from hub.feed import Feed
from hub.store.store import Store
from support.waiting import until

GATEWAY = "gw-karato"
RIVER = "river-1"
BUS = "bus-1"
RESEARCH_SUBJECT = "9f3c51d2a7b84e60"
OTHER_SUBJECT = "c04be7715a2d4f19"
STATISTICS_SUBJECT = "e1d20c9b44aa7f03"
PERSON = "resident-1"
STAGES = {
    1: (1.5, "水防団待機水位に到達", "Flood fighters' standby level reached"),
    2: (2.0, "氾濫注意水位に到達", "Flood caution level reached"),
    3: (2.6, "避難判断水位に到達", "Evacuation decision level reached"),
}
STATION = Position(34.0842, 131.0326, flag=Flag.GOOD)
"""Where the river's station stands, as a gateway tells it once."""
_EPOCH = Epoch("00000000000000a1")


@dataclass
class Town:
    """Says records to the store as a gateway would, and tells the feed."""

    store: Store
    feed: Feed
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    _next: dict[Stream, int] = field(default_factory=lambda: {Stream.DATA: 1, Stream.ALERT: 1})

    async def say(self, *records: Record, purpose: Purpose | None = None, gateway: str = GATEWAY) -> None:
        stream = Stream.ALERT if isinstance(records[0], AlertRecord) else Stream.DATA
        count = sum(map(records_in, records))
        first = self._next[stream]
        self._next[stream] += count
        part = Part(Range(_EPOCH, stream, first, first + count - 1), purpose, blob.encode(records))
        await self._commit(f"kanmon.{gateway}.up.{stream.value}", encode_envelope([part]))

    async def greet(self, gateway: str = GATEWAY) -> None:
        await self._commit(f"kanmon.{gateway}.up.hello", encode_hello(Hello("0.1.0", _EPOCH)))

    async def _commit(self, subject: str, payload: bytes) -> None:
        outcome = await self.store.commit([read(subject, payload, self.now)])
        assert not outcome.faults
        for change in outcome.changes:
            self.feed.publish(change)

    async def river(self, level_m: float, at: datetime | None = None) -> None:
        await self.say(measured(RIVER, at or self.now, weather(level_m)))

    async def bus(self, step: float, at: datetime | None = None) -> None:
        await self.say(measured(BUS, at or self.now, [bus_at(step)]))

    async def pulse(self, bpm: float, subject: str = RESEARCH_SUBJECT, at: datetime | None = None) -> None:
        members = [Reading("heart_rate", bpm, Flag.GOOD)]
        await self.say(measured(subject, at or self.now, members), purpose=Purpose.RESEARCH)

    async def stage(self, level: int, value: float, step: Transition = Transition.RAISED) -> None:
        threshold, ja, en = STAGES[level or 1]
        alert = Alert(
            AlertId("a" * 32), "river_stage", "demo", step, self.now, "water_level", value, threshold, level, ja, en
        )
        await self.say(AlertRecord(RIVER, alert))

    async def high_pulse(self) -> None:
        words = ("安静時の脈拍が20秒間高い", "Pulse high at rest for 20 seconds")
        evidence = (("window_s", 20.0), ("activity_known", 0.0))
        alert = Alert(
            AlertId("b" * 32), "pulse_high_at_rest", "1", Transition.RAISED, self.now, "heart_rate", 131.0, 120.0, 1,
            *words, evidence,
        )  # fmt: skip
        await self.say(AlertRecord(PERSON, alert), purpose=Purpose.HEALTH_CENTRE)

    async def furnish(self) -> None:
        """Ten minutes of a day on which the river rises."""
        start = self.now - timedelta(minutes=10)
        await self.greet()
        await self.say(measured(RIVER, start, [STATION]))
        times = [start + timedelta(seconds=2 * step) for step in range(300)]
        await self.say(*(measured(RIVER, at, weather(rising(n / 300))) for n, at in enumerate(times)))
        await self.say(*(measured(BUS, at, [bus_at(n / 300)]) for n, at in enumerate(times)))
        for subject, bpm in ((RESEARCH_SUBJECT, 128), (OTHER_SUBJECT, 71)):
            await self.pulse(bpm, subject, self.now - timedelta(seconds=1))
        windows = [
            Aggregate(STATISTICS_SUBJECT, "heart_rate", start + timedelta(minutes=n), 60, 58, 74.2 + n % 4, 66, 88, 60)
            for n in range(5, 9)
        ]
        await self.say(*windows, purpose=Purpose.STATISTICS)
        await self.stage(1, 1.52)
        await self.stage(2, 2.03, Transition.UPDATED)
        await self.high_pulse()
        gap_start = self.now - timedelta(minutes=34)
        await self.say(Gap(RIVER, None, gap_start, gap_start + timedelta(seconds=3), GapReason.RESTART, 6))
        await self.say(Gap(BUS, None, gap_start, gap_start + timedelta(seconds=95), GapReason.UNREACHABLE))


def measured(subject: str, at: datetime, members: Sequence[Member]) -> Measured:
    return Measured(subject, at, ClockQuality.SYNCHRONISED, tuple(members))


def rising(share: float) -> float:
    return 0.8 + 1.55 * share**1.6 + 0.02 * math.sin(40 * share)


def weather(level_m: float) -> list[Member]:
    values = {
        "water_level": level_m, "rainfall": 42.5, "air_temperature": 17.8, "humidity": 93.0, "pressure": 1002.4,
        "wind_speed": 8.3, "wind_direction": 213.0, "device_counter": 512.0,
    }  # fmt: skip
    return [Reading(name, value, Flag.GOOD) for name, value in values.items()]


def bus_at(share: float) -> Position:
    """Along the shore from Karato towards Hinoyama."""
    lat = 33.9560 + 0.0135 * share + 0.0008 * math.sin(9 * share)
    lon = 130.9440 + 0.0260 * share
    return Position(lat, lon, 8.9, 58.0, Flag.GOOD)


def console_app(store: Store, feed: Feed, town: Town | None = None) -> FastAPI:
    """The console alone, as hub.api.app includes it; with `town`, its clock is the town's."""
    app = FastAPI()
    app.state.store, app.state.feed = store, feed
    app.state.now = (lambda: town.now) if town else (lambda: datetime.now(UTC))
    app.include_router(router)
    return app


@asynccontextmanager
async def served(app: FastAPI, port: int = 0) -> AsyncIterator[str]:
    """The address of `app` on a real server; it ends as the hub does: feed first."""
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve())
        try:
            await until(lambda: server.started)
            yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        finally:
            app.state.feed.close()
            server.should_exit = True
