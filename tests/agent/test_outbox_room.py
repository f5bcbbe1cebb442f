"""Promise 1 when the outbox is full: the file keeps its bound, and each record that is given up is declared."""

import hashlib
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.group import Group, Lane
from cloud_sync.blob import decode
from contract.ids import AlertId
from contract.record import AlertRecord, Gap, GapReason, Measured, Range, Stream, records_in
from support.outboxes import AT, EPOCHS, RESEARCH, after, alert, check_totals, everything, group, measured, outbox_in

MIB = 2**20
MOST = 100_000


def of_level(number: int, readings: int = 100, subject: str = "river-1") -> Measured:
    """A sample that does not compress away."""
    values = [(number * 7919 + index * 104_729) % 65_536 / 10 for index in range(readings)]
    return measured(*values, subject=subject, at=after(number))


async def decoded(outbox, stream: Stream = Stream.DATA):
    return [
        record for entry in await everything(outbox, stream) if entry.part.blob for record in decode(entry.part.blob)
    ]


def lost(records) -> int:
    return sum(record.count for record in records if isinstance(record, Gap))


def kept(records) -> int:
    return sum(records_in(record) for record in records if isinstance(record, Measured))


async def fill(outbox, readings: int, polls: int = 10) -> int:
    for number in range(0, readings // 100, polls):
        records = [of_level(number + index) for index in range(polls)]
        await outbox.commit(group(*records, at=after(number)))
    return readings


async def test_a_full_outbox_stays_within_its_bound_and_counts_what_it_gives_up(tmp_path: Path):
    """The file, not an estimate of it, keeps the bound; what waits and what the gaps count is what was offered."""
    async with outbox_in(tmp_path, max_bytes=MIB) as outbox:
        offered = await fill(outbox, 400_000)
        records = await decoded(outbox)
        assert kept(records) + lost(records) == offered
        assert kept(records) > 100_000
        dropped = outbox.totals.dropped
        assert sum(dropped.values()) == lost(records)
        assert dropped[GapReason.THINNED] > 0
        assert dropped[GapReason.STORE_FULL] > 0
        await check_totals(outbox)
        assert (tmp_path / "outbox.db").stat().st_size <= MIB
    assert (tmp_path / "outbox.db").stat().st_size <= MIB


async def test_the_older_half_is_thinned_once_before_anything_is_dropped_whole(tmp_path: Path):
    async with outbox_in(tmp_path, max_bytes=MIB) as outbox:
        number = 0
        while not outbox.totals.dropped[GapReason.STORE_FULL]:
            await outbox.commit(group(*(of_level(number * 10 + index) for index in range(10)), at=after(number * 10)))
            number += 1
        records = [record for record in await decoded(outbox) if isinstance(record, Measured)]
        times = [round((record.at - AT).total_seconds()) // 10 for record in records[::10]]
        steps = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
        assert set(steps) == {1, 2}
        thinned = len(steps) - steps[::-1].index(2)
        assert steps[:thinned].count(2) > 0.75 * thinned, "every second one of the older part"
        assert 0.2 < thinned / len(steps) < 0.6
        assert outbox.totals.thinned_bytes <= outbox.totals.bytes[Stream.DATA] / 2


async def test_gaps_name_device_quantity_span_count_and_reason(tmp_path: Path):
    async with outbox_in(tmp_path, max_bytes=MIB) as outbox:
        await fill(outbox, 400_000)
        gaps = [record for record in await decoded(outbox) if isinstance(record, Gap)]
        assert {(gap.subject, gap.quantity) for gap in gaps} == {("river-1", "water_level")}
        assert {gap.reason for gap in gaps} == {GapReason.THINNED, GapReason.STORE_FULL}
        assert min(gap.start for gap in gaps) == min(gap.start for gap in gaps if gap.reason is GapReason.STORE_FULL)
        assert all(AT <= gap.start <= gap.end <= after(4000) for gap in gaps)


async def test_a_gap_that_is_given_up_is_declared_anew(tmp_path: Path):
    """A declared loss does not vanish, and gaps do not pile up: 15,000 commits leave few."""
    async with outbox_in(tmp_path, max_bytes=MIB) as outbox:
        restart = Gap("river-9", None, after(-50), after(-40), GapReason.RESTART)
        await outbox.commit(group(restart))
        offered = await fill(outbox, 1_500_000, polls=50)
        records = await decoded(outbox)
        assert restart in records
        records.remove(restart)
        assert kept(records) + lost(records) == offered
        assert sum(isinstance(record, Gap) for record in records) < 200


async def test_alerts_are_given_up_last(tmp_path: Path):
    async with outbox_in(tmp_path, max_bytes=MIB) as outbox:
        await outbox.commit(group(alert(), stream=Stream.ALERT))
        await fill(outbox, 400_000)
        assert await decoded(outbox, Stream.ALERT) == [alert()]


async def test_alerts_alone_are_dropped_from_the_oldest_with_a_gap_in_their_stream(tmp_path: Path):
    async with outbox_in(tmp_path, max_bytes=MIB) as outbox:
        offered = 0
        while not outbox.totals.dropped.get(GapReason.STORE_FULL):
            events = [varied(offered + index) for index in range(200)]
            await outbox.commit(group(*events, stream=Stream.ALERT))
            offered += 200
            assert offered < MOST
        records = await decoded(outbox, Stream.ALERT)
        (gap,) = [record for record in records if isinstance(record, Gap)]
        assert (gap.subject, gap.quantity, gap.reason, gap.start) == ("river-1", None, GapReason.STORE_FULL, AT)
        assert gap.count + len(records) - 1 == offered
        await check_totals(outbox)


async def test_what_is_given_up_of_a_person_is_declared_in_the_same_channel(tmp_path: Path):
    """Promise 2: the gap is as personal as what it stands for; a withdrawal takes both."""
    async with outbox_in(tmp_path, max_bytes=MIB) as outbox:
        for number in range(200):
            worn = [of_level(number * 10 + index, subject="pseudonym-canary") for index in range(10)]
            await outbox.commit(group(*worn, channel=RESEARCH))
        await fill(outbox, 100_000)
        for entry in await everything(outbox):
            names = {record.subject for record in decode(entry.part.blob)}
            assert names == ({"pseudonym-canary"} if entry.part.purpose else {"river-1"})
        gaps = [record for record in await decoded(outbox) if isinstance(record, Gap)]
        assert "pseudonym-canary" in {gap.subject for gap in gaps}
        await outbox.forget(*RESEARCH)
        await fill(outbox, 300_000)
        await check_totals(outbox)
    held = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"pseudonym-canary" not in held


async def test_small_sealed_blobs_keep_the_bound_too(tmp_path: Path):
    """Thinning them frees whole pages; else it would give records up and gain nothing."""
    async with outbox_in(tmp_path, max_bytes=MIB) as outbox:
        offered = 0
        for number in range(8000):
            lanes = {Lane(Stream.DATA, RESEARCH): [measured(number, subject="p", at=after(number))]}
            lanes[Lane(Stream.DATA)] = [measured(number, at=after(number))]
            await outbox.commit(Group(after(number), lanes))
            offered += 2
        records = await decoded(outbox)
        assert kept(records) + lost(records) == offered
        dropped = outbox.totals.dropped
        assert dropped[GapReason.THINNED] > 0
        of_persons = sum(record.subject == "p" for record in records if isinstance(record, Measured))
        assert 0.3 < of_persons / kept(records) < 0.7, "thinning favours nobody"
    assert (tmp_path / "outbox.db").stat().st_size <= MIB


def of_series(number: int) -> Measured:
    """One of 3,000 series of 30 devices."""
    sample = of_level(number, 1, f"sensor-{number % 30}")
    return replace(sample, members=(sample.members[0]._replace(quantity=f"register_{number % 100}"),))


async def test_many_series_get_one_gap_each_device_rather_than_more_gap_than_data(tmp_path: Path):
    async with outbox_in(tmp_path, max_bytes=MIB) as outbox:
        for number in range(100):
            await outbox.commit(group(*(of_series(number * 3000 + index) for index in range(3000))))
        records = await decoded(outbox)
        assert kept(records) + lost(records) == 100 * 3000
        assert kept(records) > 20_000
        assert {record.quantity for record in records if isinstance(record, Gap)} >= {None}
    assert (tmp_path / "outbox.db").stat().st_size <= MIB


def varied(number: int) -> AlertRecord:
    """An alert that does not compress away."""
    raised = alert(after(number))
    return replace(raised, alert=replace(raised.alert, id=AlertId(hashlib.md5(b"%d" % number).hexdigest())))  # noqa: S324


operations = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.integers(1, 40)),
        st.tuples(st.just("person"), st.integers(1, 40)),
        st.tuples(st.just("alert"), st.integers(1, 3)),
        st.tuples(st.just("remove"), st.integers(0, 60)),
        st.tuples(st.just("forget"), st.just(0)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations)
async def test_the_totals_are_what_a_scan_finds_after_any_operations(tmp_path_factory, steps):
    """A start trusts them instead of reading the whole file."""
    folder, number, epoch = tmp_path_factory.mktemp("outbox"), 0, 0
    while True:
        async with outbox_in(folder, EPOCHS[epoch % len(EPOCHS)], max_bytes=200_000) as outbox:
            await check_totals(outbox)
            while steps:
                (name, size), steps = steps[0], steps[1:]
                number += 1
                if name == "restart":
                    epoch += 1
                    break
                if name in ("commit", "person"):
                    records = [of_level(number * 50 + index) for index in range(size)]
                    await outbox.commit(group(*records, channel=RESEARCH if name == "person" else None))
                elif name == "alert":
                    await outbox.commit(group(*[alert()] * size, stream=Stream.ALERT))
                elif name == "remove":
                    entries = await everything(outbox)
                    await outbox.remove([entry.part.range for entry in entries[size % 5 :: 3]])
                else:
                    await outbox.forget(*RESEARCH)
                await check_totals(outbox)
            else:
                return


async def test_receipts_for_what_was_given_up_meanwhile_harm_nothing(tmp_path: Path):
    async with outbox_in(tmp_path, max_bytes=MIB) as outbox:
        await fill(outbox, 400_000)
        await outbox.remove([Range(EPOCHS[0], Stream.DATA, 1, 399_000)])
        await check_totals(outbox)
