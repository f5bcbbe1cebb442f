"""A client of the broker that says again what gateways said: the module of this package that knows NATS.

It hears every upward message beside the hub's own stream, and publishes them again to that stream: several times, in
another order, or in place of the originals.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from cloud_sync.topics import STREAM_SUBJECTS
from contract.errors import Unreachable

MOST_KEPT = 500
CONNECT_LIMIT_S = 10.0
ANSWER_LIMIT_S = 2.0
STEP_S = 0.2
"""Between two bursts of repeats."""
BURST = 20
"""Messages in one burst."""


class Repeater:
    """What was heard lately, to be said again. Raises Unreachable."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kept: deque[tuple[str, bytes]] = deque(maxlen=MOST_KEPT)
        self._any = asyncio.Event()
        self.heard = 0
        """How many messages so far."""

    async def hear(self, message: Msg) -> None:
        """Keep a message."""
        self._kept.append((message.subject, message.data))
        self.heard += 1
        self._any.set()

    async def repeat(self, random: Random, for_s: float) -> int:
        """Say what was heard again, burst after burst in any order; returns how many messages that was."""
        loop = asyncio.get_running_loop()
        until, said = loop.time() + for_s, 0
        while loop.time() < until:
            said += await self._say([random.choice(self._kept) for _ in range(BURST if self._kept else 0)])
            await asyncio.sleep(STEP_S)
        return said

    async def replace(self, random: Random) -> int:
        """Throw away what waits in the stream, and put what was heard into it, shuffled, each message twice."""
        stream = await self._stream()
        messages = [*self._kept, *self._kept]
        random.shuffle(messages)
        await self._client.jetstream().purge_stream(stream)
        return await self._say(messages)

    async def flood(self, random: Random, limit_s: float) -> int:
        """Repeat until the stream has thrown away everything that waited in it; returns how many messages it took."""
        async with asyncio.timeout(limit_s):
            await self._any.wait()
        jetstream = self._client.jetstream()
        name = await self._stream()
        last = (await jetstream.stream_info(name)).state.last_seq
        said = 0
        async with asyncio.timeout(limit_s):
            while (await jetstream.stream_info(name)).state.first_seq <= last:
                said += await self._say([random.choice(self._kept) for _ in range(BURST)])
        return said

    async def _stream(self) -> str:
        return str(await self._client.jetstream().find_stream_name_by_subject(STREAM_SUBJECTS.replace("*", "any")))

    async def _say(self, messages: list[tuple[str, bytes]]) -> int:
        for subject, payload in messages:
            await self._client.publish(subject, payload)
        await self._client.flush(int(CONNECT_LIMIT_S))
        return len(messages)


@asynccontextmanager
async def repeater(urls: Sequence[str], user: str, password: str) -> AsyncIterator[Repeater]:
    """Connected to one of `urls` while entered. Raises Unreachable, whatever the library says."""
    client = Client()
    heard = Repeater(client)
    try:
        async with asyncio.timeout(CONNECT_LIMIT_S):
            await _connect(client, urls, user, password)
            await client.subscribe(STREAM_SUBJECTS, cb=heard.hear)
        yield heard
    except (NatsError, OSError, TimeoutError) as error:
        raise Unreachable(f"the broker does not answer the repeater ({type(error).__name__}: {error})") from error
    finally:
        if client.is_connected:
            await client.close()


async def all_answer(urls: Sequence[str], user: str, password: str) -> bool:
    """True when JetStream answers through each of `urls`: a cluster has its leader."""
    for url in urls:
        client = Client()
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                await _connect(client, [url], user, password)
                await client.jetstream().account_info()
        except (NatsError, OSError, TimeoutError):
            return False
        finally:
            if client.is_connected:
                await client.close()
    return True


async def _connect(client: Client, urls: Sequence[str], user: str, password: str) -> None:
    """Once: what is lost is not made again."""
    servers = list(urls)
    await client.connect(servers, user=user, password=password, name="chaos", allow_reconnect=False, error_cb=_unsaid)


async def _unsaid(error: Exception) -> None:
    """The library would write a traceback of each; what matters is raised."""
    del error
