"""What residents agreed to at this gateway: versioned changes, judged by version and never by clock; default off."""

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from agent.sqlite import Connection
from agent.store import Database, Renewed
from agent.store_file import accept
from cloud_sync.blob import from_ms, to_ms
from contract.consent import HEALTH_RULES_RUN_FOR, PURPOSES, Consent, Form, Purpose
from contract.errors import Refused
from contract.ids import PersonId

MIGRATIONS = (
    """
    CREATE TABLE consent (
        person TEXT NOT NULL, purpose TEXT NOT NULL, version INTEGER NOT NULL, made_on INTEGER NOT NULL,
        is_on INTEGER NOT NULL, at_ms INTEGER NOT NULL, actor TEXT NOT NULL,
        PRIMARY KEY (person, purpose, version)
    ) WITHOUT ROWID
    """,
)

MAX_RENEWALS = 3
DAMAGED_ACTOR = "damaged file"

_Key = tuple[PersonId, Purpose]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """A wish to switch one purpose. `made_on` is the version that was seen; None means the latest."""

    person: PersonId
    purpose: Purpose
    on: bool
    made_on: int | None
    at: datetime
    actor: str


def decide(latest: Consent | None, change: Change) -> Consent:
    """The next version. Made on the latest, the change wins either way; made on an older one, the purpose goes off.

    Two changes made on one version thus leave the purpose off, whatever they asked for, and the resident is asked.
    """
    version = latest.version if latest else 0
    made_on = version if change.made_on is None else change.made_on
    if made_on > version:
        raise Refused(f"the change was made on version {made_on}, which does not exist; the latest is {version}")
    is_on = change.on and made_on == version
    return Consent(change.person, change.purpose, is_on, version + 1, made_on, change.at, change.actor)


class ConsentBook:
    """The history of every purpose of every person of this gateway, the latest versions in memory."""

    def __init__(self, database: Database, persons: Iterable[PersonId]) -> None:
        self._database = database
        self._persons = frozenset(persons)
        self._latest: dict[_Key, Consent] = {}
        self._on: dict[PersonId, frozenset[Purpose]] = {}
        self.is_damaged = False
        """True when everything was switched off at this start, since the file was damaged."""

    async def load(self, at: datetime | None = None) -> None:
        """Read the latest versions; before this everything is off.

        Of a damaged file nobody can tell whether the last word was read: everything is switched off then, dated `at`.
        """
        for attempt in range(MAX_RENEWALS):
            try:
                found = await self._database.resume(lambda connection: self._read(connection, at))
                break
            except Renewed:
                if attempt == MAX_RENEWALS - 1:
                    raise
        for consent in found:
            self._remember(consent)
        if self.is_damaged:
            log.error("consent.db was damaged: every purpose is off until its person agrees anew")

    def close(self, change: Change) -> None:
        """Let a withdrawal act, whether it can be written or not; anything else acts once it is durable.

        Refused for a person this gateway does not have, and for a version that does not exist.
        """
        if change.person not in self._persons:
            raise Refused("no such person at this gateway; see [[person]] in gateway.toml")
        decide(self._latest.get((change.person, change.purpose)), change)
        if not change.on:
            self._on[change.person] = self.on(change.person) - {change.purpose}

    async def change(self, change: Change) -> Consent:
        """Make the next version durable, then let it act; a withdrawal acts before. Refused as by `close`."""
        self.close(change)
        consent = await self._append(change)
        self._remember(consent)
        return consent

    def on(self, person: PersonId) -> frozenset[Purpose]:
        """The purposes that are on."""
        return self._on.get(person, frozenset())

    def latest(self) -> Mapping[_Key, Consent]:
        """The latest version of everything that was ever changed."""
        return self._latest

    def persons(self) -> frozenset[PersonId]:
        """Everybody of this gateway."""
        return self._persons

    def may_keep(self, person: PersonId) -> bool:
        """True while some purpose lets measurements leave: only then may they wait on this gateway's disk."""
        return bool(self.may_leave(person))

    def may_leave(self, person: PersonId) -> tuple[Purpose, ...]:
        """The purposes under which measurements of `person` leave, in the order of the purposes' table."""
        on = self.on(person)
        return tuple(p for p, rule in PURPOSES.items() if p in on and rule.measurements and rule.form is not Form.LOCAL)

    def hears_of_alerts(self, person: PersonId) -> tuple[Purpose, ...]:
        """The purposes under which alerts about `person` leave."""
        on = self.on(person)
        return tuple(p for p, rule in PURPOSES.items() if p in on and rule.alerts and rule.form is not Form.LOCAL)

    def runs_health_rules(self, person: PersonId) -> bool:
        """True while somebody, if only the resident, is to hear of a health alert."""
        return not HEALTH_RULES_RUN_FOR.isdisjoint(self.on(person))

    def _read(self, connection: Connection, at: datetime | None) -> list[Consent]:
        found = _select_latest(connection)
        if self._database.origin.may_lack:
            self.is_damaged = True
            wishes = [Change(c.person, c.purpose, False, None, at or c.at, DAMAGED_ACTOR) for c in found if c.on]
            for wish in wishes:
                _append(connection, wish)
            found = _select_latest(connection)
        accept(connection)
        return found

    async def _append(self, change: Change) -> Consent:
        for _ in range(MAX_RENEWALS):
            try:
                return await self._database.write(lambda connection: _append(connection, change))
            except Renewed:
                with suppress(Renewed):  # then it is begun again
                    await self._database.resume(self._write_latest)
        return await self._database.write(lambda connection: _append(connection, change))

    def _write_latest(self, connection: Connection) -> None:
        """In the middle of a run what is in memory is the last word, whatever became of the file."""
        for consent in self._latest.values():
            _insert(connection, consent)
        accept(connection)

    def _remember(self, consent: Consent) -> None:
        self._latest[consent.person, consent.purpose] = consent
        others = self.on(consent.person) - {consent.purpose}
        self._on[consent.person] = others | {consent.purpose} if consent.on else others


_COLUMNS = "person, purpose, is_on, version, made_on, at_ms, actor"


def _select_latest(connection: Connection) -> list[Consent]:
    rows = connection.execute(f"SELECT {_COLUMNS}, max(version) FROM consent GROUP BY person, purpose")  # noqa: S608 - constant columns
    return [_consent(row) for row in rows]


def _append(connection: Connection, change: Change) -> Consent:
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM consent WHERE person = ? AND purpose = ? ORDER BY version DESC LIMIT 1",  # noqa: S608 - constant columns
        (change.person, change.purpose),
    ).fetchone()
    consent = decide(_consent(row) if row else None, change)
    _insert(connection, consent)
    return consent


def _insert(connection: Connection, consent: Consent) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO consent (person, purpose, version, made_on, is_on, at_ms, actor)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            *(consent.person, consent.purpose, consent.version, consent.made_on),
            *(consent.on, to_ms(consent.at), consent.actor),
        ),
    )


def _consent(row: tuple[str, str, int, int, int, int, str]) -> Consent:
    person, purpose, is_on, version, made_on, at_ms, actor = row[:7]
    return Consent(PersonId(person), Purpose(purpose), bool(is_on), version, made_on, from_ms(at_ms), actor)
