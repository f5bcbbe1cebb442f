"""Run one of our commands on uvloop: `python -m benchmarks.with_uvloop kanmon-hub serve ...`."""

import asyncio
import runpy
import sys
from importlib import import_module
from importlib.util import find_spec

from benchmarks.processes import SCRIPTS

IS_THERE = find_spec("uvloop") is not None
MISSING = "uvloop is not installed in this environment"


def main() -> None:
    """Set the loop, then be the command."""
    uvloop = import_module("uvloop")  # not of our requirements
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    sys.argv = sys.argv[1:]
    runpy.run_path(str(SCRIPTS / sys.argv[0]), run_name="__main__")


if __name__ == "__main__":
    main()
