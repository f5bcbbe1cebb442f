"""The pseudonyms in use: a key per purpose and epoch, drawn when the epoch begins and destroyed when it is over."""

import asyncio
from collections.abc import Collection, Iterable, Mapping

from agent.pseudonym import EPOCH_LENGTHS, epoch_of, pseudonym
from agent.seal import KeyFolder
from contract.consent import Purpose
from contract.ids import PersonId
from contract.sample import ClockQuality, Stamp

SCOPE = "person"
_PREFIX = "pseudonym-"
_UNSURE = "unsure-"
"""Begins the epoch's name in that of a key that was drawn before the clock was set: the epoch may be another one."""


class PseudonymBook:
    """Answers without waiting. `prepare` is awaited before the first question and then every second or so.

    A record takes the pseudonym of the moment it is released at, not of the moment it was measured at: a clock that
    steps can then never ask for the key of an epoch that is over.
    """

    def __init__(self, keys: KeyFolder, persons: Iterable[PersonId]) -> None:
        self._keys = keys
        self._persons = tuple(persons)
        self._names: dict[tuple[PersonId, Purpose], str] = {}
        self._prepared: tuple[bool, dict[Purpose, str]] | None = None

    async def prepare(self, stamp: Stamp) -> None:
        """Go over to the epochs of `stamp`, off the event loop; the keys of other epochs are destroyed.

        Before the clock was set a key that is there goes on serving, unless its epoch has passed even so, and a new one
        serves only until the clock is set: a wrong date may part two pseudonyms of a person, it never joins two epochs.
        """
        is_certain = stamp.clock is ClockQuality.SYNCHRONISED
        epochs = {purpose: epoch_of(stamp.at, purpose) for purpose in EPOCH_LENGTHS}
        if (is_certain, epochs) != self._prepared:
            self._names = await asyncio.to_thread(self._make, epochs, is_certain)
            self._prepared = is_certain, epochs

    def name(self, person: PersonId, purpose: Purpose) -> str:
        """The pseudonym of `person` under `purpose` in the present epoch."""
        return self._names[person, purpose]

    def _make(self, epochs: Mapping[Purpose, str], is_certain: bool) -> dict[tuple[PersonId, Purpose], str]:
        names = {}
        for purpose, epoch in epochs.items():
            prefix = f"{_PREFIX}{purpose}-"
            there = {name.removeprefix(prefix) for name in self._keys.names() if name.startswith(prefix)}
            serving = epoch if is_certain else _serving(there, epoch)
            for other in sorted(there - {serving}):
                # The epoch of a key that was drawn under a set clock ends only by a set clock.
                if is_certain or other.startswith(_UNSURE):
                    self._keys.destroy(f"{prefix}{other}")
            key = self._keys.key(f"{prefix}{serving}")
            names.update({(person, purpose): pseudonym(key, SCOPE, person) for person in self._persons})
        return names


def _serving(there: Collection[str], epoch: str) -> str:
    """Which of the epochs whose keys are there serves while the clock says `epoch` and may be wrong; or a new one."""
    certain = max((name for name in there if not name.startswith(_UNSURE)), default="")
    return certain if certain >= epoch else f"{_UNSURE}{epoch}"
