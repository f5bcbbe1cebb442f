"""The channels of an outbox: one person and one purpose each, with a number, a key, and a state for the next start."""

import json
import logging
from collections.abc import Mapping

from agent.group import Channel
from agent.outbox_sql import Stored
from agent.seal import KEY_BYTES, KeyFolder, seal, unseal
from agent.sqlite import Connection
from agent.store import Damaged
from contract.consent import Purpose
from contract.errors import Tampered
from contract.ids import PersonId

ALARM_KEY = "alarms"
_KEY_START = "channel-"
State = Mapping[str, object]

log = logging.getLogger(__name__)


class Channels:
    """Who each number stands for; seals and opens what lies under it."""

    def __init__(self, keys: KeyFolder) -> None:
        self._keys = keys
        self._channels: dict[int, Channel] = {}
        self._numbers: dict[Channel, int] = {}
        self._has_said_lost = False

    def all(self) -> frozenset[Channel]:
        """Every person and purpose that ever had something to send."""
        return frozenset(self._numbers)

    def load(self, connection: Connection) -> dict[Channel, State]:
        """Read who there is; the states that open."""
        states: dict[Channel, State] = {}
        self._channels.clear()
        self._numbers.clear()
        for number, person, purpose, sealed in connection.execute("SELECT id, person, purpose, state FROM channel"):
            channel = PersonId(person), Purpose(purpose)
            self._remember(number, channel)
            if sealed is not None and (plain := self._state(number, sealed)):
                states[channel] = json.loads(plain)
        # A number whose key is left from a lost file is not given again: two persons would share the key.
        highest = max((int(name) for name in self._key_numbers()), default=0)
        if highest > max(self._channels, default=0):
            connection.execute("INSERT INTO channel (id, person, purpose) VALUES (?, '', '')", (highest,))
            connection.execute("DELETE FROM channel WHERE id = ?", (highest,))
        return states

    def load_alarms(self, connection: Connection) -> dict[str, State]:
        """The states of alarms that open."""
        key = self._keys.key(ALARM_KEY)
        alarms: dict[str, State] = {}
        for rule, sealed in connection.execute("SELECT rule, state FROM alarm"):
            try:
                alarms[rule] = json.loads(unseal(key, sealed, f"alarm/{rule}"))
            except Tampered:
                continue  # an alarm that does not open starts anew: it may ring twice, it is never silent
        return alarms

    def save(self, connection: Connection, states: Mapping[Channel, State], alarms: Mapping[str, State]) -> None:
        """Write changed states, sealed."""
        for channel, state in states.items():
            number = self.number(connection, channel)
            sealed = seal(self._keys.key(_key(number)), json.dumps(state).encode(), f"state/{number}")
            connection.execute("UPDATE channel SET state = ? WHERE id = ?", (sealed, number))
        for rule, state in alarms.items():
            sealed = seal(self._keys.key(ALARM_KEY), json.dumps(state).encode(), f"alarm/{rule}")
            connection.execute(
                "INSERT INTO alarm VALUES (?, ?) ON CONFLICT DO UPDATE SET state = excluded.state", (rule, sealed)
            )

    def number(self, connection: Connection, channel: Channel) -> int:
        """The number of a channel, given on first use."""
        row = connection.execute("SELECT id FROM channel WHERE person = ? AND purpose = ?", channel).fetchone()
        if row is None:
            insert = "INSERT INTO channel (person, purpose) VALUES (?, ?) RETURNING id"
            row = connection.execute(insert, channel).fetchone()
        self._remember(row[0], channel)
        return int(row[0])

    def channel(self, number: int | None) -> Channel | None:
        """The channel of a number; None for things. Damaged when there is no such channel."""
        if number is None:
            return None
        if number not in self._channels:
            raise Damaged("an entry names a channel that does not exist")
        return self._channels[number]

    def sealed(self, number: int | None, id_: int, plain: bytes) -> bytes:
        """What may rest in the entry `id_`: sealed when it is a person's, as it is when it is empty or of things."""
        return plain if number is None or not plain else seal(self._keys.key(_key(number)), plain, f"entry/{id_}")

    def opened(self, row: Stored) -> bytes:
        """What an entry holds; nothing when it was withdrawn. Tampered when it does not open with its channel's key."""
        if row.channel is None or not row.blob:
            return row.blob
        name = _key(row.channel)
        if not self._keys.has(name):
            return b""  # a cut came in the middle of the withdrawal
        try:
            return unseal(self._keys.key(name), row.blob, f"entry/{row.id}")
        except Tampered:
            if not self._has_said_lost:
                self._has_said_lost = True
                log.error("outbox: sealed records do not open, their key is lost or they are damaged; they go unsent")
            raise

    def withdraw(self, connection: Connection, channel: Channel) -> int | None:
        """Destroy what a channel's records and state are sealed with; its number, None when nothing of it is there."""
        row = connection.execute(
            "SELECT id, state IS NULL FROM channel WHERE person = ? AND purpose = ?", channel
        ).fetchone()
        # Keys that are left from a lost file may be this person's: nobody can tell any more.
        for name in self._key_numbers() - {str(number) for number in self._channels}:
            self._keys.destroy(f"{_KEY_START}{name}")
        if row is None or (row[1] and not self._keys.has(_key(row[0]))):
            return None
        self._keys.destroy(_key(row[0]))
        connection.execute("UPDATE channel SET state = NULL WHERE id = ?", (row[0],))
        return int(row[0])

    def _key_numbers(self) -> set[str]:
        ends = {name.removeprefix(_KEY_START) for name in self._keys.names() if name.startswith(_KEY_START)}
        return {end for end in ends if end.isdigit()}

    def _state(self, number: int, sealed: bytes) -> bytes:
        try:
            key = self._keys.key(_key(number)) if self._keys.has(_key(number)) else bytes(KEY_BYTES)
            return unseal(key, sealed, f"state/{number}")
        except Tampered:
            return b""

    def _remember(self, number: int, channel: Channel) -> None:
        self._channels[number], self._numbers[channel] = channel, number


def _key(number: int) -> str:
    return f"{_KEY_START}{number}"
