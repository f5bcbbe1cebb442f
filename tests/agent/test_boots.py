"""The book of boots: what is known of each boot outlives the run that learnt it, and a damaged file stops nothing."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.boots import FILE_NAME, MAX_BOOTS, BootBook, PresentBoot, present_boot_id
from cloud_sync.blob import from_ms, to_ms
from contract.boot import BootId, BootTime, TimeBase, is_boot_id
from contract.errors import StoreFull

BOOTS = [BootId(f"{number:032x}") for number in range(1, MAX_BOOTS + 10)]
NOON = to_ms(datetime(2026, 11, 23, 3, 0, tzinfo=UTC))
HOUR = 3_600_000


async def written(folder: Path, number: int, zero_ms: int, learnt_ms: int | None, alive_ms: int = HOUR) -> BootBook:
    """The book after the run of boot `number`."""
    book = BootBook(folder / FILE_NAME, BOOTS[number])
    book.load()
    book.note(zero_ms, learnt_ms, alive_ms)
    await book.save()
    return book


async def test_a_later_run_in_the_same_boot_takes_up_what_was_learnt(tmp_path):
    await written(tmp_path, 0, NOON + 5, NOON)
    book = BootBook(tmp_path / FILE_NAME, BOOTS[0])
    assert book.load() == PresentBoot(NOON + 5, NOON)
    assert BootBook(tmp_path / FILE_NAME, BOOTS[1]).load() is None
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / FILE_NAME]


async def test_a_boot_that_never_learnt_the_time_lies_between_its_neighbours(tmp_path):
    await written(tmp_path, 0, NOON, NOON, HOUR)
    await written(tmp_path, 1, 0, None, 2 * HOUR)
    await written(tmp_path, 2, 0, None, 3 * HOUR)
    book = await written(tmp_path, 3, NOON + 24 * HOUR, NOON + 24 * HOUR)
    book.let_go()
    assert book.times(BOOTS[:4]) == (
        BootTime(BOOTS[0], NOON),
        BootTime(BOOTS[1], None, NOON + HOUR, NOON + 21 * HOUR),
        BootTime(BOOTS[2], None, NOON + 3 * HOUR, NOON + 24 * HOUR),
        BootTime(BOOTS[3], NOON + 24 * HOUR),
    )
    assert book.floor_ms() == NOON + 6 * HOUR


async def test_boots_of_which_nothing_is_known_are_answered_all_the_same(tmp_path):
    book = await written(tmp_path, 0, 0, None)
    book.let_go()
    assert book.times([BOOTS[0], BOOTS[7]]) == (BootTime(BOOTS[0], None), BootTime(BOOTS[7], None))
    assert book.times([]) == ()


async def test_what_lived_through_unlearnt_boots_still_counts_as_lived(tmp_path):
    """Held times go on from boot to boot, so that the day of a pseudonym passes."""
    await written(tmp_path, 0, 0, None, HOUR)
    await written(tmp_path, 1, 0, None, HOUR)
    book = BootBook(tmp_path / FILE_NAME, BOOTS[2])
    book.load()
    assert book.floor_ms() == 2 * HOUR


async def test_the_present_boot_is_not_known_before_it_was_learnt(tmp_path):
    book = await written(tmp_path, 0, NOON, NOON)
    assert book.times([BOOTS[0]]) is None
    assert book.times([BOOTS[5]]) == (BootTime(BOOTS[5], None),)
    book.let_go()
    await book.learnt()
    assert book.times([BOOTS[0]]) == (BootTime(BOOTS[0], NOON),)


async def test_marks_are_settled_by_what_is_known_of_their_boot(tmp_path):
    await written(tmp_path, 0, NOON, NOON, HOUR)
    await written(tmp_path, 1, 1000, None, HOUR)
    book = BootBook(tmp_path / FILE_NAME, BOOTS[2])
    book.load()
    book.note(5000, None, 0)
    at = from_ms(61_000)
    assert book.settle(None)(at) == at
    assert book.settle(TimeBase(BOOTS[0], 1000))(at) == from_ms(NOON + 60_000)
    assert book.settle(TimeBase(BOOTS[1], 1000))(at) == from_ms(NOON + HOUR + 60_000)
    assert book.settle(TimeBase(BOOTS[2], 1000))(at) == from_ms(65_000)
    assert book.settle(TimeBase(BOOTS[9], 1000))(at) == at
    assert book.settle(TimeBase(BOOTS[0], 2**62))(at) == at


@pytest.mark.parametrize("content", [b"", b"{", b"\0" * 4096, b'{"v":2,"boots":[]}', b'{"v":1,"boots":[{"boot":"x"}]}'])
async def test_a_damaged_book_is_set_aside_and_begun_anew(tmp_path, content, caplog):
    for number in (1, 2):
        (tmp_path / FILE_NAME).write_bytes(content)
        book = BootBook(tmp_path / FILE_NAME, BOOTS[0])
        assert book.load() is None
        assert (tmp_path / f"{FILE_NAME}.damaged-{number}").read_bytes() == content
        assert not (tmp_path / FILE_NAME).exists()
    assert "damaged" in caplog.text
    book.note(NOON, NOON, 0)
    await book.save()
    assert BootBook(tmp_path / FILE_NAME, BOOTS[0]).load() == PresentBoot(NOON, NOON)


async def test_the_book_keeps_the_latest_boots_only(tmp_path):
    book = BootBook(tmp_path / FILE_NAME, BOOTS[-1])
    for number, boot in enumerate(BOOTS):
        book.boot = boot
        book.note(NOON + number, NOON + number, 0)
    await book.save()
    saved = json.loads((tmp_path / FILE_NAME).read_text())["boots"]
    assert [entry["boot"] for entry in saved] == BOOTS[-MAX_BOOTS:]


async def test_a_disk_that_takes_nothing_is_said_and_what_was_noted_still_counts(tmp_path):
    (tmp_path / "file").touch()
    book = BootBook(tmp_path / "file" / FILE_NAME, BOOTS[0])
    book.note(NOON, NOON, 0)
    with pytest.raises(StoreFull):
        await book.save()
    book.let_go()
    assert book.times([BOOTS[0]]) == (BootTime(BOOTS[0], NOON),)


def test_this_kernel_tells_its_boot():
    boot = present_boot_id()
    assert is_boot_id(boot)
    assert boot == present_boot_id()
