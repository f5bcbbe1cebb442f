"""How long records are kept, and their removal: bounded work a round, oldest first where it matters. Pure.

Removed is by whole UTC days, so that an hour or a day is never computed from what is left of it. Latest values stay
for ever: `latest` is a table of its own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cloud_sync.blob import to_ms
from contract.consent import Purpose
from hub.store.dialect import Dialect
from hub.store.rollups import Step
from hub.store.script import Script, Statement
from hub.store.selection import EVER, Arguments, as_list

MOST_ROWS = 5000
"""Rows removed by one statement."""
EVERY = timedelta(minutes=10)
"""How often it is looked whether something is over."""
_DAY_MS = Step.DAY.ms


@dataclass(frozen=True, slots=True)
class Retention:
    """Whole days that records are kept after their time; None for ever.

    A quantity that `quantities` does not name is kept for `telemetry_days`. Minutes are kept at least as long as the
    telemetry they come from. `purposes` limits what persons released; nothing of persons is removed unless named.
    """

    telemetry_days: int | None = 400
    quantities: Mapping[str, int | None] = field(default_factory=dict)
    minute_days: int | None = 400
    hour_days: int | None = None
    purposes: Mapping[Purpose, int | None] = field(default_factory=dict)

    def telemetry_from_ms(self, now: datetime) -> dict[str | None, int]:
        """Since when telemetry is kept, by quantity; None stands for all that are not named."""
        kept: dict[str | None, int] = {None: _from_ms(now, self.telemetry_days)}
        kept.update((quantity, _from_ms(now, days)) for quantity, days in self.quantities.items())
        return kept

    def over_ms(self, now: datetime) -> int:
        """Before it no telemetry is kept, of whatever quantity."""
        return min(self.telemetry_from_ms(now).values())


def removing(dialect: Dialect, now: datetime, retention: Retention, whole: str | None) -> Script[tuple[int, bool]]:
    """One round of removal. Returns how many rows were removed, and whether there may be more.

    `whole`: the table of telemetry to look at where whole weeks are dropped elsewhere, None where all is by row.
    """
    removed, more = 0, False
    for statement in _statements(dialect, now, retention, whole):
        ((count,),) = yield statement
        removed += count
        more = more or count >= MOST_ROWS
    return removed, more


def _statements(dialect: Dialect, now: datetime, retention: Retention, whole: str | None) -> Iterator[Statement]:
    kept_from = retention.telemetry_from_ms(now)
    over_ms = retention.over_ms(now)
    for quantity, before in kept_from.items():
        table = whole if whole is not None and before == over_ms else "telemetry"
        yield from _of_series(dialect, retention, quantity, before, _telemetry(table))
        for step, days in ((Step.MINUTE, retention.minute_days), (Step.HOUR, retention.hour_days)):
            # Of a quantity kept longer the rollups are kept as long.
            rolled = min(before, _from_ms(now, days))
            yield from _of_series(dialect, retention, quantity, rolled, _ROLLUP, {"step": step.value})
    for purpose, days in retention.purposes.items():
        before = _from_ms(now, days)
        if before > EVER[0]:
            arguments = {"purpose": purpose.value, "before": before, "limit": MOST_ROWS}
            yield Statement(_RELEASED, arguments)
            yield Statement(_AGGREGATES, arguments)


def _of_series(
    dialect: Dialect,
    retention: Retention,
    quantity: str | None,
    before: int,
    text: str,
    more: Arguments | None = None,
) -> Iterator[Statement]:
    if before == EVER[0]:
        return
    arguments = {"before": before, "limit": MOST_ROWS, **(more or {})}
    if quantity is None:
        named = {"quantities": as_list(retention.quantities)}
        yield Statement(text.format(which=f"s.quantity NOT IN {dialect.listed('quantities')}"), {**arguments, **named})
    else:
        yield Statement(text.format(which="s.quantity = :quantity"), {**arguments, "quantity": quantity})


def _telemetry(table: str) -> str:
    return (
        f"DELETE FROM {table} WHERE at_ms < :before AND (series, at_ms, origin, sequence) IN ("
        f"SELECT t.series, t.at_ms, t.origin, t.sequence FROM series AS s CROSS JOIN {table} AS t "
        "WHERE {which} AND t.series = s.id AND t.at_ms < :before LIMIT :limit)"
    )


_ROLLUP = (
    "DELETE FROM rollup WHERE (series, step, start_ms) IN ("
    "SELECT r.series, r.step, r.start_ms FROM series AS s CROSS JOIN rollup AS r "
    "WHERE {which} AND r.series = s.id AND r.step = :step AND r.start_ms < :before LIMIT :limit)"
)
_RELEASED = (
    "DELETE FROM released WHERE id IN (SELECT r.id FROM released_series AS s CROSS JOIN released AS r "
    "WHERE s.purpose = :purpose AND r.series = s.id AND r.at_ms < :before LIMIT :limit)"
)
_AGGREGATES = (
    "DELETE FROM aggregate WHERE id IN ("
    "SELECT id FROM aggregate WHERE purpose = :purpose AND start_ms < :before LIMIT :limit)"
)


def _from_ms(now: datetime, days: int | None) -> int:
    """The first moment that is kept: the start of a UTC day."""
    if days is None:
        return EVER[0]
    return (to_ms(now) // _DAY_MS - days) * _DAY_MS
