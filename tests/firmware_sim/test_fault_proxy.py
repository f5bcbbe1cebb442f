"""The fault proxy between a real client and a real server: each fault as a peer sees it, and what is left after it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

import pytest

from firmware_sim import fault_proxy
from firmware_sim.fault_proxy import BOTH, FaultProxy, Way
from support.waiting import until

SHORT_S = 0.2
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Target:
    """A server that keeps what it is sent, and echoes it."""

    got: bytearray = field(default_factory=bytearray)
    served: int = 0
    ended: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.served += 1
        try:
            while data := await reader.read(65536):
                self.got += data
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        self.ended += 1
        writer.transport.abort()


@dataclass
class Bench:
    target: Target
    proxy: FaultProxy
    clients: list[asyncio.StreamWriter] = field(default_factory=list)

    async def client(self) -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.proxy.port)
        self.clients.append(writer)
        return reader, writer


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    target = Target()
    server = await asyncio.start_server(target.serve, "127.0.0.1", 0)
    async with FaultProxy(server.sockets[0].getsockname()[1]) as proxy:
        bench = Bench(target, proxy)
        yield bench
        for client in bench.clients:
            client.transport.abort()
    server.close()
    await until(lambda: target.ended == target.served)
    assert proxy.held_bytes == 0


async def echoed(streams: Streams, data: bytes) -> bytes:
    reader, writer = streams
    writer.write(data)
    return await asyncio.wait_for(reader.readexactly(len(data)), 5)


async def is_silent(reader: asyncio.StreamReader) -> bool:
    try:
        await asyncio.wait_for(reader.read(1), SHORT_S)
    except TimeoutError:
        return True
    return False


async def ends(reader: asyncio.StreamReader) -> None:
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 5)


async def test_it_passes_everything_both_ways_in_order(bench: Bench) -> None:
    data = bytes(range(256)) * 8192
    assert await echoed(await bench.client(), data) == data
    assert bench.proxy.connections == 1


async def test_the_end_of_either_side_reaches_the_other(bench: Bench) -> None:
    client = await bench.client()
    await echoed(client, b"a")
    client[1].close()
    await until(lambda: bench.target.ended == 1)


async def test_a_cut_ends_connections_and_takes_new_ones(bench: Bench) -> None:
    client = await bench.client()
    await echoed(client, b"a")
    bench.proxy.cut()
    await ends(client[0])
    await until(lambda: bench.target.ended == 1)
    assert await echoed(await bench.client(), b"b") == b"b"


async def test_it_refuses_until_it_heals_on_the_same_port(bench: Bench) -> None:
    client, port = await bench.client(), bench.proxy.port
    await echoed(client, b"a")
    bench.proxy.refuse()
    await ends(client[0])
    with pytest.raises(ConnectionRefusedError):
        await bench.client()
    await bench.proxy.heal()
    assert bench.proxy.port == port
    assert await echoed(await bench.client(), b"b") == b"b"


async def test_a_black_hole_keeps_the_link_open_and_loses_no_byte_once_it_heals(bench: Bench) -> None:
    client = await bench.client()
    await echoed(client, b"a")
    bench.proxy.black_hole()
    client[1].write(b"b")
    assert await is_silent(client[0])
    assert bench.target.got == b"a"
    await bench.proxy.heal()
    assert await asyncio.wait_for(client[0].readexactly(1), 5) == b"b"


@pytest.mark.parametrize("way", Way)
async def test_a_black_hole_of_one_way_lets_the_other_pass(bench: Bench, way: Way) -> None:
    client = await bench.client()
    await echoed(client, b"a")
    bench.proxy.black_hole({way})
    client[1].write(b"b")
    assert await is_silent(client[0])
    assert bench.target.got == (b"ab" if way is Way.DOWN else b"a")
    await bench.proxy.heal()
    assert await asyncio.wait_for(client[0].readexactly(1), 5) == b"b"


async def test_what_a_client_left_in_a_black_hole_arrives_late_and_then_its_end(bench: Bench) -> None:
    """A client that gave up: its last bytes were on the way, and reach the target after a new connection's."""
    client = await bench.client()
    await echoed(client, b"a")
    bench.proxy.black_hole()
    client[1].write(b"b")
    await client[1].drain()
    client[1].close()
    await until(lambda: bench.proxy.held_bytes == 1)
    assert (bench.target.got, bench.target.ended) == (b"a", 0)
    await bench.proxy.heal()
    await until(lambda: bench.target.ended == 1)
    assert bench.target.got == b"ab"


async def test_a_connection_made_and_given_up_inside_a_black_hole_never_reaches_the_target(bench: Bench) -> None:
    bench.proxy.black_hole()
    reader, writer = await bench.client()
    writer.write(b"hello")
    assert await is_silent(reader)
    writer.close()
    await until(lambda: bench.proxy.held_bytes == 0)
    await bench.proxy.heal()
    assert await echoed(await bench.client(), b"b") == b"b"
    assert bench.target.served == 1


async def test_a_connection_made_inside_a_black_hole_lives_once_it_heals(bench: Bench) -> None:
    bench.proxy.black_hole(BOTH)
    reader, writer = await bench.client()
    writer.write(b"hello")
    assert await is_silent(reader)
    await bench.proxy.heal()
    assert await asyncio.wait_for(reader.readexactly(5), 5) == b"hello"


async def test_a_black_hole_holds_a_bounded_number_of_bytes(bench: Bench) -> None:
    """The rest stays with its sender, which is not read any more."""
    client = await bench.client()
    await echoed(client, b"a")
    bench.proxy.black_hole()
    most = (fault_proxy.CHUNKS_HELD + 2) * fault_proxy.CHUNK_BYTES
    data = bytes(40 * 2**20)
    client[1].write(data)
    await until(lambda: bench.proxy.held_bytes > most // 2)
    assert await is_silent(client[0])
    assert bench.proxy.held_bytes <= most
    await bench.proxy.heal()
    assert await asyncio.wait_for(client[0].readexactly(len(data)), 20) == data


async def test_connections_have_a_bound(bench: Bench) -> None:
    bench.proxy.black_hole()
    clients = [await bench.client() for _ in range(fault_proxy.MOST_CONNECTIONS)]
    await until(lambda: bench.proxy.connections == fault_proxy.MOST_CONNECTIONS)
    await ends((await bench.client())[0])
    bench.proxy.cut()
    for reader, _ in clients:
        await ends(reader)


async def test_the_bound_can_be_set_for_a_bench_of_many_clients() -> None:
    async with FaultProxy(0, most_connections=1) as proxy:
        proxy.black_hole()
        readers = [(await asyncio.open_connection("127.0.0.1", proxy.port)) for _ in range(2)]
        await until(lambda: proxy.connections == 2)
        await ends(readers[1][0])
        assert await is_silent(readers[0][0])
        for _, writer in readers:
            writer.transport.abort()


async def took_s(run: Callable[[], Awaitable[object]]) -> float:
    loop = asyncio.get_running_loop()
    start = loop.time()
    await run()
    return loop.time() - start


async def test_a_delay_holds_each_way_and_ends_with_the_heal(bench: Bench) -> None:
    client = await bench.client()
    bench.proxy.slow(delay_s=0.15)
    assert await took_s(lambda: echoed(client, b"a")) >= 0.3
    await bench.proxy.heal()
    assert await took_s(lambda: echoed(client, b"b")) < 0.3


async def test_a_lossy_link_stalls_and_passes_every_byte_in_order(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fault_proxy, "STALL_S", (0.1, 0.1))
    monkeypatch.setattr(fault_proxy, "GIVEN_UP_SHARE", 0.0)
    client = await bench.client()
    bench.proxy.lossy(Random(1))
    lines = [bytes([number]) * 10 for number in range(40)]

    async def say_all() -> None:
        for line in lines:
            assert await echoed(client, line) == line

    assert await took_s(say_all) > 0.4
    await bench.proxy.heal()
    assert await took_s(say_all) < 0.4


async def test_a_lossy_link_gives_a_connection_up_now_and_then(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fault_proxy, "GIVEN_UP_SHARE", 1.0)
    client = await bench.client()
    await echoed(client, b"a")
    bench.proxy.lossy(Random(1))
    client[1].write(b"b")
    await ends(client[0])
    await bench.proxy.heal()
    assert await echoed(await bench.client(), b"b") == b"b"


async def test_a_limited_bandwidth_is_kept_and_ends_with_the_heal(bench: Bench) -> None:
    client = await bench.client()
    await echoed(client, b"a")
    bench.proxy.slow(bytes_per_s=10_000)
    assert await took_s(lambda: echoed(client, bytes(4000))) >= 0.35
    client[1].write(bytes(200_000))
    assert len(await asyncio.wait_for(client[0].readexactly(500), 5)) == 500
    await bench.proxy.heal()
    assert await took_s(lambda: client[0].readexactly(199_500)) < 5


async def test_a_target_that_refuses_ends_the_client_and_is_tried_again() -> None:
    async with held_port() as port, FaultProxy(port) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        await ends(reader)
        writer.transport.abort()
        server = await asyncio.start_server(Target().serve, "127.0.0.1", port)
        async with server:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            assert await echoed((reader, writer), b"a") == b"a"
            writer.transport.abort()


@asynccontextmanager
async def held_port() -> AsyncIterator[int]:
    """A port on which nobody listens for now."""
    async with FaultProxy(0) as other:
        other.refuse()
        yield other.port
