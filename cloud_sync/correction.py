"""Times stamped before the clock was synchronised, put right with what was learnt of their boot. Pure.

A gateway takes for the moment of boot a time that lies later than all it knew from before (agent/clock.py). A time
below `base.zero_ms` is therefore none of that boot (a gap may begin in an earlier one), and stays as it is.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from contract.boot import BootTime, TimeBase
from contract.errors import ProtocolError
from contract.record import Aggregate, AlertRecord, Gap, Measured, Record
from contract.sample import ClockQuality

_DAWN = datetime(1970, 1, 1, tzinfo=UTC)
Mover = Callable[[datetime], datetime]
"""Puts one time right."""
Settle = Callable[[TimeBase | None], Mover]
"""By what times rest on (None: on a synchronised clock), what puts each of them right."""


def unsettled(base: TimeBase | None) -> Mover:
    """Where nothing is known of any boot: times stay as they are."""
    del base
    return lambda at: at


def mover(base: TimeBase, time: BootTime) -> Mover:
    """What puts one time that rests on `base` right by what is known of its boot; with nothing known, as it is.

    ProtocolError for a base that no calendar holds; OverflowError, from the function, for a time that leaves it.
    """
    try:
        zero = _DAWN + timedelta(milliseconds=base.zero_ms)
    except OverflowError as error:
        raise ProtocolError("boot lies beyond the calendar") from error
    by_ms, before_ms = _shift(base, time)
    if by_ms is None:
        return lambda at: at

    def moved(at: datetime) -> datetime:
        if at < zero:
            return at
        right = at + timedelta(milliseconds=by_ms)
        return right if before_ms is None else min(right, _DAWN + timedelta(milliseconds=before_ms))

    return moved


def corrected(records: Iterable[Record], base: TimeBase, time: BootTime) -> list[Record]:
    """`records`, whose times rest on `base`, by the time of their boot: exact, within bounds, or as they are."""
    by_ms, _ = _shift(base, time)
    if by_ms is None:
        return list(records)
    moved, clock = mover(base, time), ClockQuality.BOUNDED if time.zero_ms is None else ClockQuality.CORRECTED
    try:
        return [_corrected(record, moved, clock) for record in records]
    except OverflowError as error:
        raise ProtocolError("corrected time out of range") from error


def _shift(base: TimeBase, time: BootTime) -> tuple[int | None, int | None]:
    """(milliseconds to move by or None, the time that nothing is moved beyond)."""
    if time.zero_ms is not None:
        return time.zero_ms - base.zero_ms, None
    if time.after_ms is not None:
        return time.after_ms - base.zero_ms, time.before_ms
    return None, None


def _corrected(record: Record, moved: Mover, clock: ClockQuality) -> Record:
    match record:
        case Measured():
            return replace(record, at=moved(record.at), clock=clock)
        case Aggregate():
            # A window begins on a whole minute, which may lie before the boot that it ends in.
            length = timedelta(seconds=record.window_s)
            return replace(record, start=moved(record.start + length) - length)
        case Gap():
            # Its start may be of another boot, and may turn out to be the wrong one of the two.
            end = moved(record.end)
            return replace(record, start=min(moved(record.start), end), end=end)
        case AlertRecord():
            return replace(record, alert=replace(record.alert, at=moved(record.alert.at)))
