"""Numbers of series and origins: made in short transactions of their own before they are used, and remembered.

A number that a failed ingest leaves behind names nothing that was said; the next try finds and uses it.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import itemgetter

from hub.store.postgres.database import Connection
from hub.store.writing import Claim, OriginKey, SeriesIds, can_be_known

MOST_REMEMBERED = 500_000
"""Beyond it everything is forgotten and read again: about 100 MB."""
_Key = tuple[str, str, str]
_NAME = itemgetter(1, 2)  # subject and quantity of a MeasuredRow
_SERIES = ("series", "gateway, device, quantity")
_PERSONS = ("released_series", "purpose, subject, quantity")
_ORIGIN = ("origin", "gateway, epoch, stream")


class Ids:
    """What this process knows of the tables of names; shared by its workers."""

    def __init__(self) -> None:
        self._things: dict[str, dict[tuple[str, str], int]] = {}
        self._persons: dict[str, dict[tuple[str, str], int]] = {}
        self._origins: dict[OriginKey, int] = {}
        self._count = 0

    async def learn(self, connection: Connection, claims: Iterable[Claim]) -> None:
        """Make known every series and origin that `claims` name. Not within a transaction."""
        if self._count > MOST_REMEMBERED:
            self._things, self._persons, self._origins, self._count = {}, {}, {}, 0
        origins: set[_Key] = set()
        things: set[_Key] = set()
        persons: set[_Key] = set()
        for claim in claims:
            if not can_be_known(claim):
                continue
            if claim.origin not in self._origins:
                origins.add(claim.origin)
            part = claim.part
            if part is None or part.fault is not None:
                continue
            known, owner, missing = (
                (self._things, claim.gateway, things)
                if part.purpose is None
                else (self._persons, part.purpose.value, persons)
            )
            names = set(map(_NAME, part.rows.measured))
            missing.update((owner, *name) for name in names - known.get(owner, {}).keys())
        for key, number in await _numbers(connection, *_ORIGIN, origins):
            self._origins[OriginKey(*key)] = number  # type: ignore[arg-type]  # the same key in the same order
        for table, wanted, ids in ((_SERIES, things, self._things), (_PERSONS, persons, self._persons)):
            for (owner, *name), number in await _numbers(connection, *table, wanted):
                ids.setdefault(owner, {})[name[0], name[1]] = number
        self._count += len(origins) + len(things) + len(persons)

    def origin(self, key: OriginKey) -> int:
        """The number of an origin that was learnt."""
        return self._origins[key]

    def things(self, gateway: str) -> SeriesIds:
        """Numbers of the series of one gateway's things."""
        return self._things.get(gateway, {})

    def persons(self, purpose: str) -> SeriesIds:
        """Numbers of the series released for one purpose."""
        return self._persons.get(purpose, {})


async def _numbers(connection: Connection, table: str, columns: str, keys: set[_Key]) -> list[tuple[_Key, int]]:
    """The number of each of `keys`, made where it is new."""
    if not keys:
        return []
    found = await _select(connection, table, columns, sorted(keys))
    missing = sorted(keys - found.keys())
    if missing:
        # Whoever else is making the same is waited for, and then found.
        statement = f"INSERT INTO {table} ({columns}) SELECT * FROM {_ROWS} ON CONFLICT DO NOTHING"
        await connection.execute(statement, _columns(missing))
        found |= await _select(connection, table, columns, missing)
    return list(found.items())


_ROWS = "unnest(%s::text[], %s::text[], %s::text[])"


async def _select(connection: Connection, table: str, columns: str, keys: Sequence[_Key]) -> dict[_Key, int]:
    statement = f"SELECT id, {columns} FROM {table} WHERE ({columns}) IN (SELECT * FROM {_ROWS})"
    cursor = await connection.execute(statement, _columns(keys))
    return {(row[1], row[2], row[3]): row[0] for row in await cursor.fetchall()}


def _columns(keys: Sequence[_Key]) -> list[list[str]]:
    flat = list(chain.from_iterable(keys))
    return [[str(text) for text in flat[column::3]] for column in range(3)]
