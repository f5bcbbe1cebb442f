"""The quality step: a value outside what its quantity can be is kept and flagged FAIL; no value is MISSING. Pure."""

from collections.abc import Iterable

from contract.quantity import QUANTITIES
from contract.sample import Flag, Member, Position, Reading, Sample, Series

_LIMITS = {name: (row.low, row.high) for name, row in QUANTITIES.items()}
_NO_LIMIT = (float("-inf"), float("inf"))


def judge(sample: Sample) -> Sample:
    """The sample with every member flagged. A driver's own SUSPECT, FAIL or MISSING is never made better."""
    return Sample(sample.device, sample.stamp, tuple([_judge(member) for member in sample.members]))


def _judge(member: Member) -> Member:
    if type(member) is Reading:
        quantity, value, flag = member
        if value is None:
            return Reading(quantity, None, Flag.MISSING)
        low, high = _LIMITS.get(quantity, _NO_LIMIT)
        if not low <= value <= high:
            return Reading(quantity, value, Flag.FAIL)
        return Reading(quantity, value, Flag.GOOD) if flag is Flag.UNKNOWN else member
    if isinstance(member, Position):
        in_range = -90 <= member.lat_deg <= 90 and -180 <= member.lon_deg <= 180
        return member._replace(flag=_worse(member.flag, in_range))
    if isinstance(member, Series):
        return member._replace(flag=_worse(member.flag, _all_within(member.quantity, member.values)))
    return member


def _all_within(quantity: str, values: Iterable[float]) -> bool:
    low, high = _LIMITS.get(quantity, _NO_LIMIT)
    return all(low <= value <= high for value in values)


def _worse(flag: Flag, in_range: bool) -> Flag:
    if not in_range:
        return Flag.FAIL
    return Flag.GOOD if flag is Flag.UNKNOWN else flag
