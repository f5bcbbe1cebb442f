"""The table of drivers: every line leads to a module that offers what a driver must."""

import pytest
from pydantic import BaseModel

from contract.errors import Misconfigured
from drivers import registry


@pytest.mark.parametrize("kind", ["modbus", "nmea_receiver"])
def test_a_known_kind_loads_its_module(kind: str) -> None:
    module = registry.load(kind)
    assert issubclass(module.Config, BaseModel)
    assert callable(module.open)
    assert module.Config.model_config.get("extra") == "forbid"


def test_an_unknown_kind_is_told_with_the_known_ones() -> None:
    with pytest.raises(Misconfigured) as caught:
        registry.load("toaster")
    assert 'kind "toaster"' in str(caught.value)
    for kind in registry.DRIVERS:
        assert kind in str(caught.value)


def test_every_kind_is_listed() -> None:
    assert set(registry.DRIVERS) <= set(registry.kinds())
