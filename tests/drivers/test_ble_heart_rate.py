"""The strap driver with unmodified bleak against a simulated BlueZ: it reads, loses, finds again and never leaks."""

import asyncio
import logging
import os
import traceback
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.configuration import parse
from contract.device import Description
from contract.errors import Misconfigured, ProtocolError, Unreachable
from contract.ids import DeviceId
from contract.sample import ClockQuality, Flag, Reading, Sample, Series, Stamp
from drivers import ble_heart_rate
from drivers.base import Context, Driver
from drivers.ble_heart_rate import Config, heart_rate_members
from drivers.codecs.gatt import Contact, HeartRateMeasurement
from drivers.links import ble
from firmware_sim.bluez import Radio, SimulatedBlueZ, Strap, adapter
from firmware_sim.bluez.bus import PrivateBus
from firmware_sim.bluez.face import BluetoothDaemon
from support.waiting import until

ADDRESS = "C0:FF:EE:00:00:01"
START = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
BATTERY = Reading("battery_level", 83.0)
"""What the strap of the fixture says of its battery when it is connected."""


class Gateway:
    """What stands around a driver: a stamp that counts, and what it was told."""

    def __init__(self, device: str = "strap-1") -> None:
        self.faults: list[ProtocolError] = []
        self.descriptions: list[Description] = []
        self.stamped = 0
        self.losses: list[int] = []
        told = (self.faults.append, self.descriptions.append, lambda: self.losses.append(self.stamped))
        self.context = Context(DeviceId(device), self._now, *told)

    def _now(self) -> Stamp:
        self.stamped += 1
        return self.stamp(self.stamped)

    @staticmethod
    def stamp(number: int) -> Stamp:
        """The stamp of the nth value that was read or notified; the battery level read on entering is the first."""
        return Stamp(START + timedelta(seconds=number), float(number), ClockQuality.SYNCHRONISED)

    def driver(self, **settings: object) -> Driver:
        quick = {"address": ADDRESS, "scan_timeout_s": 2, "connect_timeout_s": 2, **settings}
        return ble_heart_rate.open(Config.model_validate(quick), self.context)


@pytest.fixture
async def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SimulatedBlueZ]:
    async with SimulatedBlueZ(tmp_path / "bus") as simulated:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", simulated.address)
        yield simulated


@pytest.fixture
def strap(town: SimulatedBlueZ) -> Strap:
    worn = Strap(ADDRESS, "Chest One", "SN-4711", battery=83, contact=True, energy_kj=7)
    town.radio.add(worn)
    return worn


def a_strap(number: int, battery: int = 90) -> Strap:
    return Strap(f"C0:FF:EE:00:00:{number:02X}", f"Strap {number}", f"SN-{number}", battery, contact=True)


async def take(driver: Driver, count: int = 1) -> list[Sample]:
    """The next samples, each within 5 s."""
    samples = []
    stream = aiter(driver)
    for _ in range(count):
        async with asyncio.timeout(5):
            samples.append(await anext(stream))
    return samples


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_a_strap_is_found_described_and_heard(strap: Strap) -> None:
    gateway = Gateway()
    async with gateway.driver() as driver:
        assert strap.notify(72, (850, 860), with_energy=True)
        (pulse,) = await take(driver)
    assert gateway.descriptions == [
        Description("Kanmon", "Simulated strap", "SN-4711", "1.0.0", "A", "1.0.0", body_location="chest")
    ]
    members = (
        Reading("heart_rate", 72.0),
        Series("rr_interval", (850 / 1024, 860 / 1024), (-860 / 1024, 0.0)),
        Reading("energy_expended", 7.0),
        BATTERY,
    )
    assert pulse == Sample(DeviceId("strap-1"), gateway.stamp(2), members)
    assert gateway.faults == []


async def test_one_measurement_is_one_sample_and_a_battery_level_rides_with_the_next(strap: Strap) -> None:
    """Whoever counts notifications against samples must come out even; the stamp is that of the measurement."""
    gateway = Gateway()
    async with gateway.driver() as driver:
        strap.notify(70)
        strap.notify(71)
        strap.set_battery(82)
        strap.notify(72)
        strap.notify(73)
        strap.set_battery(81)
        strap.set_battery(80)
        strap.notify(74)
        strap.notify(75)
        samples = await take(driver, 6)
        strap.set_battery(79)
        strap.notify(76)
        samples += await take(driver)
    assert [(sample.members, sample.stamp) for sample in samples] == [
        ((Reading("heart_rate", 70.0), BATTERY), gateway.stamp(2)),
        ((Reading("heart_rate", 71.0),), gateway.stamp(3)),
        ((Reading("heart_rate", 72.0), Reading("battery_level", 82.0)), gateway.stamp(5)),
        ((Reading("heart_rate", 73.0),), gateway.stamp(6)),
        ((Reading("heart_rate", 74.0), Reading("battery_level", 80.0)), gateway.stamp(9)),
        ((Reading("heart_rate", 75.0),), gateway.stamp(10)),
        ((Reading("heart_rate", 76.0), Reading("battery_level", 79.0)), gateway.stamp(12)),
    ]
    assert gateway.faults == []


async def test_a_battery_level_waits_through_garbage_for_a_measurement(strap: Strap) -> None:
    """Neither an impossible level nor a broken measurement takes the place of the level that waits."""
    gateway = Gateway()
    async with gateway.driver() as driver:
        strap.set_battery(101)
        strap.send_raw(b"\x01\x40")
        strap.notify(0)
        strap.notify(70)
        samples = await take(driver, 2)
    assert [sample.members for sample in samples] == [
        (Reading("heart_rate", None, Flag.MISSING), BATTERY),
        (Reading("heart_rate", 70.0),),
    ]
    assert len(gateway.faults) == 2


async def test_a_strap_without_a_battery_service_is_heard(strap: Strap) -> None:
    strap.services = tuple(service for service in strap.services if "180f" not in service.uuid)
    gateway = Gateway()
    async with gateway.driver() as driver:
        strap.notify(70)
        strap.notify(71)
        samples = await take(driver, 2)
    assert [sample.members for sample in samples] == [(Reading("heart_rate", bpm),) for bpm in (70.0, 71.0)]
    assert gateway.faults == []


async def test_a_strap_is_found_by_the_name_it_advertises(town: SimulatedBlueZ, strap: Strap) -> None:
    town.radio.add(Strap("C0:FF:EE:00:00:02", "Chest Two", "SN-2"))
    async with Gateway().driver(address=None, advertised_name="Chest One") as driver:
        strap.notify(61)
        assert (await take(driver))[0].members == (Reading("heart_rate", 61.0), BATTERY)


async def test_nothing_handed_over_before_a_drop_is_lost_and_a_fresh_connection_works(
    town: SimulatedBlueZ, strap: Strap
) -> None:
    gateway = Gateway()
    async with gateway.driver() as driver:
        for bpm in range(60, 80):
            assert strap.notify(bpm)
        town.radio.drop(strap)
        samples = await take(driver, 20)
        with pytest.raises(Unreachable, match="strap-1: the link was lost"):
            await take(driver)
    assert samples[0].members == (Reading("heart_rate", 60.0), BATTERY)
    assert [sample.members for sample in samples[1:]] == [(Reading("heart_rate", float(bpm)),) for bpm in range(61, 80)]
    async with gateway.driver() as driver:
        assert strap.notify(90)
        assert (await take(driver))[0].members == (Reading("heart_rate", 90.0), BATTERY)


async def test_two_hundred_drops_leave_the_number_of_open_files_flat(
    town: SimulatedBlueZ, strap: Strap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "ADVERTISING_S", 0.005)
    gateway = Gateway()
    flat: int | None = None
    for drop in range(200):
        async with gateway.driver() as driver:
            assert strap.notify(70)
            await take(driver)
            town.radio.drop(strap)
            with pytest.raises(Unreachable):
                await take(driver)
        if drop == 4:
            flat = open_descriptors()
        elif flat is not None:
            # The other end in this process may close its side a turn later; a leak never comes down again.
            await until(lambda most=flat: open_descriptors() <= most)


async def test_a_silent_strap_is_lost_by_the_watchdog(town: SimulatedBlueZ, strap: Strap) -> None:
    async with Gateway().driver(stale_after_s=0.2) as driver:
        assert strap.notify(70)
        await take(driver)
        town.radio.silence(strap)
        assert not strap.notify(70)
        with pytest.raises(Unreachable, match=r"strap-1: no measurement for 0\.2 s"):
            await take(driver)


async def test_a_strap_that_never_measures_is_lost_by_the_watchdog(strap: Strap) -> None:
    """The battery level read on entering waits for a measurement; alone it is nothing to give."""
    async with Gateway().driver(stale_after_s=0.2) as driver:
        with pytest.raises(Unreachable, match=r"strap-1: no measurement for 0\.2 s"):
            await take(driver)


async def test_battery_and_garbage_alone_do_not_count_as_being_heard(strap: Strap) -> None:
    gateway = Gateway()
    async with gateway.driver(stale_after_s=0.3) as driver:

        async def chatter() -> None:
            while True:
                strap.set_battery(50)
                strap.send_raw(b"\x10")
                await asyncio.sleep(0.02)

        task = asyncio.create_task(chatter())
        try:
            with pytest.raises(Unreachable, match="no measurement"):
                await take(driver)
        finally:
            task.cancel()
    assert gateway.faults


async def test_garbage_is_counted_and_the_strap_goes_on(strap: Strap) -> None:
    gateway = Gateway()
    async with gateway.driver() as driver:
        for raw in (b"", b"\x01\x40", b"\x16\x40", b"\xff", bytes(20)):
            strap.send_raw(raw)
        strap.notify(75)
        samples = await take(driver, 2)
    assert [sample.members for sample in samples] == [
        (Reading("heart_rate", None, Flag.MISSING), BATTERY),
        (Reading("heart_rate", 75.0),),
    ]
    assert len(gateway.faults) == 4


async def test_what_overflows_is_counted_said_and_declared_where_it_is_missing(
    strap: Strap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 8 places the battery level takes one: 7 of 20 measurements fit."""
    monkeypatch.setattr(ble, "INBOX_CAPACITY", 8)
    gateway = Gateway()
    async with gateway.driver() as driver:
        for _ in range(20):
            strap.notify(70)
        await until(lambda: len(gateway.faults) == 13)
        kept = await take(driver, 7)
        assert not gateway.losses
        strap.notify(71)
        assert (await take(driver))[0].members == (Reading("heart_rate", 71.0),)
        assert len(gateway.losses) == 1
        strap.notify(72)
        await take(driver)
    assert len(gateway.losses) == 1
    assert kept[0].members == (Reading("heart_rate", 70.0), BATTERY)
    assert [sample.members for sample in kept[1:]] == [(Reading("heart_rate", 70.0),)] * 6
    assert "dropped" in str(gateway.faults[0])


async def test_a_strap_that_is_not_there_is_unreachable(town: SimulatedBlueZ, strap: Strap) -> None:
    town.radio.out_of_range(strap)
    with pytest.raises(Unreachable, match=r"strap-1: not heard in 0\.3 s"):
        async with Gateway().driver(scan_timeout_s=0.3):
            pass
    town.radio.in_range(strap)
    async with Gateway().driver() as driver:
        assert strap.notify(70)
        await take(driver)


async def test_a_strap_without_a_heart_rate_service_is_unreachable(town: SimulatedBlueZ, strap: Strap) -> None:
    strap.services = tuple(service for service in strap.services if "180d" not in service.uuid)
    with pytest.raises(Unreachable, match="offers no heart rate"):
        async with Gateway().driver():
            pass


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("le-connection-concurrent-connection-limit", "no free slot"),
        ("le-connection-refused", "refused"),
    ],
)
async def test_a_refused_connection_says_why(town: SimulatedBlueZ, strap: Strap, reason: str, said: str) -> None:
    town.radio.refuse_connect(strap, reason=reason)
    with pytest.raises(Unreachable, match=said):
        async with Gateway().driver():
            pass
    async with Gateway().driver() as driver:
        assert strap.notify(70)
        await take(driver)


async def test_services_that_are_never_found_run_into_the_limit(town: SimulatedBlueZ, strap: Strap) -> None:
    async with Gateway().driver() as driver:
        assert strap.notify(70)
        await take(driver)
    before = open_descriptors()
    town.radio.never_resolve(strap)
    for _ in range(3):
        with pytest.raises(Unreachable, match="does not answer"):
            async with Gateway().driver(connect_timeout_s=0.3):
                pass
    await until(lambda: open_descriptors() <= before)


async def test_an_adapter_that_is_off_is_said(town: SimulatedBlueZ, strap: Strap) -> None:
    town.radio.power(False)
    with pytest.raises(Unreachable, match="strap-1: the Bluetooth adapter is switched off"):
        async with Gateway().driver():
            pass
    town.radio.power(True)

    async def is_read_again() -> bool:
        try:
            async with Gateway().driver() as driver:
                return strap.notify(70) and bool(await take(driver))
        except Unreachable:  # the news that the adapter is on has not arrived yet
            return False

    await until(is_read_again)


async def test_a_system_without_bluetoothd_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'bus'}")
    with pytest.raises(Unreachable, match="D-Bus cannot be reached"):
        async with Gateway().driver():
            pass
    async with PrivateBus(tmp_path / "bus"):
        with pytest.raises(Unreachable, match="bluetoothd"):
            async with Gateway().driver():
                pass


async def test_a_link_that_a_killed_gateway_left_behind_is_taken_over(town: SimulatedBlueZ, strap: Strap) -> None:
    """The strap stays connected and silent on the air; without help no scan would ever find it."""
    async with Gateway().driver() as driver:
        assert strap.notify(87)
        await take(driver)
        before = open_descriptors()
        async with Gateway().driver() as successor:
            assert strap.notify(88)
            assert (await take(successor))[0].members == (Reading("heart_rate", 88.0), BATTERY)
            with pytest.raises(Unreachable):
                await take(driver)
    assert open_descriptors() <= before


async def test_a_bluetoothd_that_died_unnoticed_is_found_again_after_its_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bleak goes on believing in the link; the watchdog does not, and the next connection starts from a scan."""
    socket = tmp_path / "bus"
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={socket}")
    worn = a_strap(1)
    radio = Radio()
    radio.add(worn)
    async with PrivateBus(socket):
        async with BluetoothDaemon(socket, radio):
            lost = Gateway().driver(stale_after_s=0.3)
            await lost.__aenter__()
            assert worn.notify(63)
            await take(lost)
        with pytest.raises(Unreachable):
            await take(lost)
        await lost.__aexit__(None, None, None)
        with pytest.raises(Unreachable, match="bluetoothd"):
            async with Gateway().driver():
                pass
        async with BluetoothDaemon(socket, radio), Gateway().driver() as driver:
            assert worn.notify(64)
            assert (await take(driver))[0].members == (Reading("heart_rate", 64.0), Reading("battery_level", 90.0))


async def test_several_straps_connect_at_once_and_do_not_mix(town: SimulatedBlueZ) -> None:
    straps = [a_strap(number, battery=80 + number) for number in range(1, 6)]
    for each in straps:
        town.radio.add(each)

    async def pulse(number: int) -> object:
        async with Gateway(f"strap-{number}").driver(address=straps[number - 1].address) as driver:
            straps[number - 1].notify(60 + number)
            return (await take(driver))[0]

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        tasks = [group.create_task(pulse(number)) for number in range(1, 6)]
    for number, task in enumerate(tasks, 1):
        sample = task.result()
        assert isinstance(sample, Sample)
        members = (Reading("heart_rate", 60.0 + number), Reading("battery_level", 80.0 + number))
        assert (sample.device, sample.members) == (f"strap-{number}", members)


async def test_leaving_by_cancellation_ends_the_link(town: SimulatedBlueZ, strap: Strap) -> None:
    entered = asyncio.Event()

    async def listen() -> None:
        async with Gateway().driver() as driver:
            entered.set()
            async for _ in driver:
                pass

    task = asyncio.create_task(listen())
    async with asyncio.timeout(5):
        await entered.wait()
    assert town.radio.presence(strap).is_linked
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not town.radio.presence(strap).is_linked


async def test_no_address_serial_or_value_reaches_a_log_or_an_exception(
    town: SimulatedBlueZ, strap: Strap, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []

    async def attempt(**settings: object) -> None:
        try:
            async with Gateway().driver(**settings) as driver:
                strap.notify(137, (449,))
                strap.send_raw(b"\x89\x89\x89")
                town.radio.drop(strap)
                await take(driver, 5)
        except Unreachable as error:
            told.extend(traceback.format_exception(error))

    await attempt()
    town.radio.refuse_connect(strap)
    await attempt()
    town.radio.never_resolve(strap)
    await attempt(connect_timeout_s=0.2)
    town.radio.out_of_range(strap)
    await attempt(scan_timeout_s=0.2)
    text = "\n".join(told) + "\n".join(
        record.getMessage() for record in caplog.records if not record.name.startswith("firmware_sim")
    )
    assert len(told) > 4
    for secret in (ADDRESS, ADDRESS.replace(":", "_"), ADDRESS.replace(":", "-"), "SN-4711", "137", "\\x89"):
        assert secret.lower() not in text.lower()


async def test_a_strap_that_vanishes_before_the_connect_is_told_without_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bleak's own error names the address; the cause that travels on does not."""
    async with SimulatedBlueZ(tmp_path / "bus", temporary_s=0) as town:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", town.address)
        town.radio.add(a_strap(1))
        with pytest.raises(Unreachable) as caught:
            async with Gateway().driver():
                pass
    assert "<address>" in str(caught.value.__cause__)
    text = "".join(traceback.format_exception(caught.value)).lower()
    assert ADDRESS.lower() not in text.replace("_", ":").replace("-", ":")


@given(
    bpm=st.integers(0, 300),
    contact=st.sampled_from(list(Contact)),
    intervals=st.lists(st.sampled_from([0, 65535]) | st.integers(1, 65534), max_size=9),
)
def test_intervals_are_laid_backwards_from_the_stamp(bpm: int, contact: Contact, intervals: list[int]) -> None:
    members = heart_rate_members(HeartRateMeasurement(bpm, contact, None, tuple(intervals)))
    has_pulse = bpm > 0 and contact is not Contact.NOT_DETECTED
    assert members[0] == (Reading("heart_rate", float(bpm)) if has_pulse else Reading("heart_rate", None, Flag.MISSING))
    series = [member for member in members if isinstance(member, Series)]
    kept = [interval for interval in intervals if interval not in (0, 65535)]
    assert bool(series) == bool(kept)
    if series:
        (told,) = series
        assert told.values == tuple(interval / 1024 for interval in kept)
        assert told.offsets_s[-1] == 0
        for i in range(1, len(kept)):
            assert told.offsets_s[i] - told.offsets_s[i - 1] == told.values[i]
        assert told.flag is (Flag.UNKNOWN if has_pulse else Flag.SUSPECT)


@pytest.mark.parametrize(
    "text",
    [
        "",
        f'address = "{ADDRESS}"\nadvertised_name = "H10"',
        'address = "C0:FF:EE:00:00"',
        'address = "C0-FF-EE-00-00-01"',
        'advertised_name = ""',
        f'address = "{ADDRESS}"\nstale_after_s = 0',
        f'address = "{ADDRESS}"\nstale_after = 30',
    ],
)
def test_a_wrong_configuration_is_told_without_the_address(text: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        parse(Config, text, "gateway.toml")
    assert ADDRESS not in str(caught.value)


def test_a_right_configuration_has_the_stated_defaults() -> None:
    config = parse(Config, f'address = "{ADDRESS.lower()}"', "gateway.toml")
    assert (config.address, config.stale_after_s, config.scan_timeout_s) == (ADDRESS, 30, 10)
