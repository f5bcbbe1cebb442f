"""Mesh codes equal the standard, exactly, also on grid lines (JIS X 0410; promise: no field finer than the mesh)."""

import json
from fractions import Fraction
from math import floor, inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.mesh import LEVELS, cell_centre, mesh_code
from contract.errors import ProtocolError, Refused
from support.corpus import corpus

CELLS = {
    1: (Fraction(2, 3), Fraction(1)),
    2: (Fraction(1, 12), Fraction(1, 8)),
    3: (Fraction(1, 120), Fraction(1, 80)),
    4: (Fraction(1, 240), Fraction(1, 160)),
    5: (Fraction(1, 480), Fraction(1, 320)),
    6: (Fraction(1, 960), Fraction(1, 640)),
}
"""Height and width of a cell in degrees."""


def rational_code(lat: Fraction, lon: Fraction, level: int) -> str:
    """The standard's text in rational numbers, level by level, written apart from the code under test."""
    row = [floor(lat / CELLS[n][0]) for n in range(1, level + 1)]
    column = [floor((lon - 100) / CELLS[n][1]) for n in range(1, level + 1)]
    code = f"{row[0]:02d}{column[0]:02d}"
    for n in range(1, level):
        if n < 3:
            parts = (8, 8) if n == 1 else (10, 10)
            code += f"{row[n] - row[n - 1] * parts[0]}{column[n] - column[n - 1] * parts[1]}"
        else:
            code += "1234"[2 * (row[n] - 2 * row[n - 1]) + column[n] - 2 * column[n - 1]]
    return code


@pytest.mark.parametrize("part", ["published", "vectors"])
def test_codes_equal_the_public_vectors(part: str) -> None:
    rows = [row for row in json.loads(corpus("mesh/vectors.json").read_text())[part] if row["level"] in LEVELS]
    assert len(rows) >= 12
    wrong = [row for row in rows if mesh_code(row["lat"], row["lon"], row["level"]) != row["code"]]
    assert wrong == []


@pytest.mark.parametrize(("level", "code"), [(3, "50307745"), (4, "503077453"), (5, "5030774534"), (6, "50307745343")])
def test_the_city_hall_lies_in_its_known_cells(level: int, code: str) -> None:
    assert mesh_code(33.957831, 130.941459, level) == code


@given(
    level=st.sampled_from(list(LEVELS)),
    row=st.integers(0, 99 * 640),
    column=st.integers(0, 79 * 640),
    beside=st.integers(-2, 2),
    along=st.integers(-2, 2),
)
def test_points_on_and_beside_grid_lines_fall_as_rational_arithmetic_says(
    level: int, row: int, column: int, beside: int, along: int
) -> None:
    height, width = CELLS[level]
    lat_micro = floor(row % floor(66 / height) * height * 1_000_000) + beside
    lon_micro = floor((100 + column % floor(79 / width) * width) * 1_000_000) + along
    if not (lat_micro >= 0 and lon_micro >= 100_000_000):
        return
    expected = rational_code(Fraction(lat_micro, 1_000_000), Fraction(lon_micro, 1_000_000), level)
    assert mesh_code(lat_micro / 1_000_000, lon_micro / 1_000_000, level) == expected


@given(
    lat=st.floats(0, 66.6, allow_nan=False), lon=st.floats(100, 179.9, allow_nan=False), level=st.sampled_from(LEVELS)
)
def test_the_centre_of_a_cell_lies_in_the_cell_and_levels_nest(lat: float, lon: float, level: int) -> None:
    code = mesh_code(lat, lon, level)
    assert mesh_code(*cell_centre(code), level) == code
    assert level == 1 or code.startswith(mesh_code(lat, lon, level - 1))


@pytest.mark.parametrize(
    ("lat", "lon"), [(-0.1, 130), (66.7, 130), (33, 99.9), (33, 180), (33, -130), (nan, 130), (33, inf), (0, 0)]
)
def test_a_position_outside_the_grid_is_refused(lat: float, lon: float) -> None:
    with pytest.raises(Refused):
        mesh_code(lat, lon, 4)


@pytest.mark.parametrize("level", [0, 7, -1])
def test_an_unknown_level_is_a_mistake_of_the_caller(level: int) -> None:
    with pytest.raises(ValueError, match="level"):
        mesh_code(33, 130, level)


@pytest.mark.parametrize(
    "code", ["", "53", "533", "53393", "533985", "533958", "53393599x", "533935990", "533935995", "5380"]
)
def test_a_text_that_names_no_cell_breaks_the_protocol(code: str) -> None:
    with pytest.raises(ProtocolError):
        cell_centre(code)
