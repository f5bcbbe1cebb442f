"""The quality step: a value outside what its quantity can be is kept and flagged FAIL; what is no number is MISSING."""

from collections.abc import Iterable
from math import isfinite

from contract.quantity import QUANTITIES
from contract.sample import Flag, Member, Position, Reading, Sample, Series

_LIMITS = {name: (row.low, row.high) for name, row in QUANTITIES.items()}
_NO_LIMIT = (float("-inf"), float("inf"))


def judge(sample: Sample) -> Sample:
    """The sample with every member flagged. A driver's own SUSPECT, FAIL or MISSING is never made better."""
    return Sample(sample.device, sample.stamp, tuple([_judge(member) for member in sample.members]))


def _judge(member: Member) -> Member:
    if isinstance(member, Reading):
        quantity, value, flag = member
        low, high = _LIMITS.get(quantity, _NO_LIMIT)
        if value is not None and low <= value <= high:
            return Reading(quantity, value, Flag.GOOD) if flag is Flag.UNKNOWN else member
        return _no_value(member) if value is None or not isfinite(value) else member._replace(flag=Flag.FAIL)
    if isinstance(member, Position):
        in_range = -90 <= member.lat_deg <= 90 and -180 <= member.lon_deg <= 180
        numbers: Iterable[float | None] = member[:4]
    else:
        in_range, numbers = _all_within(member), (*member.values, *member.offsets_s)
    if not all(isfinite(number) for number in numbers if number is not None):
        return _no_value(member)
    return member._replace(flag=_worse(member.flag, in_range))


def _no_value(member: Member) -> Reading:
    return Reading(member.quantity, None, Flag.MISSING)


def _all_within(member: Series) -> bool:
    low, high = _LIMITS.get(member.quantity, _NO_LIMIT)
    return all(low <= value <= high for value in member.values)


def _worse(flag: Flag, in_range: bool) -> Flag:
    if not in_range:
        return Flag.FAIL
    return Flag.GOOD if flag is Flag.UNKNOWN else flag
