"""Consent: default off, versions decide, clocks decide nothing."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import consent as consent_module
from agent.consent import Change, ConsentBook, decide
from agent.store import Database
from contract.consent import Purpose
from contract.errors import Refused
from contract.ids import PersonId

AT = datetime(2026, 11, 22, tzinfo=UTC)
PERSON = PersonId("resident-1")


def change(on: bool, made_on: int | None = None, purpose: Purpose = Purpose.RESEARCH, at: datetime = AT) -> Change:
    return Change(PERSON, purpose, on, made_on, at, "resident")


def test_a_change_on_the_latest_version_wins_either_way():
    first = decide(None, change(True, 0))
    assert (first.on, first.version) == (True, 1)
    second = decide(first, change(False, 1))
    assert (second.on, second.version) == (False, 2)


@given(st.booleans(), st.booleans())
def test_two_changes_on_one_version_leave_the_purpose_off(one, other):
    """Promise 2: in doubt nothing leaves, whatever the two asked for and whichever came first."""
    first = decide(decide(None, change(True, 0)), change(one, 1))
    assert decide(first, change(other, 1)).on is False


@given(st.lists(st.tuples(st.booleans(), st.integers(-1000, 1000)), min_size=1, max_size=8))
def test_clocks_decide_nothing(wishes):
    latest = None
    for on, days in wishes:
        latest = decide(latest, change(on, at=AT + timedelta(days=days)))
        assert latest.on is on


def test_a_replayed_on_after_a_newer_off_has_no_effect():
    on = decide(None, change(True, 0))
    off = decide(on, change(False, 1))
    assert decide(off, change(True, 0)).on is False


def test_a_version_that_does_not_exist_is_refused():
    with pytest.raises(Refused):
        decide(None, change(True, 3))


async def book(database, persons=(PERSON,)) -> ConsentBook:
    result = ConsentBook(database, persons)
    await result.load()
    return result


async def test_everything_is_off_until_somebody_agrees_and_survives_a_restart(tmp_path):
    async with Database(tmp_path / "consent.db", consent_module.MIGRATIONS) as database:
        consents = await book(database)
        assert not consents.may_keep(PERSON)
        assert consents.may_leave(PERSON) == ()
        assert not consents.runs_health_rules(PERSON)
        await consents.change(change(True))
        await consents.change(change(True, purpose=Purpose.ALERT_SELF))
    async with Database(tmp_path / "consent.db", consent_module.MIGRATIONS) as database:
        consents = await book(database)
        assert consents.may_leave(PERSON) == (Purpose.RESEARCH,)
        assert consents.runs_health_rules(PERSON)
        assert consents.hears_of_alerts(PERSON) == ()


async def test_a_local_purpose_lets_nothing_leave(tmp_path):
    async with Database(tmp_path / "consent.db", consent_module.MIGRATIONS) as database:
        consents = await book(database)
        for purpose in (Purpose.ALERT_SELF, Purpose.KEEP_GATEWAY):
            await consents.change(change(True, purpose=purpose))
        assert consents.may_leave(PERSON) == ()
        assert consents.hears_of_alerts(PERSON) == ()


async def test_a_stranger_is_refused(tmp_path):
    async with Database(tmp_path / "consent.db", consent_module.MIGRATIONS) as database:
        consents = await book(database, ())
        with pytest.raises(Refused):
            await consents.change(change(True))


@pytest.mark.parametrize("bad", [range(1), range(1, 9)], ids=["the first page", "all pages but the first"])
async def test_a_damaged_file_leaves_every_purpose_off_until_somebody_agrees_anew(tmp_path, caplog, bad):
    """Promise 2: the row that did not read may have been a withdrawal. It stays so after the next start, too."""
    path = tmp_path / "consent.db"
    async with Database(path, consent_module.MIGRATIONS) as database:
        consents = await book(database)
        for purpose in Purpose:
            await consents.change(change(True, purpose=purpose))
    size = 1024
    content = bytearray(path.read_bytes())
    for page in [page for page in bad if page < len(content) // size]:
        content[page * size : (page + 1) * size] = b"\xa5" * size
    path.write_bytes(content)
    for _ in range(2):
        async with Database(path, consent_module.MIGRATIONS) as database:
            consents = await book(database)
            assert not any(consents.on(person) for person in consents.persons())
    assert caplog.text.count("every purpose is off") == 1
    async with Database(path, consent_module.MIGRATIONS) as database:
        consents = await book(database)
        await consents.change(change(True))
        assert consents.may_leave(PERSON) == (Purpose.RESEARCH,)


async def test_a_file_deleted_in_the_middle_of_a_run_changes_no_consent(tmp_path):
    async with Database(tmp_path / "consent.db", consent_module.MIGRATIONS) as database:
        consents = await book(database)
        await consents.change(change(True))
        for path in tmp_path.glob("consent.db*"):
            path.unlink()
        await consents.change(change(True, purpose=Purpose.ALERT_SELF))
        assert consents.on(PERSON) == {Purpose.RESEARCH, Purpose.ALERT_SELF}
    async with Database(tmp_path / "consent.db", consent_module.MIGRATIONS) as database:
        consents = await book(database)
        assert consents.on(PERSON) == {Purpose.RESEARCH, Purpose.ALERT_SELF}
        assert not consents.is_damaged
