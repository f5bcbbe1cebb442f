"""JIS X 0410 regional mesh codes (地域メッシュ), levels 1 (80 km) to 6 (125 m), in exact integer arithmetic.

A point is rounded to integer micro-degrees first: on a grid line floating point and exact arithmetic disagree in more
than half of all cases. All lengths below are micro-minutes (60 to the micro-degree), in which every cell size of the
standard is a whole number.
"""

from contract.errors import ProtocolError, Refused

LEVELS = range(1, 7)

_LAT_MINUTES = (40_000_000, 5_000_000, 500_000, 250_000, 125_000, 62_500)
"""Height of a cell of each level: 40', 5', 30", then halves."""
_LON_MINUTES = (60_000_000, 7_500_000, 750_000, 375_000, 187_500, 93_750)
"""Width of a cell of each level: 1 degree, 7.5', 45", then halves."""
_LON_ORIGIN = 100 * 60_000_000
_LAT_LIMIT = 100 * _LAT_MINUTES[0]
_LON_LIMIT = 80 * _LON_MINUTES[0]
"""The grid's north and east ends, from its origin at 0 N 100 E: two digits of latitude, and 180 E."""
_LENGTHS = {4: 1, 6: 2, 8: 3, 9: 4, 10: 5, 11: 6}


def mesh_code(lat_deg: float, lon_deg: float, level: int) -> str:
    """The code of the cell of `level` that holds the point; south and west edges belong to a cell.

    Refused for a point outside the grid (0 to 66.67 N, 100 to 180 E): it has no cell to be released as.
    """
    if level not in LEVELS:
        raise ValueError(f"mesh level {level} is not 1 to 6")
    lat, lon = _from_origin(lat_deg, lon_deg)
    code = f"{lat // _LAT_MINUTES[0]:02d}{lon // _LON_MINUTES[0]:02d}"
    for step in range(1, level):
        row = lat % _LAT_MINUTES[step - 1] // _LAT_MINUTES[step]
        column = lon % _LON_MINUTES[step - 1] // _LON_MINUTES[step]
        # Levels 2 and 3 write row and column, the halves below one digit: 1 SW, 2 SE, 3 NW, 4 NE.
        code += f"{row}{column}" if step < 3 else str(1 + 2 * row + column)
    return code


def cell_centre(code: str) -> tuple[float, float]:
    """Latitude and longitude in degrees of the middle of the cell; ProtocolError when `code` names no cell."""
    level = _LENGTHS.get(len(code))
    if level is None or not (code.isascii() and code.isdigit()):
        raise ProtocolError("mesh code is not 4, 6, 8, 9, 10 or 11 digits")
    lat = int(code[0:2]) * _LAT_MINUTES[0]
    lon = _LON_ORIGIN + int(code[2:4]) * _LON_MINUTES[0]
    for step in range(1, level):
        row, column = _digits(code, step)
        lat += row * _LAT_MINUTES[step]
        lon += column * _LON_MINUTES[step]
    half_lat, half_lon = _LAT_MINUTES[level - 1] / 2, _LON_MINUTES[level - 1] / 2
    if lon >= _LON_ORIGIN + _LON_LIMIT:
        raise ProtocolError("mesh code lies east of 180 degrees")
    return (lat + half_lat) / 60_000_000, (lon + half_lon) / 60_000_000


def _from_origin(lat_deg: float, lon_deg: float) -> tuple[int, int]:
    """Micro-minutes north and east of the grid's origin."""
    # Also false for NaN and the infinities, which cannot be rounded.
    if not (-90 <= lat_deg <= 90 and -180 <= lon_deg <= 180):
        raise Refused("position is not on Earth and has no mesh cell")
    lat = round(lat_deg * 1_000_000) * 60
    lon = round(lon_deg * 1_000_000) * 60 - _LON_ORIGIN
    if not (0 <= lat < _LAT_LIMIT and 0 <= lon < _LON_LIMIT):
        raise Refused("position lies outside the JIS X 0410 grid and has no mesh cell")
    return lat, lon


def _digits(code: str, step: int) -> tuple[int, int]:
    """Row and column that `code` gives at `step` (1: level 2)."""
    if step < 3:
        row, column = int(code[2 + 2 * step]), int(code[3 + 2 * step])
        limit = _LAT_MINUTES[step - 1] // _LAT_MINUTES[step], _LON_MINUTES[step - 1] // _LON_MINUTES[step]
        if row >= limit[0] or column >= limit[1]:
            raise ProtocolError(f"mesh code has no such cell at level {step + 1}")
        return row, column
    half = int(code[5 + step]) - 1
    if half not in range(4):
        raise ProtocolError(f"mesh code has no such quarter at level {step + 1}")
    return half // 2, half % 2
