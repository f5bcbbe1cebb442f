"""Nothing lost, nothing twice, and nothing readable that a person withdrew: the outbox across receipts and restarts."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.commit import Committer
from agent.group import Group, Lane
from agent.receipt_ledger import KEPT_EPOCHS
from agent.seal import KeyFolder
from cloud_sync.blob import decode
from cloud_sync.envelope import MAX_RECEIPTED
from contract.boot import BootId, BootTime, TimeBase
from contract.consent import Purpose
from contract.errors import StoreFull
from contract.ids import DeviceId, Epoch
from contract.record import Range, Stream, records_in
from support.outboxes import AT, EPOCHS, RESEARCH, everything, gap, measured, outbox_in


def group(stream: Stream = Stream.DATA, channel=None, *records, **more) -> Group:
    lane = Lane(stream, channel)
    return Group(AT, {lane: list(records)}, {lane: len(records)}, **more)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(1, 7), min_size=1, max_size=6), min_size=1, max_size=5), st.integers(1, 9))
async def test_numbers_are_consecutive_and_fit_what_the_blobs_hold(tmp_path_factory, groups, batch_records):
    """Promise 1: each record has one number, whatever the size of groups, samples and messages."""
    async with outbox_in(tmp_path_factory.mktemp("outbox"), batch_records=batch_records) as outbox:
        for sizes in groups:
            await outbox.commit(group(Stream.DATA, None, *(measured(*range(size)) for size in sizes), gap()))
        expected = 1
        for entry in await everything(outbox):
            assert entry.part.range.first == expected
            expected += sum(map(records_in, decode(entry.part.blob)))
            assert entry.part.range.last == expected - 1
        assert outbox.waiting[Stream.DATA] == expected - 1


async def test_only_the_receipted_range_is_taken_out(tmp_path):
    async with outbox_in(tmp_path) as outbox:
        for value in range(3):
            await outbox.commit(group(Stream.DATA, None, measured(value)))
        await outbox.remove([Range(EPOCHS[0], Stream.DATA, 2, 2), Range(EPOCHS[5], Stream.DATA, 1, 3)])
        assert [entry.part.range.first for entry in await everything(outbox)] == [1, 3]
        assert outbox.waiting[Stream.DATA] == 2


async def test_a_receipt_for_half_a_blob_takes_nothing_out(tmp_path):
    async with outbox_in(tmp_path) as outbox:
        await outbox.commit(group(Stream.DATA, None, measured(1, 2, 3)))
        await outbox.remove([Range(EPOCHS[0], Stream.DATA, 1, 2)])
        assert outbox.waiting[Stream.DATA] == 3


async def test_rows_keep_the_epoch_they_were_written_in_and_an_emptied_outbox_starts_no_number_again(tmp_path):
    """Promise 1: after a restart old rows and new rows never share a name, also when nothing was left."""
    async with outbox_in(tmp_path, EPOCHS[0]) as outbox:
        await outbox.commit(group(Stream.DATA, None, measured(1)))
    async with outbox_in(tmp_path, EPOCHS[1]) as outbox:
        await outbox.commit(group(Stream.DATA, None, measured(2)))
        entries = await everything(outbox)
        assert [entry.part.range.epoch for entry in entries] == EPOCHS[:2]
        await outbox.remove([entry.part.range for entry in entries])
    async with outbox_in(tmp_path, EPOCHS[2]) as outbox:
        await outbox.commit(group(Stream.DATA, None, measured(3)))
        (entry,) = await everything(outbox)
        assert entry.part.range == Range(EPOCHS[2], Stream.DATA, 1, 1)


async def test_alerts_have_a_stream_of_their_own(tmp_path):
    async with outbox_in(tmp_path) as outbox:
        await outbox.commit(group(Stream.DATA, None, measured(1)))
        await outbox.commit(group(Stream.ALERT, None, gap()))
        (entry,) = await everything(outbox, Stream.ALERT)
        assert entry.part.range == Range(EPOCHS[0], Stream.ALERT, 1, 1)
        await outbox.added(Stream.ALERT)


async def test_what_a_restart_needs_comes_back(tmp_path):
    states = {RESEARCH: {"last": {"strap-1": 5}}}
    async with outbox_in(tmp_path) as outbox:
        more = {"things": {DeviceId("river-1"): AT}, "states": states, "alarms": {"r": {"on": 1}}, "withheld": 4}
        await outbox.commit(group(Stream.DATA, RESEARCH, measured(71), **more))
    async with outbox_in(tmp_path, EPOCHS[1]) as outbox:
        assert outbox.resumed.things == {"river-1": AT}
        assert outbox.resumed.states == states
        assert outbox.resumed.alarms == {"r": {"on": 1}}
        assert outbox.withheld == 4
        assert [(end - start).total_seconds() for start, end in outbox.downtime] == [1.0]


def bytes_on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


async def test_personal_records_rest_sealed_and_leave_with_their_purpose(tmp_path):
    """Promise 2: neither the value nor the pseudonym stands readable in any file of the gateway."""
    async with outbox_in(tmp_path) as outbox:
        await outbox.commit(group(Stream.DATA, RESEARCH, measured(71.25, subject="pseudonym-canary")))
        assert b"pseudonym-canary" not in bytes_on_disk(tmp_path)
        assert b"71.25" not in bytes_on_disk(tmp_path)
        (entry,) = await everything(outbox)
        assert entry.part.purpose is Purpose.RESEARCH
        assert decode(entry.part.blob) == [measured(71.25, subject="pseudonym-canary")]


async def test_forgetting_leaves_tombstones_that_keep_the_numbers(tmp_path):
    """Promise 2: a withdrawal destroys what waits; promise 1: the hub still sees every number."""
    async with outbox_in(tmp_path) as outbox:
        await outbox.commit(group(Stream.DATA, RESEARCH, measured(71), measured(72), states={RESEARCH: {"w": 1}}))
        await outbox.commit(group(Stream.DATA, None, measured(1.5)))
        assert await outbox.forget(*RESEARCH) == 2
        assert await outbox.forget(*RESEARCH) == 0
        tombstone, thing = await everything(outbox)
        assert (tombstone.part.blob, tombstone.part.range[2:]) == (b"", (1, 2))
        assert decode(thing.part.blob) == [measured(1.5)]
        assert outbox.withheld == 2
    assert [path.stem for path in (tmp_path / "keys").iterdir()] == ["alarms"]
    async with outbox_in(tmp_path, EPOCHS[1]) as outbox:
        assert outbox.resumed.states == {}
        assert outbox.withheld == 2


async def test_a_cut_in_the_middle_of_forgetting_leaves_nothing_readable(tmp_path):
    """The key goes first; what it sealed then reads as a tombstone, also once a new key has been made."""
    async with outbox_in(tmp_path) as outbox:
        await outbox.commit(group(Stream.DATA, RESEARCH, measured(71), states={RESEARCH: {"w": 1}}))
    KeyFolder(tmp_path / "keys").destroy("channel-1")
    async with outbox_in(tmp_path, EPOCHS[1]) as outbox:
        assert outbox.resumed.states == {}
        assert [entry.part.blob for entry in await everything(outbox)] == [b""]
        await outbox.commit(group(Stream.DATA, RESEARCH, measured(73)))
        assert [len(entry.part.blob) > 0 for entry in await everything(outbox)] == [False, True]


async def test_a_full_disk_takes_nothing_and_skips_no_number(tmp_path):
    """Promise 1: a refused group leaves no trace, and the next one goes on where the last good one ended."""
    async with outbox_in(tmp_path) as outbox:
        await outbox.commit(group(Stream.DATA, None, measured(1)))
        await outbox._database.write(lambda connection: connection.execute("PRAGMA max_page_count = 20"))
        big = group(Stream.DATA, None, *(measured(*[index * 0.1 + n for n in range(400)]) for index in range(400)))
        with pytest.raises(StoreFull):
            await outbox.commit(big)
        await outbox._database.write(lambda connection: connection.execute("PRAGMA max_page_count = 100000"))
        await outbox.commit(group(Stream.DATA, None, measured(2)))
        assert [entry.part.range.first for entry in await everything(outbox)] == [1, 2]


async def test_a_damaged_file_is_set_aside_and_the_gateway_goes_on(tmp_path, caplog):
    """Promise 3: a gateway that does not start rings no alarm; the file is kept for whoever can read it."""
    for number in (1, 2):
        (tmp_path / "outbox.db").write_bytes(b"not a database at all, " * 100)
        async with outbox_in(tmp_path) as outbox:
            await outbox.commit(group(Stream.DATA, None, measured(1)))
            assert len(await everything(outbox)) == 1
        assert (tmp_path / f"outbox.db.damaged-{number}").read_bytes().startswith(b"not a database")
    assert caplog.text.count("was set aside") == 2


def test_a_key_whose_destruction_was_cut_off_seals_nothing_more(tmp_path):
    """Promise 2: a power cut between overwriting a key and removing it leaves zeros, which everybody knows."""
    KeyFolder(tmp_path).key("channel-1")
    (tmp_path / "channel-1.key").write_bytes(bytes(32))
    assert any(KeyFolder(tmp_path).key("channel-1"))


async def test_a_sealed_record_that_does_not_open_is_not_passed_over_in_silence(tmp_path, caplog):
    """Promise 1: its numbers go out as a tombstone, and the log says that something is lost, once."""
    async with outbox_in(tmp_path) as outbox:
        await outbox.commit(group(Stream.DATA, RESEARCH, measured(71)))
        await everything(outbox)
        assert "do not open" not in caplog.text
    (tmp_path / "keys" / "channel-1.key").write_bytes(bytes(range(32)))
    async with outbox_in(tmp_path, EPOCHS[1]) as outbox:
        for _ in range(2):
            assert [entry.part.blob for entry in await everything(outbox)] == [b""]
    assert caplog.text.count("do not open") == 1


BASE = TimeBase(BootId("b" * 32), 1_000)


async def test_records_on_different_clocks_never_share_a_blob(tmp_path):
    """Promise 1: one correction of a blob's times is right for all that it holds."""
    async with outbox_in(tmp_path) as outbox:
        lanes = [Lane(Stream.DATA), Lane(Stream.DATA, None, BASE), Lane(Stream.DATA, RESEARCH, BASE)]
        await outbox.commit(Group(AT, {lane: [measured(1)] for lane in lanes}))
    async with outbox_in(tmp_path, EPOCHS[1]) as outbox:
        entries = await everything(outbox)
        assert [entry.boot for entry in entries] == [None, BASE.boot, BASE.boot]
        assert [entry.boot for entry in await outbox.again([entry.id for entry in entries])] == [None, *[BASE.boot] * 2]
        learnt = {BASE.boot: BootTime(BASE.boot, 61_000)}
        times = [record.at - AT for entry in entries for record in decode(entry.part.blob, learnt)]
        assert times == [timedelta(0), timedelta(minutes=1), timedelta(minutes=1)]


async def test_the_committer_puts_records_where_the_clock_of_the_moment_belongs(tmp_path):
    async with outbox_in(tmp_path) as outbox:
        bases = iter([BASE, BASE, None, None, None])
        committer = Committer(outbox, 0.0, lambda: AT, lambda: next(bases))
        for value in (1, 2):
            committer.add(Stream.DATA, None, measured(value))
            committer.count_sample(None)
        await committer.flush()
        assert [entry.boot for entry in await everything(outbox)] == [BASE.boot, None]


async def test_what_was_receipted_is_known_after_a_restart(tmp_path):
    """Promise 1: the gateway can tell a hub that was restored from a backup what it has lost."""
    async with outbox_in(tmp_path) as outbox:
        for value in range(6):
            await outbox.commit(group(Stream.DATA, None, measured(value)))
        await outbox.remove([Range(EPOCHS[0], Stream.DATA, first, first) for first in (1, 2, 5)])
        await outbox.remove([Range(EPOCHS[0], Stream.DATA, 3, 3), Range(EPOCHS[4], Stream.DATA, 1, 9)])
    async with outbox_in(tmp_path, EPOCHS[1]) as outbox:
        await outbox.commit(group(Stream.ALERT, None, gap()))
        await outbox.remove([Range(EPOCHS[1], Stream.ALERT, 1, 1), Range(EPOCHS[0], Stream.DATA, 4, 4)])
        assert outbox.receipted() == (Range(EPOCHS[1], Stream.ALERT, 1, 1), Range(EPOCHS[0], Stream.DATA, 1, 5))


async def test_a_receipt_counts_only_for_numbers_that_were_given(tmp_path):
    async with outbox_in(tmp_path) as outbox:
        await outbox.commit(group(Stream.DATA, None, measured(1, 2)))
        await outbox.remove([Range(EPOCHS[0], Stream.DATA, 1, 9), Range(EPOCHS[0], Stream.ALERT, 1, 1)])
        assert outbox.receipted() == (Range(EPOCHS[0], Stream.DATA, 1, 2),)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 12)), min_size=1, max_size=40))
async def test_receipted_ranges_are_what_the_receipts_named_together(tmp_path_factory, receipts):
    async with outbox_in(tmp_path_factory.mktemp("outbox")) as outbox:
        await outbox.commit(group(Stream.DATA, None, measured(*range(72))))
        named: set[int] = set()
        for first, more in receipts:
            await outbox.remove([Range(EPOCHS[0], Stream.DATA, first, first + more)])
            named.update(range(first, first + more + 1))
        told = [set(range(range_.first, range_.last + 1)) for range_ in outbox.receipted()]
        assert set().union(*told) == named
        assert sum(map(len, told)) == len(named)
        assert not any(max(one) + 1 in other for one in told for other in told)


async def test_a_hello_is_told_no_more_ranges_than_it_may_state(tmp_path):
    """Every second record receipted, of forty epochs: the latest are told, the file keeps a bounded number."""
    for number in range(40):
        epoch = Epoch(f"{number + 100:016x}")
        async with outbox_in(tmp_path, epoch) as outbox:
            await outbox.commit(group(Stream.DATA, None, measured(*range(20))))
            await outbox.remove([Range(epoch, Stream.DATA, first, first) for first in range(1, 20, 2)])
            told = outbox.receipted()
    assert len(told) == MAX_RECEIPTED
    assert told[0] == Range(epoch, Stream.DATA, 19, 19)
    async with outbox_in(tmp_path, Epoch("f" * 16)) as outbox:
        kept = await outbox._database.read(
            lambda connection: connection.execute("SELECT count(DISTINCT epoch) FROM receipted").fetchone()[0]
        )
        assert kept == KEPT_EPOCHS - 1


async def test_marks_are_put_right_by_what_is_known_of_the_boot_they_rest_on(tmp_path):
    """Written by a run whose clock was wrong, they would date the restart's gap wrongly."""
    async with outbox_in(tmp_path) as outbox:
        await outbox.commit(Group(AT, things={DeviceId("river-1"): AT}, base=BASE))
    async with outbox_in(tmp_path, EPOCHS[1]) as outbox:
        hour = timedelta(hours=1)
        resumed = await outbox.open(AT, lambda base: lambda at: at + hour if base == BASE else at)
        assert resumed.things == {"river-1": AT + hour}
        await outbox.commit(Group(AT, things={DeviceId("river-1"): AT}))
        resumed = await outbox.open(AT, lambda base: lambda at: at + hour if base else at)
        assert resumed.things == {"river-1": AT}
