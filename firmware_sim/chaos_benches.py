"""Which bench belongs to which set-up."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from firmware_sim.chaos_bench import Bench
from firmware_sim.chaos_kinds import Setup
from firmware_sim.children import Children
from firmware_sim.demo import Options


@asynccontextmanager
async def bench_of(setup: Setup, options: Options, children: Children) -> AsyncIterator[Bench]:
    """The bench of a set-up; what it needs on disk goes when it is left."""
    match setup:
        case Setup.EMBEDDED:
            yield Bench(options, children)
        case other:
            raise AssertionError(f"{other} has no bench")
