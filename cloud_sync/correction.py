"""Times stamped before the clock was synchronised, put right with what was learnt of their boot. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from contract.boot import BootTime, TimeBase
from contract.errors import ProtocolError
from contract.record import Aggregate, AlertRecord, Gap, Measured, Record
from contract.sample import ClockQuality

_DAWN = datetime(1970, 1, 1, tzinfo=UTC)
_Moved = Callable[[datetime], datetime]


def corrected(records: Iterable[Record], base: TimeBase, time: BootTime) -> list[Record]:
    """`records`, whose times rest on `base`, by the time of their boot: exact, within bounds, or as they are."""
    if time.zero_ms is not None:
        moved, clock = _by(time.zero_ms - base.zero_ms), ClockQuality.CORRECTED
    elif time.after_ms is not None:
        moved, clock = _bounded(_by(time.after_ms - base.zero_ms), time.before_ms), ClockQuality.BOUNDED
    else:
        return list(records)
    try:
        return [_corrected(record, moved, clock) for record in records]
    except OverflowError as error:
        raise ProtocolError("corrected time out of range") from error


def _by(milliseconds: int) -> _Moved:
    return lambda at: at + timedelta(milliseconds=milliseconds)


def _bounded(moved: _Moved, before_ms: int | None) -> _Moved:
    if before_ms is None:
        return moved
    return lambda at: min(moved(at), _DAWN + timedelta(milliseconds=before_ms))


def _corrected(record: Record, moved: _Moved, clock: ClockQuality) -> Record:
    match record:
        case Measured():
            return replace(record, at=moved(record.at), clock=clock)
        case Aggregate():
            return replace(record, start=moved(record.start))
        case Gap():
            return replace(record, start=moved(record.start), end=moved(record.end))
        case AlertRecord():
            return replace(record, alert=replace(record.alert, at=moved(record.alert.at)))
