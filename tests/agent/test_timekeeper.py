"""From a sample under a wrong clock to the hub: over restarts and boots, every time is right or within its bounds."""

from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent import consent as consent_module
from agent import outbox_schema
from agent.actuators import Actuators
from agent.alarms import Alarms
from agent.boots import FILE_NAME, BootBook
from agent.commit import Committer
from agent.consent import Change, ConsentBook
from agent.continuity import Continuity
from agent.outbox import Outbox
from agent.personal import PersonalRelease
from agent.pipeline import Pipeline, Source
from agent.pseudonym_book import PseudonymBook
from agent.seal import KeyFolder
from agent.store import Database
from agent.timekeeper import Timekeeper
from cloud_sync.blob import from_ms
from cloud_sync.envelope import encode_envelope
from cloud_sync.uplink import Page, Stretch
from contract.boot import BootId
from contract.consent import Purpose
from contract.device import LinkState
from contract.ids import DeviceId, Epoch, PersonId
from contract.record import Aggregate, Gap, Stream
from contract.sample import ClockQuality, Reading, Sample
from hub import arrival
from support.gateway_clock import TRUTH, SteppedKernel

RIVER, STRAP, PERSON = DeviceId("river-1"), DeviceId("strap-1"), PersonId("resident-1")
BOOTS = [BootId(f"{number:032x}") for number in range(1, 5)]
DAWN = datetime(1970, 1, 1, tzinfo=UTC)
OFFSETS = [timedelta(days=-20_000), timedelta(days=-1), timedelta(days=1), timedelta(days=3650)]
SYNCHRONISED, CORRECTED, BOUNDED = (
    arrival.CLOCKS.index(clock) for clock in (ClockQuality.SYNCHRONISED, ClockQuality.CORRECTED, ClockQuality.BOUNDED)
)


class Run:
    """One run of the agent's line over a state folder, in one boot; no drivers, no hub."""

    def __init__(self, folder: Path, kernel: SteppedKernel, boot: BootId) -> None:
        self._folder, self.kernel, self._boot = folder, kernel, boot
        self._files = AsyncExitStack()
        self._count = 0

    async def __aenter__(self) -> "Run":
        enter = self._files.enter_async_context
        consent_file = await enter(Database(self._folder / "consent.db", consent_module.MIGRATIONS))
        outbox_file = await enter(Database(self._folder / "outbox.db", outbox_schema.MIGRATIONS))
        keys = KeyFolder(self._folder / "keys")
        self.boots = BootBook(self._folder / FILE_NAME, self._boot)
        self.timekeeper = Timekeeper.start(self.kernel, self.boots)
        clock = self.timekeeper.clock
        consents = ConsentBook(consent_file, [PERSON])
        await consents.load()
        epochs = await outbox_file.read(lambda connection: connection.execute("SELECT max(no) FROM epoch").fetchone())
        self.outbox = Outbox(outbox_file, keys, Epoch(f"{(epochs[0] or 0) + 1:016x}"), 1000)
        resumed = await self.outbox.open(clock.now(), self.boots.settle)
        self.pseudonyms = PseudonymBook(keys, [PERSON])
        self.committer = Committer(self.outbox, 0.001, clock.now, clock.base)
        self.personal = PersonalRelease(consents, self.pseudonyms, self.committer)
        last = {**resumed.things, **self.personal.resume(resumed.states, self.boots.settle)}
        await self.timekeeper.begin(last.values())
        await self.pseudonyms.prepare(clock.stamp())
        sources = [Source(RIVER, None, None), Source(STRAP, PERSON, None)]
        self.pipeline = Pipeline(
            sources,
            consents,
            self.personal,
            self.committer,
            Continuity(last, clock.now()),
            Alarms({}),
            Actuators([]),
            lambda event: None,
            restamped=clock.restamped,
        )
        self.committer.before_write(self.pipeline.snapshot)
        self.timekeeper.before_learning(self.pipeline.end_windows)
        self.timekeeper.after_learning(self.pipeline.redate)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._files.aclose()

    async def agree(self) -> None:
        now = self.timekeeper.clock.now()
        change = Change(PERSON, Purpose.STATISTICS, True, None, now, "resident")
        await self.pipeline.change_consent(change, self.outbox)

    async def samples(self, number: int, device: DeviceId = RIVER) -> None:
        """One a second, made durable."""
        for _ in range(number):
            self.kernel.pass_time(1)
            self.accept(device)
        await self.committer.flush()

    def accept(self, device: DeviceId = RIVER) -> None:
        quantity, value = ("water_level", 1.0) if device == RIVER else ("heart_rate", 70.0)
        self.pipeline.accept(Sample(device, self.timekeeper.clock.stamp(), (Reading(quantity, value),)))

    async def learn(self) -> None:
        """The hub tells the true time."""
        self.timekeeper.hub_time(self.kernel.true_time())
        await self.timekeeper.look()

    async def arrived(self) -> "Arrived":
        """Everything that waits, as the hub reads it."""
        await self.committer.flush()
        entries = await self.outbox.peek(Stream.DATA, Stretch(0), Page(1000, 2**20))
        boots = self.boots.times({entry.boot for entry in entries if entry.boot is not None})
        assert boots is not None, "sent before the time was known"
        message = encode_envelope([entry.part for entry in entries], boots)
        read = arrival.read("kanmon.gw-1.up.data", message, TRUTH)
        assert read.fault is None
        assert [part.fault for part in read.parts] == [None] * len(read.parts)
        return Arrived(read)


class Arrived:
    """The hub's rows: (time, clock) of each river reading by sequence, gaps and aggregates."""

    def __init__(self, read: arrival.Arrival) -> None:
        rows = [row for part in read.parts for row in part.rows.measured]
        others = [record for part in read.parts for _, record in part.rows.others]
        self.times = [from_ms(row[3]) for row in rows]
        self.clocks = [row[6] for row in rows]
        self.gaps = [record for record in others if isinstance(record, Gap)]
        self.aggregates = [record for record in others if isinstance(record, Aggregate)]


def after(seconds: float) -> datetime:
    return TRUTH + timedelta(seconds=seconds)


@pytest.mark.parametrize("offset", OFFSETS)
async def test_samples_from_before_the_time_was_known_arrive_with_their_true_times(tmp_path, offset):
    kernel = SteppedKernel(TRUTH + offset)
    async with Run(tmp_path, kernel, BOOTS[0]) as run:
        await run.samples(3)
        kernel.step_wall(timedelta(days=-7))
        await run.samples(2)
        stale = run.timekeeper.clock.stamp()
        run.accept()
        await run.learn()
        run.pipeline.accept(Sample(RIVER, stale, (Reading("water_level", 1.0),)))
        await run.samples(2)
        arrived = await run.arrived()
        assert arrived.times == [after(second) for second in (1, 2, 3, 4, 5, 5, 5, 6, 7)]
        assert arrived.clocks == [CORRECTED] * 7 + [SYNCHRONISED] * 2


@pytest.mark.parametrize("offset", OFFSETS)
async def test_a_restart_in_the_same_boot_neither_moves_nor_forgets_a_time(tmp_path, offset):
    kernel = SteppedKernel(TRUTH + offset)
    async with Run(tmp_path, kernel, BOOTS[0]) as run:
        await run.samples(3)
    kernel.pass_time(10)
    kernel.step_wall(timedelta(days=5))
    async with Run(tmp_path, kernel, BOOTS[0]) as run:
        await run.samples(2)
        await run.learn()
    async with Run(tmp_path, kernel, BOOTS[0]) as run:
        assert run.timekeeper.clock.stamp().clock is ClockQuality.SYNCHRONISED
        await run.samples(1)
        arrived = await run.arrived()
        assert arrived.times == [after(second) for second in (1, 2, 3, 14, 15, 16)]
        assert arrived.clocks == [CORRECTED] * 5 + [SYNCHRONISED]
        assert [(gap.start, gap.end) for gap in arrived.gaps] == [(after(3), after(14)), (after(15), after(16))]


@pytest.mark.parametrize("offset", OFFSETS)
async def test_a_gap_over_a_reboot_has_two_true_ends(tmp_path, offset):
    """It begins in a boot whose time was known, and ends in one whose time is learnt later."""
    kernel = SteppedKernel(TRUTH)
    async with Run(tmp_path, kernel, BOOTS[0]) as run:
        await run.learn()
        await run.samples(3)
    reborn = SteppedKernel(TRUTH + offset)
    reborn.pass_time(5)
    async with Run(tmp_path, reborn, BOOTS[1]) as run:
        await run.samples(2)
        run.timekeeper.hub_time(after(3600 + 7))  # an hour after the first boot, 7 s after the second
        await run.timekeeper.look()
        arrived = await run.arrived()
        assert arrived.times == [*(after(second) for second in (1, 2, 3)), after(3606), after(3607)]
        assert [(gap.start, gap.end) for gap in arrived.gaps] == [(after(3), after(3606))]


@pytest.mark.parametrize("offset", OFFSETS)
async def test_a_boot_that_never_learnt_the_time_lies_between_its_neighbours(tmp_path, offset):
    kernel = SteppedKernel(TRUTH)
    async with Run(tmp_path, kernel, BOOTS[0]) as run:
        await run.learn()
        await run.samples(3)
        await run.timekeeper.end()
    async with Run(tmp_path, SteppedKernel(TRUTH + offset), BOOTS[1]) as run:
        await run.samples(4)
        await run.timekeeper.end()
    async with Run(tmp_path, SteppedKernel(DAWN), BOOTS[2]) as run:
        await run.samples(2)
        run.timekeeper.hub_time(after(3602))
        await run.timekeeper.look()
        arrived = await run.arrived()
        assert arrived.times == sorted(arrived.times)
        assert arrived.clocks == [SYNCHRONISED] * 3 + [BOUNDED] * 4 + [CORRECTED] * 2
        assert all(after(3) <= at <= after(3600) for at in arrived.times[3:7])
        assert arrived.times[7:] == [after(3601), after(3602)]
        for gap in arrived.gaps:
            assert after(3) <= gap.start <= gap.end <= after(3602)


@pytest.mark.parametrize("offset", OFFSETS)
async def test_the_window_under_a_wrong_clock_ends_with_it_and_is_dated_rightly(tmp_path, offset):
    """Otherwise it would hold samples of two times, or last until the clock has caught up."""
    kernel = SteppedKernel(TRUTH + offset)
    async with Run(tmp_path, kernel, BOOTS[0]) as run:
        await run.agree()
        await run.samples(20, STRAP)
        await run.learn()
        assert run.personal.open_samples() == 0
        await run.samples(10, STRAP)
        kernel.pass_time(120)
        run.pipeline.tick(run.timekeeper.clock.now())
        arrived = await run.arrived()
        assert sum(aggregate.samples for aggregate in arrived.aggregates) + run.outbox.withheld == 30
        assert arrived.aggregates[0].start >= after(-60)
        assert arrived.aggregates[-1].start + timedelta(seconds=60) >= after(30)


async def test_a_silent_device_is_declared_once_over_the_moment_the_time_is_learnt(tmp_path):
    kernel = SteppedKernel(DAWN)
    async with Run(tmp_path, kernel, BOOTS[0]) as run:
        await run.samples(1)
    kernel.pass_time(10)
    async with Run(tmp_path, kernel, BOOTS[0]) as run:
        kernel.pass_time(50)
        run.pipeline.tick(run.timekeeper.clock.now())
        await run.learn()
        kernel.pass_time(20)
        run.pipeline.tick(run.timekeeper.clock.now())
        await run.samples(1)
        assert [(gap.start, gap.end) for gap in (await run.arrived()).gaps] == [
            (after(1), after(81)),
            (after(81), after(82)),
        ]


async def test_a_pseudonym_from_before_the_time_was_known_ends_with_it(tmp_path):
    """Promise 2: a key that was drawn under a wrong date joins no two epochs."""
    kernel = SteppedKernel(DAWN)
    async with Run(tmp_path, kernel, BOOTS[0]) as run:
        unsure = run.pseudonyms.name(PERSON, Purpose.STATISTICS)
        kernel.pass_time(86_400)
        await run.pseudonyms.prepare(run.timekeeper.clock.stamp())
        next_day = run.pseudonyms.name(PERSON, Purpose.STATISTICS)
        await run.learn()
        await run.pseudonyms.prepare(run.timekeeper.clock.stamp())
        sure = run.pseudonyms.name(PERSON, Purpose.STATISTICS)
        assert len({unsure, next_day, sure}) == 3
        assert not list((tmp_path / "keys").glob("*unsure*"))
    async with Run(tmp_path, SteppedKernel(DAWN), BOOTS[1]) as run:
        assert run.pseudonyms.name(PERSON, Purpose.STATISTICS) == sure


async def test_what_a_channel_remembers_is_put_right_with_the_clock(tmp_path):
    kernel = SteppedKernel(DAWN)
    async with Run(tmp_path, kernel, BOOTS[0]) as run:
        await run.agree()
        await run.samples(2, STRAP)
        await run.learn()
        await run.committer.flush()
    kernel.pass_time(10)
    async with Run(tmp_path, kernel, BOOTS[0]) as run:
        await run.samples(1, STRAP)
        assert [(gap.start, gap.end) for gap in (await run.arrived()).gaps] == [(after(2), after(13))]


async def test_a_gap_tells_nothing_of_the_time_before_a_consent_whose_date_is_wrong(tmp_path):
    """Promise 2: the consent is dated 1970, the strap's last sample before it rightly."""
    kernel = SteppedKernel(DAWN)
    async with Run(tmp_path, kernel, BOOTS[0]) as run:
        run.accept(STRAP)
        await run.agree()
        await run.learn()
        kernel.pass_time(5)
        run.pipeline.link(STRAP, LinkState.LOST, run.timekeeper.clock.now())
        for seconds in (100, 300):
            kernel.pass_time(seconds)
            run.pipeline.tick(run.timekeeper.clock.now())
        await run.samples(1, STRAP)
        gaps = [(gap.start, gap.end) for gap in (await run.arrived()).gaps]
        assert gaps == [(after(105), after(105)), (after(105), after(405)), (after(405), after(406))]
