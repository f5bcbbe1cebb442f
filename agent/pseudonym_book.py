"""The pseudonyms in use: a key per purpose and epoch, drawn when the epoch begins and destroyed when it is over."""

import asyncio
from collections.abc import Iterable
from datetime import datetime

from agent.pseudonym import EPOCH_LENGTHS, epoch_of, pseudonym
from agent.seal import KeyFolder
from contract.consent import Purpose
from contract.ids import PersonId
from contract.sample import ClockQuality, Stamp

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
        self._prepared: tuple[bool, frozenset[str]] | None = None

    async def prepare(self, stamp: Stamp) -> None:
        """Go over to the epochs of `stamp`, off the event loop; the keys of other epochs are destroyed.

        A clock that may be wrong begins and ends no epoch: the keys that are there go on serving.
        """
        is_certain = stamp.clock is ClockQuality.SYNCHRONISED
        wanted = is_certain, frozenset(_key_name(purpose, stamp.at) for purpose in EPOCH_LENGTHS)
        if wanted != self._prepared:
            self._names = await asyncio.to_thread(self._make, stamp.at, is_certain)
            self._prepared = wanted

    def name(self, person: PersonId, purpose: Purpose) -> str:
        """The pseudonym of `person` under `purpose` in the present epoch."""
        return self._names[person, purpose]

    def _make(self, at: datetime, is_certain: bool) -> dict[tuple[PersonId, Purpose], str]:
        names = {}
        for purpose in EPOCH_LENGTHS:
            wanted = _key_name(purpose, at)
            others = sorted(n for n in self._keys.names() if n.startswith(f"{_PREFIX}{purpose}-") and n != wanted)
            if is_certain:
                for name in others:
                    self._keys.destroy(name)
            elif others and not self._keys.has(wanted):
                wanted = others[-1]
            key = self._keys.key(wanted)
            names.update({(person, purpose): pseudonym(key, SCOPE, person) for person in self._persons})
        return names


def _key_name(purpose: Purpose, at: datetime) -> str:
    return f"{_PREFIX}{purpose}-{epoch_of(at, purpose)}"
