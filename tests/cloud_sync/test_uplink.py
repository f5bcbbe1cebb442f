"""The uplink against a hub that forgets, repeats and goes away: everything arrives, and only receipts end a message.

Time is virtual: a hub that is silent for hours costs nothing.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import wraps
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_sync.envelope import MAX_BOOTS, Envelope, decode_envelope
from cloud_sync.link_settings import LinkSettings
from cloud_sync.throttle import Throttle
from cloud_sync.uplink import BACKLOG_WINDOW, LIVE_PAGE, WINDOW, Boots, KnownTime, Uplink
from contract.boot import BootId, BootTime
from contract.errors import Unreachable
from contract.ids import Epoch, GatewayId
from contract.record import Range, Stream
from support.memory_outbox import EPOCH, MemoryOutbox
from support.virtual_time import run
from support.waiting import until

GATEWAY = GatewayId("gw-1")
SETTINGS = LinkSettings(batch_records=10, resend_first_s=10.0)
ROUND_TRIP_S = 0.05
RECEIPTED, SILENT, LOST, CUT, TWICE, TOO_LATE = "receipted", "silent", "lost", "cut", "receipted twice", "too late"
FATES = [RECEIPTED] * 12 + [SILENT, LOST, CUT, TWICE, TOO_LATE]


@dataclass
class Sent:
    """A message as the hub's broker got it."""

    at_s: float
    stream: str
    envelope: Envelope

    def ranges(self) -> list[Range]:
        return [part.range for part in self.envelope.parts]


@dataclass
class SimulatedHub:
    """Broker and hub: `fate` says what becomes of each message. Receipts take a round trip."""

    outbox: MemoryOutbox
    fate: Callable[[], str] = lambda: RECEIPTED
    sent: list[Sent] = field(default_factory=list)
    stored: set[Range] = field(default_factory=set)
    open: dict[Range, float] = field(default_factory=dict)
    doubled: list[Range] = field(default_factory=list)
    uplink: Uplink | None = None

    async def publish(self, topic: str, payload: bytes) -> None:
        """One message, and whether a copy of any of it was still under way."""
        loop = asyncio.get_running_loop()
        message = Sent(loop.time(), topic.rsplit("/", 1)[1], decode_envelope(payload))
        self.sent.append(message)
        for range_ in message.ranges():
            if loop.time() - self.open.get(range_, float("-inf")) < SETTINGS.resend_first_s:
                self.doubled.append(range_)
            self.open[range_] = loop.time()
        fate = self.fate()
        await asyncio.sleep(ROUND_TRIP_S / 2)
        if fate == CUT:
            raise Unreachable("cut")
        if fate == LOST:
            return
        self.stored.update(message.ranges())
        if fate != SILENT:
            loop.call_later(ROUND_TRIP_S / 2, self.receipt, message.ranges())
        if fate == TWICE:
            loop.call_later(ROUND_TRIP_S, self.receipt, message.ranges())
        if fate == TOO_LATE:
            loop.call_later(SETTINGS.resend_first_s * 1.5, self.receipt, message.ranges())

    def receipt(self, ranges: Iterable[Range]) -> None:
        """The hub's receipt arrives."""
        assert self.uplink is not None
        self.outbox.take(ranges)
        self.uplink.receipted(ranges)
        for range_ in ranges:
            self.open.pop(range_, None)

    async def connect(self, boots: Boots, settings: LinkSettings) -> None:
        """One connection, until it is cut."""
        self.open.clear()
        self.uplink = Uplink(GATEWAY, self.outbox, boots, self, settings, Throttle(settings.max_bytes_per_s))
        await self.uplink.forward()

    def texts(self) -> list[bytes]:
        return [part.blob for message in self.sent for part in message.envelope.parts]


@asynccontextmanager
async def connected(hub: SimulatedHub, boots: Boots | None = None, settings: LinkSettings = SETTINGS):
    """The uplink runs, on a connection that lasts."""
    task = asyncio.create_task(hub.connect(boots or KnownTime(), settings))
    await asyncio.sleep(0.001)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled(), task.exception()


def in_virtual_time(test: Callable[..., Coroutine]) -> Callable[..., None]:
    """Let a test's hours pass at once."""

    @wraps(test)
    def timeless(*arguments, **named) -> None:
        run(test(*arguments, **named))

    return timeless


actions = st.one_of(
    st.tuples(st.just("alert"), st.integers(1, 3)),
    st.tuples(st.just("data"), st.integers(1, 30)),
    st.tuples(st.just("many"), st.integers(1, 2 * LIVE_PAGE.entries)),
    st.tuples(st.just("pause"), st.integers(1, 1000)),
    st.tuples(st.just("withdraw"), st.just(0)),
)


@settings(max_examples=60)
@given(st.integers(0, 300), st.lists(actions, max_size=60), st.integers(0, 2**32))
def test_whatever_happens_everything_arrives_and_nothing_is_under_way_twice(backlog, steps, seed):
    """Promise 1: adds, receipts, silence, losses, cuts and withdrawals in any order."""

    async def play() -> None:
        random = Random(seed)
        outbox = MemoryOutbox()
        hub = SimulatedHub(outbox, lambda: random.choice(FATES))
        expected = {outbox.put(Stream.DATA, random.randint(1, 25)) for _ in range(backlog)}

        async def reconnect() -> None:
            while True:
                with pytest.raises(BaseExceptionGroup):
                    await hub.connect(KnownTime(), SETTINGS)
                await asyncio.sleep(0.1)

        task = asyncio.create_task(reconnect())
        for action, size in steps:
            if action == "pause":
                await asyncio.sleep(size / 1000)
            elif action == "withdraw":
                outbox.withdraw()
                mark, withdrawn = len(hub.sent), {entry.part.range for entry in outbox.waiting()}
                await asyncio.sleep(0.001)
                late = [p for m in hub.sent[mark:] for p in m.envelope.parts if p.range in withdrawn]
                assert all(part.blob == b"" for part in late)
            else:
                stream = Stream.ALERT if action == "alert" else Stream.DATA
                expected.update(
                    outbox.put(stream, 1 if action == "many" else size) for _ in range(size if action == "many" else 1)
                )
        await until(lambda: not outbox.waiting(), 100_000)
        task.cancel()
        await asyncio.wait([task])
        assert hub.stored == expected
        assert hub.doubled == []

    run(play())


@in_virtual_time
async def test_a_broker_that_keeps_nothing_large_and_does_not_say_so_gets_it_in_pieces():
    """A stream with a limit acknowledges a message above it and forgets it, however often it comes."""
    outbox = MemoryOutbox()
    hub = SimulatedHub(outbox)
    most = 30_000
    hub.fate = lambda: LOST if sum(len(part.blob) for part in hub.sent[-1].envelope.parts) > most else RECEIPTED
    expected = {outbox.put(Stream.DATA, blob=bytes(1000)) for _ in range(3000)}
    async with connected(hub, settings=LinkSettings(batch_records=1000)):
        start_s = asyncio.get_running_loop().time()
        await until(lambda: not outbox.waiting(), 1000)
        lasted_s = asyncio.get_running_loop().time() - start_s
    assert hub.stored == expected
    assert hub.doubled == []
    assert lasted_s < 60


@in_virtual_time
async def test_fresh_values_go_at_once_while_a_backlog_drains():
    """A backlog of 10,000 entries before them does not make them wait a round trip."""
    outbox, hub = MemoryOutbox(), None
    for _ in range(10_000):
        outbox.put(Stream.DATA, 10, b"b" * 130)
    hub = SimulatedHub(outbox)
    fresh: dict[Range, float] = {}
    async with connected(hub):
        while len(outbox.waiting()) > 200:
            await asyncio.sleep(0.013)
            fresh[outbox.put(Stream.DATA, 1, b"fresh")] = asyncio.get_running_loop().time()
        await asyncio.sleep(2 * ROUND_TRIP_S)
    sent = {range_: message.at_s for message in hub.sent for range_ in message.ranges()}
    assert len(fresh) > 20, "the backlog drained too fast to tell"
    assert max(sent[range_] - at_s for range_, at_s in fresh.items()) <= ROUND_TRIP_S
    assert hub.doubled == []


@in_virtual_time
async def test_what_comes_faster_than_it_goes_joins_the_backlog_and_loses_nothing():
    outbox = MemoryOutbox()
    hub = SimulatedHub(outbox)
    expected = set()
    async with connected(hub):
        for _ in range(50):
            expected.update(outbox.put(Stream.DATA) for _ in range(3 * LIVE_PAGE.entries))
            await asyncio.sleep(0.001)
        await until(lambda: not outbox.waiting(), 100_000)
    assert hub.stored == expected
    assert hub.doubled == []


@in_virtual_time
async def test_an_alert_overtakes_everything():
    """Promise 3, for those who are told by the hub: full windows of data and no receipt for any."""
    outbox = MemoryOutbox()
    for _ in range(10_000):
        outbox.put(Stream.DATA, 10, b"b" * 1000)
    hub = SimulatedHub(outbox, lambda: SILENT)
    async with connected(hub):
        await asyncio.sleep(1)
        outbox.put(Stream.ALERT)
        before = asyncio.get_running_loop().time()
        await asyncio.sleep(0.001)
        assert hub.sent[-1].stream == "alert"
        assert hub.sent[-1].at_s == before


@in_virtual_time
async def test_without_receipts_the_windows_fill_and_sending_stops():
    """A broker that acknowledges and forgets gets no more than the windows hold."""
    outbox = MemoryOutbox()
    for _ in range(5000):
        outbox.put(Stream.DATA, 10)
    hub = SimulatedHub(outbox, lambda: SILENT)
    async with connected(hub):
        await asyncio.sleep(5)
        assert len(hub.sent) == BACKLOG_WINDOW
        for _ in range(WINDOW * 3):
            outbox.put(Stream.DATA, 10)
            await asyncio.sleep(ROUND_TRIP_S)
        assert len(hub.sent) == BACKLOG_WINDOW + WINDOW


@in_virtual_time
async def test_a_silent_hub_is_asked_less_and_less_often():
    outbox = MemoryOutbox()
    outbox.put(Stream.DATA)
    hub = SimulatedHub(outbox, lambda: SILENT)
    async with connected(hub):
        await asyncio.sleep(3600)
    waits = [round(b.at_s - a.at_s) for a, b in zip(hub.sent, hub.sent[1:], strict=False)]
    assert waits[:6] == [10, 20, 40, 80, 160, 300]
    assert set(waits[6:]) == {300}


@in_virtual_time
async def test_what_was_withdrawn_after_sending_is_sent_again_as_a_tombstone():
    """Promise 2: a repeat never brings back what its person withdrew."""
    outbox = MemoryOutbox()
    outbox.put(Stream.DATA, 2, b"personal")
    hub = SimulatedHub(outbox, lambda: SILENT)
    async with connected(hub):
        await asyncio.sleep(1)
        outbox.withdraw()
        await asyncio.sleep(20)
    assert hub.texts() == [b"personal", b""]


@in_virtual_time
async def test_what_is_withdrawn_while_the_window_is_full_is_not_sent():
    """Promise 2: a hub may be away for hours with whole messages read and ready behind a full window."""
    outbox = MemoryOutbox()
    for _ in range((BACKLOG_WINDOW + 5) * 100):
        outbox.put(Stream.DATA, 1, b"personal")
    hub = SimulatedHub(outbox, lambda: SILENT)
    async with connected(hub):
        await asyncio.sleep(1)
        sent = len(hub.sent)
        outbox.withdraw()
        for message in list(hub.sent):
            hub.receipt(message.ranges())
        await asyncio.sleep(1)
        assert {part.blob for message in hub.sent[sent:] for part in message.envelope.parts} == {b""}


@in_virtual_time
async def test_a_limit_of_bytes_is_kept_fresh_values_go_first_and_alerts_at_once():
    outbox = MemoryOutbox()
    for _ in range(2000):
        outbox.put(Stream.DATA, 1, b"b" * 1000)
    hub = SimulatedHub(outbox)
    limited = replace(SETTINGS, max_bytes_per_s=50_000.0, batch_records=1000)
    seconds, fresh, alerts = 20, {}, {}
    async with connected(hub, settings=limited):
        for _ in range(seconds * 10):
            now_s = asyncio.get_running_loop().time()
            fresh[outbox.put(Stream.DATA, 1, b"f" * 100)] = now_s
            alerts[outbox.put(Stream.ALERT, 1, b"a" * 100)] = now_s
            await asyncio.sleep(0.1)
    passed = sum(len(blob) for blob in hub.texts())
    assert 0.5 * 50_000 * seconds < passed < 50_000 * (seconds + 2)
    sent = {range_: message.at_s for message in hub.sent for range_ in message.ranges()}
    assert max(sent[range_] - at_s for range_, at_s in alerts.items()) < 0.01
    assert max(sent.get(range_, float("inf")) - at_s for range_, at_s in list(fresh.items())[:-10]) < 0.5


BOOT, EARLIER = BootId("b" * 32), BootId("e" * 32)


class Learning:
    """The present boot's time is learnt when the test says so; of the earlier one only bounds are known."""

    def __init__(self) -> None:
        self.known: dict[BootId, BootTime] = {EARLIER: BootTime(EARLIER, None, 1, 2)}
        self.event = asyncio.Event()

    def learn(self) -> None:
        self.known[BOOT] = BootTime(BOOT, 1_700_000_000_000)
        self.event.set()

    def times(self, boots):
        return tuple(self.known[boot] for boot in boots) if set(boots) <= self.known.keys() else None

    async def learnt(self) -> None:
        await self.event.wait()


@in_virtual_time
async def test_data_waits_for_the_time_of_its_boot_and_an_alert_does_not():
    """A gateway that does not know the time yet rings and tells at once; its readings go with the right time."""
    outbox, boots = MemoryOutbox(), Learning()
    hub = SimulatedHub(outbox)
    for boot in (None, EARLIER, BOOT):
        outbox.put(Stream.DATA, 1, b"before", boot)
    async with connected(hub, boots):
        await asyncio.sleep(0.1)
        outbox.put(Stream.DATA, 1, b"fresh", BOOT)
        outbox.put(Stream.ALERT, 1, b"alert", BOOT)
        await asyncio.sleep(1)
        assert hub.texts() == [b"before", b"before", b"alert"]
        assert [dict(message.envelope.boots) for message in hub.sent] == [{}, {EARLIER: boots.known[EARLIER]}, {}]
        boots.learn()
        await asyncio.sleep(1)
        assert sorted(hub.texts()[3:]) == [b"before", b"fresh"]
        assert all(message.envelope.boots[BOOT].zero_ms == 1_700_000_000_000 for message in hub.sent[3:])


@in_virtual_time
async def test_entries_of_more_boots_than_an_envelope_can_name_go_in_several():
    outbox, boots = MemoryOutbox(), Learning()
    for number in range(2 * MAX_BOOTS):
        boot = BootId(f"{number:032x}")
        boots.known[boot] = BootTime(boot, number)
        outbox.put(Stream.DATA, 1, b"x", boot)
    hub = SimulatedHub(outbox)
    async with connected(hub, boots):
        await until(lambda: not outbox.waiting(), 100_000)
    assert all(len(message.envelope.boots) <= MAX_BOOTS for message in hub.sent)


@in_virtual_time
async def test_an_outbox_that_begins_anew_is_read_from_its_start():
    """The file was deleted under the agent: its new entries have lower ids than the old ones had."""
    outbox = MemoryOutbox()
    for _ in range(500):
        outbox.put(Stream.DATA, 10)
    hub = SimulatedHub(outbox, lambda: SILENT)
    async with connected(hub):
        await asyncio.sleep(1)
        outbox.begin_anew(Epoch("1" * 16))
        hub.fate = lambda: RECEIPTED
        expected = {outbox.put(stream, 3) for stream in Stream}
        await asyncio.sleep(1)
        assert expected <= hub.stored
        assert not outbox.waiting()


def several(outbox: MemoryOutbox) -> list[Range]:
    """Three entries of ten records in one message, unreceipted."""
    return [outbox.put(Stream.DATA, 10) for _ in range(3)]


@pytest.mark.parametrize(
    ("receipts", "ended"),
    [
        ([Range(EPOCH, Stream.DATA, 1, 30)], 3),
        ([Range(EPOCH, Stream.DATA, 1, 10)], 1),
        ([Range(EPOCH, Stream.DATA, 5, 25)], 1),
        ([Range(EPOCH, Stream.DATA, 1, 15), Range(EPOCH, Stream.DATA, 10, 30)], 3),
        ([Range(EPOCH, Stream.DATA, 1, 2**62)], 3),
        ([Range(EPOCH, Stream.DATA, 30, 1)], 0),
        ([Range(EPOCH, Stream.ALERT, 1, 30)], 0),
        ([Range(Epoch("f" * 16), Stream.DATA, 1, 30)], 0),
        ([Range(EPOCH, Stream.DATA, 5, 6)], 0),
    ],
    ids=[
        "all",
        "one part",
        "parts of parts",
        "overlap",
        "too much",
        "backwards",
        "other stream",
        "other epoch",
        "within",
    ],
)
@in_virtual_time
async def test_a_receipt_ends_exactly_what_it_covers_whole(receipts, ended):
    """Unknown, overlapping, partial and huge ranges: what is not covered whole is sent again, and nothing else is."""
    outbox = MemoryOutbox()
    ranges = several(outbox)
    hub = SimulatedHub(outbox, lambda: SILENT)
    async with connected(hub):
        await asyncio.sleep(1)
        first = len(hub.sent)
        hub.receipt(receipts)
        await asyncio.sleep(15)
        again = {range_ for message in hub.sent[first:] for range_ in message.ranges()}
    assert len(again) == len(ranges) - ended
    assert again == {entry.part.range for entry in outbox.waiting()}


class NarrowHub(SimulatedHub):
    """Behind a link that takes so many bytes a second, one message after the other."""

    bytes_per_s = 0
    free_s = 0.0
    largest = 0

    async def publish(self, topic: str, payload: bytes) -> None:
        now_s = asyncio.get_running_loop().time()
        self.free_s = max(self.free_s, now_s) + len(payload) / self.bytes_per_s
        self.largest = max(self.largest, len(payload))
        assert self.free_s - now_s < SETTINGS.publish_timeout_s
        await asyncio.sleep(self.free_s - now_s)
        await super().publish(topic, payload)


@pytest.mark.parametrize(("bytes_per_s", "least", "most"), [(20_000, 0, 64_000), (50_000_000, 400_000, 600_000)])
@in_virtual_time
async def test_a_slow_link_gets_small_messages_and_a_fast_one_large_ones(bytes_per_s, least, most):
    """A link of 20 kB/s never passes half a mebibyte before the publish times out, also not beside fresh values."""
    outbox = MemoryOutbox()
    for _ in range(4000):
        outbox.put(Stream.DATA, 1, b"b" * 1000)
    hub = NarrowHub(outbox)
    hub.bytes_per_s = bytes_per_s
    async with connected(hub, settings=replace(SETTINGS, batch_records=1000)):
        for _ in range(180):
            await asyncio.sleep(1 / 3)
            outbox.put(Stream.DATA, 1, b"f" * 15_000)
    assert least < hub.largest < most
