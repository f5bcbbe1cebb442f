"""The way between gateway and hub: one fault proxy a broker node, all steered as one link."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

from firmware_sim.chaos_kinds import Kind
from firmware_sim.chaos_plan import Fault
from firmware_sim.fault_proxy import FaultProxy


class Link:
    """Proxies in front of the broker's nodes, in their order."""

    def __init__(self, proxies: Sequence[FaultProxy]) -> None:
        self._proxies = tuple(proxies)

    @property
    def ports(self) -> tuple[int, ...]:
        """Where the gateway finds the nodes."""
        return tuple(proxy.port for proxy in self._proxies)

    @property
    def connected(self) -> int | None:
        """The node that the gateway is connected to; None while there is none."""
        return next((number for number, proxy in enumerate(self._proxies) if proxy.live), None)

    async def worsen(self, fault: Fault) -> None:
        """Let the fault of a link begin."""
        for proxy in self._proxies:
            match fault.kind:
                case Kind.CUT:
                    proxy.cut()
                case Kind.REFUSED:
                    proxy.refuse()
                case Kind.BLACK_HOLE:
                    proxy.black_hole(fault.ways)
                case Kind.SLOW:
                    proxy.slow(fault.delay_s, fault.bytes_per_s)
                case Kind.LOSSY:
                    proxy.lossy(Random(fault.seed))  # noqa: S311  a schedule, not a secret
                case _:
                    raise AssertionError(f"{fault.kind} is no fault of a link")

    async def heal(self, *, cut: bool = False) -> None:
        """Everything passes again, after a reset of every connection if asked for."""
        for proxy in self._proxies:
            if cut:
                proxy.cut()
            await proxy.heal()


@asynccontextmanager
async def link(mqtt_ports: Sequence[int]) -> AsyncIterator[Link]:
    """A link to the brokers on these ports."""
    async with AsyncExitStack() as stack:
        yield Link([await stack.enter_async_context(FaultProxy(port)) for port in mqtt_ports])
