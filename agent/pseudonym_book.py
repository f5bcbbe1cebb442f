"""The pseudonyms in use: a key per purpose and epoch, drawn when the epoch begins and destroyed when it is over."""

import asyncio
from collections.abc import Iterable
from datetime import datetime

from agent.pseudonym import EPOCH_LENGTHS, epoch_of, pseudonym
from agent.seal import KeyFolder
from contract.consent import Purpose
from contract.ids import PersonId

SCOPE = "person"
_PREFIX = "pseudonym-"


class PseudonymBook:
    """Answers without waiting. `prepare` is awaited before the first question and then every second or so.

    A record takes the pseudonym of the moment it is released at, not of the moment it was measured at: a clock that
    steps can then never ask for the key of an epoch that is over.
    """

    def __init__(self, keys: KeyFolder, persons: Iterable[PersonId]) -> None:
        self._keys = keys
        self._persons = tuple(persons)
        self._names: dict[tuple[PersonId, Purpose], str] = {}
        self._prepared: frozenset[str] = frozenset()

    async def prepare(self, at: datetime) -> None:
        """Go over to the epochs of `at`, off the event loop; the keys of other epochs are destroyed."""
        wanted = frozenset(_key_name(purpose, at) for purpose in EPOCH_LENGTHS)
        if wanted != self._prepared:
            self._names = await asyncio.to_thread(self._make, at)
            self._prepared = wanted

    def name(self, person: PersonId, purpose: Purpose) -> str:
        """The pseudonym of `person` under `purpose` in the present epoch."""
        return self._names[person, purpose]

    def _make(self, at: datetime) -> dict[tuple[PersonId, Purpose], str]:
        names = {}
        for purpose in EPOCH_LENGTHS:
            key = self._keys.key(_key_name(purpose, at))
            names.update({(person, purpose): pseudonym(key, SCOPE, person) for person in self._persons})
        for name in self._keys.names():
            if name.startswith(_PREFIX) and name not in {_key_name(purpose, at) for purpose in EPOCH_LENGTHS}:
                self._keys.destroy(name)
        return names


def _key_name(purpose: Purpose, at: datetime) -> str:
    return f"{_PREFIX}{purpose}-{epoch_of(at, purpose)}"
