"""Which things travel and which stand: told by what they say of themselves, since a place alone does not tell. Pure."""

from collections.abc import Iterable

from hub.store.rows import LatestRow, PositionValue

PLACES = frozenset({"position", "mesh_cell"})
_OF_A_RECEIVER = frozenset({"mesh_cell", "altitude", "satellites"})
"""What only a receiver of satellites leads to; the place of a station comes from its gateway's settings, alone."""


def travels(rows: Iterable[LatestRow]) -> bool:
    """True when `rows`, the newest of one thing, are of one that finds its place anew: a vehicle's tracker."""
    return any(row.quantity in _OF_A_RECEIVER or _tells_motion(row) for row in rows)


def _tells_motion(row: LatestRow) -> bool:
    value = row.value
    return isinstance(value, PositionValue) and (value.speed_mps is not None or value.course_deg is not None)
