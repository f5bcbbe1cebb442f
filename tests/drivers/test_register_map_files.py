"""The maps that are shipped and the one in the guide are maps that the gateway takes."""

import re
from pathlib import Path

import pytest

from contract.configuration import parse
from drivers.codecs.modbus_map import Register, RegisterMap
from drivers.codecs.modbus_registers import blocks

REPOSITORY = Path(__file__).parents[2]
GUIDE = REPOSITORY / "docs" / "register-maps.md"
SHIPPED = sorted((REPOSITORY / "deploy" / "maps").glob("*.toml"))


@pytest.mark.parametrize("path", SHIPPED, ids=[path.name for path in SHIPPED])
def test_a_shipped_map_is_read_in_few_requests(path: Path) -> None:
    register_map = parse(RegisterMap, path.read_text(), str(path))
    assert len(blocks(register_map)) <= 3


def test_the_guides_map_is_a_map() -> None:
    examples = re.findall(r"```toml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    maps = [text for text in examples if "[[register]]" in text]
    assert len(maps) == 1
    (block,) = blocks(parse(RegisterMap, maps[0], "guide"))
    assert [(reading.quantity, reading.value) for reading in block.decode([0x7FFF, 0x0000, 0x447D])] == [
        ("air_temperature", None),
        ("pressure", 1012.0),
    ]


def test_the_guide_names_every_key() -> None:
    guide = GUIDE.read_text()
    keys = {"register" if name == "registers" else name for name in RegisterMap.model_fields} | set(
        Register.model_fields
    )
    assert {key for key in keys if f"`{key}`" not in guide and f"[[{key}]]" not in guide} == set()
