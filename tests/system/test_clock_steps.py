"""The real agent under a wall clock that is stepped, or wrong from the start: times at the hub stay right, all arrive.

libfaketime lies to the agent about the wall clock alone; what the kernel counts since the boot stays true.
"""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contract.sample import ClockQuality
from firmware_sim import chaos_clock
from firmware_sim.chaos_clock import WrongClock
from firmware_sim.chaos_kinds import Kind
from support.counting_station import SETTINGS, CountingLine, counting_station
from support.processes import Gateway, Hub, running
from support.waiting import until

pytestmark = pytest.mark.skipif(
    chaos_clock.library() is None and os.environ.get("CI") != "true",
    reason="libfaketime is not installed. Debian: sudo apt install libfaketime",
)
PERIOD_S = 0.1
SLACK = timedelta(seconds=2)
"""The hub's time comes late by half a round trip, on a machine that is busy with other tests."""


@pytest.fixture
def clock(tmp_path: Path) -> WrongClock:
    library = chaos_clock.library()
    assert library is not None
    return WrongClock(library, tmp_path)


@pytest.fixture
async def line(tmp_path: Path, clock: WrongClock) -> AsyncIterator[CountingLine]:
    """The hub runs; the gateway is not started."""
    station, counting = counting_station(tmp_path, PERIOD_S)
    hub = Hub(tmp_path)
    async with AsyncExitStack() as stack:
        await station.start()
        stack.push_async_callback(station.stop)
        await stack.enter_async_context(running(hub))
        password = await hub.add_gateway("gw-1")
        settings = SETTINGS.format(port=hub.mqtt_port, password=password, modbus=station.port)
        yield CountingLine(hub, Gateway(tmp_path, settings, dict(clock.environment)), counting)


async def polled(line: CountingLine, times: int) -> None:
    count = line.counting.count
    await until(lambda: line.counting.count >= count + times, 30)


async def check_times(line: CountingLine, since: datetime) -> set[str]:
    """Every time at the hub is a true one, and in the order of the readings; which clock qualities there were."""
    rows = await line.hub.items("/api/v1/readings", device="river-1", limit=10000)
    rows.sort(key=lambda row: row["value"])
    times = [datetime.fromisoformat(row["at"]) for row in rows]
    assert times == sorted(times)
    assert since - SLACK <= times[0]
    assert times[-1] <= datetime.now(UTC) + SLACK
    gaps = await line.hub.items("/api/v1/gaps")
    bounds = [datetime.fromisoformat(gap[end]) for gap in gaps for end in ("start", "end")]
    assert all(since - SLACK <= bound <= datetime.now(UTC) + SLACK for bound in bounds), gaps
    return {row["clock"] for row in rows}


async def test_steps_of_the_clock_change_no_time_and_lose_nothing(line: CountingLine, clock: WrongClock) -> None:
    """A day ahead, a day back, and 1970, in the middle of a run."""
    began = datetime.now(UTC)
    async with running(line.gateway):
        await line.all_arrive()
        for kind in (Kind.CLOCK_AHEAD, Kind.CLOCK_BACK, Kind.CLOCK_1970):
            with clock.stepped(kind):
                await polled(line, 15)
                await line.all_arrive()
            await polled(line, 5)
        await line.all_arrive()
        assert datetime.fromisoformat((await line.gateway.device("river-1"))["last_sample_at"]) > began - SLACK
    await check_times(line, began)
    assert "Traceback" not in line.gateway.log.read_text()


@pytest.mark.parametrize("kind", [Kind.CLOCK_AHEAD, Kind.CLOCK_1970])
async def test_a_boot_that_began_with_a_wrong_clock_is_dated_rightly_once_the_hub_tells_the_time(
    line: CountingLine, clock: WrongClock, kind: Kind
) -> None:
    """Readings from before the hub was there, a kill and a restart among them, and while the clock is still wrong."""
    began = datetime.now(UTC)
    await line.hub.stop()
    with clock.stepped(kind):
        await line.gateway.start()
        try:
            first = line.counting.count + 1
            await polled(line, 20)
            await line.gateway.kill()
            await line.gateway.start()
            await polled(line, 20)
            assert (await line.gateway.status())["hub"]["state"] == "lost"
            await line.hub.start()
            await until(lambda: "clock: set by the hub" in line.gateway.log.read_text(), 40)
            last = line.counting.count
            await polled(line, 5)

            async def are_there() -> bool:
                stored = await line.stored()
                return stored[-1:] > [last] and (await line.gateway.status())["outbox"]["data"] < 10

            await until(are_there, 40)
            await line.gateway.kill()
            await line.gateway.start()
            await polled(line, 5)
            await until(are_there, 20)
        finally:
            await line.gateway.stop()
    stored = await line.stored()
    assert len(stored) == len(set(stored))
    assert min(stored) <= first + 1
    qualities = await check_times(line, began)
    assert qualities == {ClockQuality.CORRECTED, ClockQuality.SYNCHRONISED}
    assert line.gateway.log.read_text().count("clock: set by the hub") == 1
    assert "Traceback" not in line.gateway.log.read_text()
