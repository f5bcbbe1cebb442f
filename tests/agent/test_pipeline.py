"""The straight line of a sample: consent before disk, health before privacy, gaps declared, alarms kept."""

import asyncio
import threading
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent import consent as consent_module
from agent import outbox_schema
from agent.actuators import Actuators, Led
from agent.alarms import Alarms
from agent.anonymise import ServiceHours
from agent.commit import Committer
from agent.consent import Change, ConsentBook
from agent.continuity import Continuity
from agent.outbox import Outbox
from agent.personal import PersonalRelease
from agent.pipeline import Pipeline, Source
from agent.pseudonym_book import PseudonymBook
from agent.rules.registry import RULES
from agent.seal import KeyFolder
from agent.store import Database
from cloud_sync.blob import decode
from cloud_sync.uplink import Page, Stretch
from contract.alert import Transition
from contract.consent import Purpose
from contract.device import LinkState
from contract.errors import Refused
from contract.ids import AlertId, DeviceId, Epoch, PersonId
from contract.record import Aggregate, AlertRecord, Gap, GapReason, Measured, Stream
from contract.sample import ClockQuality, Flag, Member, Position, Reading, Sample, Series, Stamp
from support.outboxes import everything
from support.waiting import until

NOON = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
PERSON = PersonId("resident-1")
RIVER, STRAP, BUS = DeviceId("river-1"), DeviceId("strap-1"), DeviceId("bus-1")
HOURS = ServiceHours(datetime(2026, 1, 1, 5).time(), datetime(2026, 1, 1, 22).time())
SOURCES = [Source(RIVER, None, None), Source(STRAP, PERSON, None), Source(BUS, None, HOURS)]


def sample(device: DeviceId, at: datetime, *members: Member) -> Sample:
    return Sample(device, Stamp(at, at.timestamp() % 1e6, ClockQuality.SYNCHRONISED), members)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def pulse(seconds: float, bpm: float) -> Sample:
    rr = 60 / bpm
    return sample(STRAP, after(seconds), Reading("heart_rate", bpm), Series("rr_interval", (rr,), (0.0,)))


def level(seconds: float, metres: float) -> Sample:
    return sample(RIVER, after(seconds), Reading("water_level", metres))


class Gateway:
    """The parts of one agent run over a state folder, without drivers and hub."""

    def __init__(self, folder: Path, consents: ConsentBook, outbox: Outbox, resumed, leds=()) -> None:
        self.consents, self.outbox = consents, outbox
        self.seen: list[object] = []
        self.pseudonyms = PseudonymBook(KeyFolder(folder / "keys"), [PERSON])
        self.committer = Committer(outbox, 0.001, lambda: NOON)
        self.personal = PersonalRelease(consents, self.pseudonyms, self.committer)
        ids = iter(range(1, 1000))
        build = {
            RIVER: {"river": ("river_stage", {"device": "river-1", "stage": [{"level": 1, "threshold_m": 1.0}]})},
            STRAP: {"pulse": ("pulse_high_at_rest", {"limit_bpm": 120, "window_s": 20})},
        }
        rules = {
            device: {
                name: RULES[kind].build(RULES[kind].Config(**config), lambda: AlertId(f"{next(ids):032x}"))
                for name, (kind, config) in named.items()
            }
            for device, named in build.items()
        }
        self.alarms = Alarms(rules)
        self.alarms.resume(resumed.alarms)
        last = {**resumed.things, **self.personal.resume(resumed.states)}
        self.actuators = Actuators(leds)
        self.pipeline = Pipeline(
            SOURCES,
            consents,
            self.personal,
            self.committer,
            Continuity(last, NOON),
            self.alarms,
            self.actuators,
            self.seen.append,
        )
        self.committer.before_write(self.pipeline.snapshot)
        self.committer.on_loss(self.pipeline.lost)

    async def agree(self, purpose: Purpose, on: bool = True) -> None:
        await self.pipeline.change_consent(Change(PERSON, purpose, on, None, NOON, "resident"), self.outbox)

    async def records(self, stream: Stream = Stream.DATA):
        await self.committer.flush()
        entries = await self.outbox.peek(stream, Stretch(0), Page(10_000, 2**30))
        return [
            (entry.part.purpose, record) for entry in entries if entry.part.blob for record in decode(entry.part.blob)
        ]


@asynccontextmanager
async def gateway_in(folder: Path, leds=(), epoch: str = "1" * 16):
    async with (
        Database(folder / "consent.db", consent_module.MIGRATIONS) as consent_file,
        Database(folder / "outbox.db", outbox_schema.MIGRATIONS) as outbox_file,
    ):
        consents = ConsentBook(consent_file, [PERSON])
        await consents.load()
        outbox = Outbox(outbox_file, KeyFolder(folder / "keys"), Epoch(epoch), 1000)
        gateway = Gateway(folder, consents, outbox, await outbox.open(NOON), leds)
        await gateway.pseudonyms.prepare(Stamp(NOON, 1.0, ClockQuality.SYNCHRONISED))
        yield gateway


async def test_a_things_sample_is_durable_when_its_ticket_says_so(tmp_path):
    async with gateway_in(tmp_path) as gateway:
        ticket = gateway.pipeline.accept(level(0, 0.5))
        await gateway.committer.flush()
        await ticket.durable()
        ((purpose, record),) = await gateway.records()
        assert purpose is None
        assert record == Measured(RIVER, NOON, ClockQuality.SYNCHRONISED, (Reading("water_level", 0.5, Flag.GOOD),))


async def test_an_impossible_value_is_kept_flagged_and_raises_nothing(tmp_path):
    async with gateway_in(tmp_path) as gateway:
        gateway.pipeline.accept(level(0, 77.0))
        ((_, record),) = await gateway.records()
        assert record.members == (Reading("water_level", 77.0, Flag.FAIL),)
        assert await gateway.records(Stream.ALERT) == []


async def test_without_consent_nothing_of_a_person_touches_the_disk(tmp_path):
    """Promise 2."""
    async with gateway_in(tmp_path) as gateway:
        for second in range(40):
            gateway.pipeline.accept(pulse(second, 171))
        assert await gateway.records() == []
        assert await gateway.records(Stream.ALERT) == []
        assert gateway.outbox.withheld == 40
        assert gateway.alarms.active() == ()
        assert b"171" not in b"".join(p.read_bytes() for p in tmp_path.rglob("*.db*"))


async def test_research_gets_a_pseudonym_and_keep_hub_the_account_each_in_a_blob_of_its_own(tmp_path):
    async with gateway_in(tmp_path) as gateway:
        await gateway.agree(Purpose.RESEARCH)
        await gateway.agree(Purpose.KEEP_HUB)
        gateway.pipeline.accept(pulse(0, 71))
        by_purpose = dict(await gateway.records())
        assert by_purpose[Purpose.KEEP_HUB].subject == PERSON
        assert by_purpose[Purpose.RESEARCH].subject == gateway.personal.subjects(PERSON)[Purpose.RESEARCH]
        assert PERSON not in by_purpose[Purpose.RESEARCH].subject
        assert by_purpose[Purpose.RESEARCH].members == by_purpose[Purpose.KEEP_HUB].members
        assert gateway.outbox.withheld == 0


async def test_statistics_alone_lets_only_aggregates_leave(tmp_path):
    async with gateway_in(tmp_path) as gateway:
        await gateway.agree(Purpose.STATISTICS)
        for second in range(61):
            gateway.pipeline.accept(pulse(second, 70))
        ((purpose, record),) = await gateway.records()
        assert purpose is Purpose.STATISTICS
        assert isinstance(record, Aggregate)
        assert (record.count, record.mean, record.samples) == (60, 70, 60)
        assert gateway.personal.open_samples() == 1
        gateway.pipeline.tick(after(200))
        await gateway.committer.flush()
        assert (gateway.personal.open_samples(), gateway.outbox.withheld) == (0, 1)


async def test_an_open_window_survives_a_kill(tmp_path):
    """Promise 1: what was counted into an aggregate is not lost with the process."""
    async with gateway_in(tmp_path) as gateway:
        await gateway.agree(Purpose.STATISTICS)
        for second in range(30):
            gateway.pipeline.accept(pulse(second, 70))
        await gateway.committer.flush()
    async with gateway_in(tmp_path, epoch="2" * 16) as gateway:
        assert gateway.personal.open_samples() == 30
        gateway.pipeline.accept(pulse(61, 70))
        records = [record for _, record in await gateway.records()]
        assert [record.samples for record in records if isinstance(record, Aggregate)] == [30]
        assert [(gap.start, gap.end) for gap in records if isinstance(gap, Gap)] == [(after(29), after(61))]


async def test_a_withdrawal_takes_back_what_waits_and_stops_what_comes(tmp_path):
    """Promise 2, also for what is still in memory and in an open window."""
    async with gateway_in(tmp_path) as gateway:
        await gateway.agree(Purpose.RESEARCH)
        await gateway.agree(Purpose.STATISTICS)
        gateway.pipeline.accept(pulse(0, 71))
        await gateway.committer.flush()
        gateway.pipeline.accept(pulse(1, 72))
        await gateway.agree(Purpose.RESEARCH, False)
        await gateway.agree(Purpose.STATISTICS, False)
        gateway.pipeline.accept(pulse(2, 73))
        assert await gateway.records() == []
        assert gateway.personal.open_samples() == 0


async def test_a_health_alert_reaches_only_those_who_may_hear_of_it(tmp_path):
    async with gateway_in(tmp_path) as gateway:
        await gateway.agree(Purpose.ALERT_SELF)
        for second in range(40):
            gateway.pipeline.accept(pulse(second, 140))
        assert [record.alert.transition for record in gateway.alarms.active()] == [Transition.RAISED]
        assert await gateway.records(Stream.ALERT) == []
    async with gateway_in(tmp_path, epoch="2" * 16) as gateway:
        assert len(gateway.alarms.active()) == 1
        await gateway.agree(Purpose.HEALTH_CENTRE)
        for second in range(50, 120):
            gateway.pipeline.accept(pulse(second, 70))
        ((purpose, record),) = await gateway.records(Stream.ALERT)
        assert (purpose, record.subject, record.alert.transition) == (Purpose.HEALTH_CENTRE, PERSON, Transition.CLEARED)
        assert await gateway.records() == []


async def test_a_river_alert_keeps_its_id_over_a_restart_and_drives_the_lamp(tmp_path):
    """Promise 3: the lamp is on before the hub or the disk know, and an alert is not raised twice."""
    leds = [Led("lamp-1", tmp_path, frozenset({"river_stage"}))]
    async with gateway_in(tmp_path, leds) as gateway:
        gateway.pipeline.accept(level(0, 1.2))
        ((_, first),) = await gateway.records(Stream.ALERT)
    async with gateway_in(tmp_path, leds, "2" * 16) as gateway:
        gateway.pipeline.accept(level(10, 1.3))
        gateway.pipeline.accept(level(20, 0.2))
        events = [record.alert for _, record in await gateway.records(Stream.ALERT) if isinstance(record, AlertRecord)]
        assert [event.transition for event in events] == [Transition.RAISED, Transition.CLEARED]
        assert {event.id for event in events} == {first.alert.id}


async def test_a_lost_device_leaves_a_gap_when_it_speaks_again(tmp_path):
    async with gateway_in(tmp_path) as gateway:
        gateway.pipeline.accept(level(0, 0.5))
        gateway.pipeline.link(RIVER, LinkState.LOST, after(3))
        gateway.pipeline.accept(level(9, 0.5))
        gaps = [record for _, record in await gateway.records() if isinstance(record, Gap)]
        assert gaps == [Gap(RIVER, None, after(0), after(9), GapReason.UNREACHABLE)]


async def test_what_a_driver_could_not_take_is_a_gap_before_the_next_sample(tmp_path):
    async with gateway_in(tmp_path) as gateway:
        gateway.pipeline.accept(level(0, 0.5))
        gateway.pipeline.overloaded(RIVER, after(3))
        gateway.pipeline.accept(level(4, 0.5))
        gaps = [record for _, record in await gateway.records() if isinstance(record, Gap)]
        assert gaps == [Gap(RIVER, None, after(0), after(4), GapReason.OVERLOAD)]


async def test_a_restart_declares_what_the_last_commit_interval_cost(tmp_path):
    async with gateway_in(tmp_path) as gateway:
        gateway.pipeline.accept(level(0, 0.5))
        await gateway.committer.flush()
        gateway.pipeline.accept(level(1, 0.6))
    async with gateway_in(tmp_path, epoch="2" * 16) as gateway:
        gateway.pipeline.accept(level(5, 0.7))
        gaps = [record for _, record in await gateway.records() if isinstance(record, Gap)]
        assert gaps == [Gap(RIVER, None, after(0), after(5), GapReason.RESTART)]


async def test_a_bus_out_of_service_leaves_only_its_mesh_cell(tmp_path):
    """Promise 2: where a bus rests, its driver lives."""
    async with gateway_in(tmp_path) as gateway:
        fix = Position(33.957831, 130.941459, 3.0, 90.0)
        gateway.pipeline.accept(sample(BUS, NOON, fix, Reading("satellites", 9)))
        night = NOON + timedelta(hours=13)
        gateway.pipeline.accept(sample(BUS, night, fix, Reading("satellites", 9)))
        (_, by_day), (_, by_night) = await gateway.records()
        assert by_day.members[0] == fix._replace(flag=Flag.GOOD)
        assert by_night.members == (Reading("mesh_cell", 503077453.0, Flag.GOOD),)


async def test_a_pulse_from_a_device_without_a_person_never_leaves(tmp_path):
    """Promise 2, also when a plug-in's device was configured without its wearer."""
    async with gateway_in(tmp_path) as gateway:
        gateway.pipeline.accept(sample(RIVER, NOON, Reading("heart_rate", 71)))
        assert await gateway.records() == []
        assert gateway.outbox.withheld == 1


async def test_a_commit_that_is_cancelled_anywhere_is_neither_lost_nor_repeated(tmp_path):
    """Promise 1, when the gateway is told to stop in the middle of a commit."""
    async with gateway_in(tmp_path) as gateway:
        for number in range(60):
            for step in range(100):
                gateway.pipeline.accept(level(number * 100 + step, 0.5))
            task = asyncio.ensure_future(gateway.committer.flush())
            for _ in range(number // 4):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        records = [record for _, record in await gateway.records() if isinstance(record, Measured)]
        assert [record.at for record in records] == [after(number) for number in range(6000)]


async def test_a_full_disk_is_waited_for_and_a_stop_meanwhile_loses_nothing_in_silence(tmp_path):
    """Promise 1: what memory held is written once there is room, in order."""
    async with gateway_in(tmp_path) as gateway:
        await gateway.outbox._database.write(lambda connection: connection.execute("PRAGMA max_page_count = 1"))
        for step in range(3000):
            gateway.pipeline.accept(level(step, step / 7))
        task = asyncio.ensure_future(gateway.committer.flush())
        await until(lambda: gateway.committer._is_failing)
        gateway.pipeline.accept(level(3000, 0.5))
        task.cancel()
        await asyncio.wait([task])
        await gateway.outbox._database.write(lambda connection: connection.execute("PRAGMA max_page_count = 100000"))
        records = [record for _, record in await gateway.records() if isinstance(record, Measured)]
        assert [record.at for record in records] == [after(number) for number in range(3001)]


async def test_the_place_of_a_fixed_device_is_told_once(tmp_path):
    async with gateway_in(tmp_path) as gateway:
        stamp = Stamp(NOON, 1.0, ClockQuality.SYNCHRONISED)
        gateway.pipeline.place(RIVER, stamp, Position(33.95, 130.94, flag=Flag.GOOD))
        ((_, record),) = await gateway.records()
        assert record.members == (Position(33.95, 130.94, None, None, Flag.GOOD),)


async def test_a_withdrawal_acts_also_while_the_disk_is_full(tmp_path):
    """Promise 2 does not wait for room on a disk."""
    async with gateway_in(tmp_path) as gateway:
        await gateway.agree(Purpose.RESEARCH)
        gateway.pipeline.accept(pulse(0, 71))
        await gateway.committer.flush()
        await gateway.outbox._database.write(lambda connection: connection.execute("PRAGMA max_page_count = 1"))
        for step in range(3000):
            gateway.pipeline.accept(pulse(step, 60 + step / 70))
        task = asyncio.ensure_future(gateway.committer.flush())
        await until(lambda: gateway.committer._is_failing)
        async with asyncio.timeout(2):
            await gateway.agree(Purpose.RESEARCH, False)
        await gateway.outbox._database.write(lambda connection: connection.execute("PRAGMA max_page_count = 100000"))
        await asyncio.wait([task])
        gateway.pipeline.accept(pulse(3000, 73))
        assert await gateway.records() == []
        assert gateway.outbox.withheld == 3002


@pytest.mark.parametrize("turns", range(60))
async def test_a_withdrawal_in_the_middle_of_a_commit_leaves_nothing_readable(tmp_path, turns):
    """Promise 2, wherever the commit just is."""
    async with gateway_in(tmp_path) as gateway:
        await gateway.agree(Purpose.RESEARCH)
        for step in range(2000):
            gateway.pipeline.accept(pulse(step, 60 + step / 70))
        task = asyncio.ensure_future(gateway.committer.flush())
        for _ in range(turns):
            await asyncio.sleep(0)
        await gateway.agree(Purpose.RESEARCH, False)
        await asyncio.wait([task])
        assert await gateway.records() == []
        assert gateway.outbox.withheld == 2000
        assert [path.name for path in (tmp_path / "keys").glob("channel-*")] == []


async def test_a_withdrawal_that_is_refused_changes_nothing(tmp_path):
    async with gateway_in(tmp_path) as gateway:
        await gateway.agree(Purpose.RESEARCH)
        gateway.pipeline.accept(pulse(0, 71))
        await gateway.committer.flush()
        with pytest.raises(Refused):
            await gateway.pipeline.change_consent(
                Change(PERSON, Purpose.RESEARCH, False, 99, NOON, "resident"), gateway.outbox
            )
        gateway.pipeline.accept(pulse(1, 72))
        assert len(await gateway.records()) == 2


async def test_a_withdrawal_takes_back_what_waits_while_the_consents_cannot_be_written(tmp_path):
    """Promise 2: the disk may take as long as it likes."""
    async with gateway_in(tmp_path) as gateway:
        await gateway.agree(Purpose.RESEARCH)
        gateway.pipeline.accept(pulse(0, 71))
        await gateway.committer.flush()
        goes_on = threading.Event()
        slow = asyncio.ensure_future(gateway.consents._database.beside(lambda: goes_on.wait(10)))
        task = asyncio.ensure_future(gateway.agree(Purpose.RESEARCH, False))
        await until(lambda: gateway.outbox.withheld == 1, limit_s=2)
        assert await gateway.records() == []
        assert not task.done()
        goes_on.set()
        await slow
        await task
        assert gateway.consents.on(PERSON) == frozenset()
        assert gateway.outbox.withheld == 1


async def test_a_gap_does_not_tell_of_the_time_before_the_consent(tmp_path):
    """Promise 2: when a strap last spoke before its wearer agreed is nobody's to know."""
    async with gateway_in(tmp_path) as gateway:
        gateway.pipeline.accept(pulse(-600, 71))
        gateway.pipeline.link(STRAP, LinkState.LOST, after(-500))
        await gateway.agree(Purpose.RESEARCH)
        gateway.pipeline.accept(pulse(10, 71))
        ((start, end),) = [(gap.start, gap.end) for _, gap in await gateway.records() if isinstance(gap, Gap)]
        assert (start, end) == (NOON, after(10))


async def test_an_alarm_about_a_pulse_ends_with_the_last_consent_to_judge_it(tmp_path):
    """Otherwise the lamp would be on for ever: nothing is evaluated that could clear it."""
    leds = [Led("lamp-1", tmp_path, frozenset({"pulse_high_at_rest"}))]
    async with gateway_in(tmp_path, leds) as gateway:
        lamps = asyncio.ensure_future(gateway.actuators.run())
        await gateway.agree(Purpose.ALERT_SELF)
        await gateway.agree(Purpose.HEALTH_CENTRE)
        for second in range(40):
            gateway.pipeline.accept(pulse(second, 140))
        await gateway.agree(Purpose.HEALTH_CENTRE, False)
        await until(lambda: (tmp_path / "brightness").read_text() == "1")
        await gateway.agree(Purpose.ALERT_SELF, False)
        await until(lambda: (tmp_path / "brightness").read_text() == "0")
        assert await gateway.records(Stream.ALERT) == []
        lamps.cancel()
        await asyncio.wait([lamps])
    async with gateway_in(tmp_path, leds, "2" * 16) as gateway:
        assert gateway.alarms.active() == ()


async def test_a_damaged_outbox_stops_neither_the_committer_nor_what_is_judged(tmp_path):
    """Promise 3: alarms go on; promise 1: the next commit lies in a new file, with all that still read."""
    async with gateway_in(tmp_path) as gateway:
        gateway.pipeline.accept(level(0, 0.5))
        await gateway.committer.flush()
        damage = "INSERT INTO sqlite_schema VALUES ('table', 'entry', 'entry', 2, 'damage')"
        await gateway.outbox._database.write(lambda connection: connection.execute("PRAGMA writable_schema = ON"))
        await gateway.outbox._database.write(lambda connection: connection.execute(damage))
        await gateway.outbox._database.write(lambda connection: connection.execute("PRAGMA writable_schema = RESET"))
        task = asyncio.ensure_future(gateway.committer.run())
        gateway.pipeline.accept(level(1, 1.2))
        await until(lambda: gateway.outbox.generation or task.done())
        assert not task.done()
        assert len(gateway.alarms.active()) == 1
        gateway.pipeline.accept(level(2, 1.3))
        records = [record for _, record in await gateway.records()]
        assert [record.members[0].value for record in records] == [0.5, 1.2, 1.3]
        task.cancel()
        await asyncio.wait([task])


async def test_what_is_no_number_is_no_value(tmp_path):
    async with gateway_in(tmp_path) as gateway:
        wrong = [
            Reading("water_level", float("nan")),
            Position(float("inf"), 1.0),
            Series("rr_interval", (1.0,), (float("nan"),)),
        ]
        for member in wrong:
            gateway.pipeline.accept(
                sample(RIVER, NOON, member._replace(quantity="raw_value") if isinstance(member, Series) else member)
            )
        records = [record for _, record in await gateway.records()]
        assert [member.value for record in records for member in record.members] == [None] * 3


async def test_a_clock_that_may_be_wrong_opens_no_service_hours_and_ends_no_pseudonym(tmp_path):
    """Promise 2 on a gateway that has just been switched on."""
    async with gateway_in(tmp_path) as gateway:
        unsure = Stamp(NOON, 1.0, ClockQuality.UNSYNCHRONISED)
        gateway.pipeline.accept(Sample(BUS, unsure, (Position(33.957831, 130.941459),)))
        ((_, record),) = await gateway.records()
        assert record.members == (Reading("mesh_cell", 503077453.0, Flag.GOOD),)
        name = gateway.pseudonyms.name(PERSON, Purpose.RESEARCH)
        await gateway.pseudonyms.prepare(Stamp(datetime(1970, 1, 1, tzinfo=UTC), 1.0, ClockQuality.UNSYNCHRONISED))
        assert gateway.pseudonyms.name(PERSON, Purpose.RESEARCH) == name
        await gateway.pseudonyms.prepare(Stamp(NOON + timedelta(days=40), 1.0, ClockQuality.SYNCHRONISED))
        assert gateway.pseudonyms.name(PERSON, Purpose.RESEARCH) != name


async def test_what_is_lost_with_a_deleted_outbox_is_a_gap_of_every_known_device_once(tmp_path):
    """Promise 1: the marks went with the file, the witness beside it knows since when and of which things."""
    async with gateway_in(tmp_path) as gateway:
        await gateway.agree(Purpose.RESEARCH)
        gateway.pipeline.accept(level(0, 0.5))
        gateway.pipeline.accept(pulse(1, 71))
        await gateway.committer.flush()
        await gateway.outbox.attest()
    (tmp_path / "outbox.db").unlink()
    for epoch, expected in (("2" * 16, {(None, "river-1"), (Purpose.RESEARCH, None)}), ("3" * 16, set())):
        async with gateway_in(tmp_path, epoch=epoch) as gateway:
            before = {entry.part.range.epoch for entry in await everything(gateway.outbox)}
            gateway.pipeline.accept(level(60, 0.7))
            gaps = [
                (entry.part.purpose, record)
                for entry in (await gateway.committer.flush(), await everything(gateway.outbox))[1]
                for record in decode(entry.part.blob)
                if entry.part.range.epoch not in before and isinstance(record, Gap)
            ]
            damaged = [(purpose, gap) for purpose, gap in gaps if gap.reason is GapReason.DAMAGED]
            assert {(purpose, None if purpose else gap.subject) for purpose, gap in damaged} == expected
            assert all(gap.count is None for _, gap in damaged)
