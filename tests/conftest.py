"""How far Hypothesis goes: as far as a quick run allows, or at full length for `make test-long`."""

import os

from hypothesis import settings

pytest_plugins = ["support.postgres", "support.stores"]

# Two busy cores make a single example slow now and then, which says nothing about the code: no deadline.
settings.register_profile("quick", max_examples=100, deadline=None)
settings.register_profile("long", max_examples=20_000, deadline=None)
settings.load_profile("long" if os.environ.get("KANMON_TEST_LONG") == "1" else "quick")
