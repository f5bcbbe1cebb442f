"""Unmodified bleak against the simulated BlueZ, on its own bus and on a private dbus-daemon."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from bleak import BleakAdapter, BleakClient, BleakScanner
from bleak.args.bluez import OrPattern
from bleak.assigned_numbers import AdvertisementDataType
from bleak.backends.device import BLEDevice
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakDBusError,
    BleakError,
    BleakGATTProtocolError,
)

from firmware_sim.bluez import SimulatedBlueZ, Strap
from firmware_sim.bluez.radio import ABORTED, TIMED_OUT
from firmware_sim.bluez.strap import BATTERY_LEVEL, CONTROL_POINT, HEART_RATE, MEASUREMENT, SENSOR_LOCATION, SERIAL
from support.bluez import bluetooth
from support.waiting import until

ADDRESS = "C0:FF:EE:00:00:01"
SCAN_S = 5.0


@pytest.fixture(params=["own bus", "dbus-daemon"])
async def town(request: pytest.FixtureRequest) -> AsyncIterator[SimulatedBlueZ]:
    is_daemon = request.param == "dbus-daemon"
    if is_daemon and shutil.which("dbus-daemon") is None:
        pytest.skip("dbus-daemon is not installed (Debian package dbus-daemon)")
    async with bluetooth(daemon=is_daemon, slots=20) as running:
        yield running


@pytest.fixture
async def own_town() -> AsyncIterator[SimulatedBlueZ]:
    async with bluetooth(temporary_s=0.2, slots=2) as running:
        yield running


class Worn:
    """A strap in the town and what it emitted."""

    def __init__(self, town: SimulatedBlueZ, address: str = ADDRESS, **options: Any) -> None:
        self.emitted: list[Mapping[str, float]] = []
        self.strap = Strap(
            address, f"Belt {address[-2:]}", f"SN-{address[-2:]}", emitted=self.emitted.append, **options
        )
        town.radio.add(self.strap)

    async def find(self) -> BLEDevice:
        found = await BleakScanner.find_device_by_address(self.strap.address, SCAN_S)
        assert found is not None
        return found


class Heard:
    """What a client received and whether it was told of the end."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.is_gone = asyncio.Event()

    def client(self, found: BLEDevice, timeout: float = 5.0) -> BleakClient:
        return BleakClient(found, lambda _client: self.is_gone.set(), timeout=timeout)

    async def listen(self, client: BleakClient, **options: Any) -> None:
        await client.start_notify(MEASUREMENT, lambda _what, value: self.values.append(bytes(value)), **options)


async def test_a_scan_with_a_service_filter_finds_straps_and_nothing_else(town: SimulatedBlueZ) -> None:
    Worn(town)
    other = Worn(town, "C0:FF:EE:00:00:02")
    other.strap.advertised = ("0000180f-0000-1000-8000-00805f9b34fb",)
    away = Worn(town, "C0:FF:EE:00:00:03")
    town.radio.out_of_range(away.strap)
    found = await BleakScanner.discover(0.3, return_adv=True, service_uuids=[HEART_RATE])
    assert list(found) == [ADDRESS]
    device, advertised = found[ADDRESS]
    assert (device.name, advertised.local_name, advertised.rssi) == ("Belt 01", "Belt 01", -60)
    assert HEART_RATE in advertised.service_uuids


async def test_characteristics_are_read_and_written_as_on_a_real_strap(town: SimulatedBlueZ) -> None:
    worn = Worn(town, battery=77, energy_kj=40)
    async with BleakClient(await worn.find()) as client:
        assert [await client.read_gatt_char(each) for each in (BATTERY_LEVEL, SENSOR_LOCATION, SERIAL)] == [
            b"\x4d",
            b"\x01",
            b"SN-01",
        ]
        await client.write_gatt_char(CONTROL_POINT, b"\x01", response=True)
        assert worn.strap.energy_kj == 0
        for uuid, value, code in ((CONTROL_POINT, b"\x02", 0x80), (BATTERY_LEVEL, b"\x01", 0x08)):
            with pytest.raises(BleakGATTProtocolError) as refused:
                await client.write_gatt_char(uuid, value, response=True)
            assert refused.value.code == code
        with pytest.raises(BleakGATTProtocolError):
            await client.read_gatt_char(MEASUREMENT)
        measurement = client.services.get_characteristic(MEASUREMENT)
        assert measurement is not None
        assert await client.read_gatt_descriptor(measurement.descriptors[0]) == b"\x00\x00"


@pytest.mark.parametrize("by_start_notify", [True, False])
async def test_what_is_handed_to_a_subscriber_is_emitted_and_nothing_else(
    town: SimulatedBlueZ, by_start_notify: bool
) -> None:
    worn, heard = Worn(town), Heard()
    async with heard.client(await worn.find()) as client:
        assert not worn.strap.notify(60)
        await heard.listen(client, bluez={"use_start_notify": by_start_notify})
        for bpm in range(60, 160):
            assert worn.strap.notify(bpm, [1024 * 60 // bpm], contact=True)
        await until(lambda: len(heard.values) == 100)
        assert [value[1] for value in heard.values] == list(range(60, 160))
        await client.stop_notify(MEASUREMENT)
        await until(lambda: not worn.strap.notify(61))
    assert worn.emitted[:100] == [{"heart_rate": float(bpm)} for bpm in range(60, 160)]
    assert len(worn.emitted) == len(heard.values)


async def test_a_drop_in_mid_stream_is_told_and_a_fresh_client_goes_on(town: SimulatedBlueZ) -> None:
    worn = Worn(town)
    for bpm in (61, 62, 63):
        heard = Heard()
        async with heard.client(await worn.find()) as client:
            await heard.listen(client)
            assert worn.strap.notify(bpm)
            await until(lambda heard=heard: heard.values)
            town.radio.drop(worn.strap)
            assert not worn.strap.notify(99)
            await asyncio.wait_for(heard.is_gone.wait(), 5)
            assert not client.is_connected
        assert heard.values == [bytes([0, bpm])]
    assert [each["heart_rate"] for each in worn.emitted] == [61, 62, 63]


async def test_out_of_range_ends_the_link_and_connecting_until_it_comes_back(town: SimulatedBlueZ) -> None:
    worn, heard = Worn(town), Heard()
    found = await worn.find()
    async with heard.client(found) as client:
        await heard.listen(client)
        town.radio.out_of_range(worn.strap)
        assert client.is_connected
        assert not worn.strap.notify(60)
        await asyncio.wait_for(heard.is_gone.wait(), 5)
    with pytest.raises(TimeoutError):
        await heard.client(found, timeout=0.2).connect()
    connecting = asyncio.ensure_future(heard.client(found).connect())
    await asyncio.sleep(0)
    town.radio.in_range(worn.strap)
    await connecting
    town.radio.drop(worn.strap)


async def test_coming_back_in_time_keeps_the_link(town: SimulatedBlueZ) -> None:
    worn, heard = Worn(town), Heard()
    town.radio.supervision_s = 30
    async with heard.client(await worn.find()) as client:
        await heard.listen(client)
        town.radio.out_of_range(worn.strap)
        assert not worn.strap.notify(60)
        town.radio.in_range(worn.strap)
        assert worn.strap.notify(61)
        await until(lambda: heard.values == [b"\x00\x3d"])


async def test_twenty_wearables_at_once(town: SimulatedBlueZ) -> None:
    everyone = [Worn(town, f"C0:FF:EE:00:01:{number:02X}") for number in range(20)]
    found = await BleakScanner.discover(0.5, service_uuids=[HEART_RATE])
    assert len(found) == 20
    devices = {device.address: device for device in found}
    clients = [(worn, Heard()) for worn in everyone]
    connected = [heard.client(devices[worn.strap.address]) for worn, heard in clients]
    await asyncio.gather(*(client.connect() for client in connected))
    await asyncio.gather(*(heard.listen(client) for client, (_, heard) in zip(connected, clients, strict=True)))
    for _ in range(5):
        assert all(worn.strap.notify(60 + place) for place, (worn, _) in enumerate(clients))
    await until(lambda: all(len(heard.values) == 5 for _, heard in clients))
    for place, (_, heard) in enumerate(clients):
        assert heard.values == [bytes([0, 60 + place])] * 5
    await asyncio.gather(*(client.disconnect() for client in connected))


async def test_a_killed_bluetoothd_is_noticed_by_nobody_and_serves_again_once_restarted(town: SimulatedBlueZ) -> None:
    """The trap that drivers have to live with: is_connected stays true and no callback comes."""
    worn, heard = Worn(town), Heard()
    client = heard.client(await worn.find())
    await client.connect()
    await town.crash()
    assert client.is_connected
    assert not worn.strap.notify(60)
    with pytest.raises(BleakDBusError) as unknown:
        await client.disconnect()
    assert unknown.value.dbus_error == "org.freedesktop.DBus.Error.ServiceUnknown"
    await town.restart()
    async with heard.client(await worn.find()) as fresh:
        assert await fresh.read_gatt_char(SERIAL) == b"SN-01"


async def test_pairing_opens_a_protected_measurement(town: SimulatedBlueZ) -> None:
    worn, heard = Worn(town, is_protected=True), Heard()
    async with heard.client(await worn.find()) as client:
        with pytest.raises(BleakDBusError, match="Not paired"):
            await heard.listen(client)
        town.radio.refuse_pairing(worn.strap)
        with pytest.raises(BleakDBusError, match="AuthenticationFailed"):
            await client.pair()
        town.radio.refuse_pairing(worn.strap, False)
        await client.pair()
        await heard.listen(client)
        assert worn.strap.notify(60)
        await until(lambda: heard.values)
        await client.unpair()
    assert await worn.find()


async def test_passive_scanning_finds_what_matches_its_patterns(town: SimulatedBlueZ) -> None:
    Worn(town)
    other = Worn(town, "C0:FF:EE:00:00:02")
    other.strap.advertised = ()
    heart_rate = OrPattern(0, AdvertisementDataType.COMPLETE_LIST_SERVICE_UUID16, b"\x0d\x18")
    found: set[str] = set()
    scanner = BleakScanner(
        lambda device, _data: found.add(device.address), scanning_mode="passive", bluez={"or_patterns": [heart_rate]}
    )
    for _ in range(2):
        async with scanner:
            await until(lambda: found)
        assert found == {ADDRESS}
        found.clear()


async def test_connections_fail_in_every_way_a_strap_knows(own_town: SimulatedBlueZ) -> None:
    radio = own_town.radio
    worn, heard = Worn(own_town), Heard()
    found = await worn.find()
    radio.refuse_connect(worn.strap, reason=TIMED_OUT)
    with pytest.raises(BleakDBusError, match=TIMED_OUT):
        await heard.client(found).connect()
    radio.refuse_connect(worn.strap, times=2, reason=ABORTED)
    async with heard.client(found):  # bleak tries again by itself
        pass
    radio.never_resolve(worn.strap)
    with pytest.raises(TimeoutError):
        await heard.client(found, timeout=0.2).connect()
    radio.never_resolve(worn.strap, False)
    radio.hold(worn.strap)
    with pytest.raises(TimeoutError):
        await heard.client(found, timeout=0.2).connect()
    assert await BleakScanner.find_device_by_address(ADDRESS, 0.2) is None
    radio.hold(worn.strap, False)
    async with heard.client(await worn.find()):
        pass


async def test_a_third_link_finds_no_slot(own_town: SimulatedBlueZ) -> None:
    worn = [Worn(own_town, f"C0:FF:EE:00:02:0{number}") for number in range(3)]
    found = [await each.find() for each in worn]
    async with BleakClient(found[0]), BleakClient(found[1]):
        with pytest.raises(BleakDBusError, match="connection-limit"):
            await BleakClient(found[2]).connect()
    async with BleakClient(await worn[2].find()):
        pass


async def test_silence_and_broken_measurements_are_not_emitted(own_town: SimulatedBlueZ) -> None:
    worn, heard = Worn(own_town), Heard()
    async with heard.client(await worn.find()) as client:
        await heard.listen(client)
        own_town.radio.silence(worn.strap)
        assert not worn.strap.notify(60)
        own_town.radio.silence(worn.strap, False)
        own_town.radio.corrupt_next(worn.strap)
        assert not worn.strap.notify(61)
        assert worn.strap.send_raw(b"")
        assert worn.strap.notify(62)
        await until(lambda: len(heard.values) == 3)
        assert client.is_connected
    assert heard.values == [b"\xff\x01", b"", b"\x00\x3e"]
    assert worn.emitted == [{"heart_rate": 62.0}]


async def test_a_wearable_that_nobody_connects_is_forgotten(own_town: SimulatedBlueZ) -> None:
    worn = Worn(own_town)
    async with BleakScanner() as scanner:
        await until(lambda: scanner.discovered_devices)
        (found,) = scanner.discovered_devices
        own_town.radio.out_of_range(worn.strap)
        await until(lambda: not scanner.discovered_devices)
    with pytest.raises(BleakError, match="not found"):
        await BleakClient(found).connect()


async def test_a_link_survives_its_client_and_the_subscription_does_not(own_town: SimulatedBlueZ) -> None:
    """Why a restarted gateway finds its straps connected and silent: they do not advertise, so no scan finds them."""
    worn, heard = Worn(own_town), Heard()
    client = heard.client(await worn.find())
    await client.connect()
    await heard.listen(client)
    assert worn.strap.notify(60)
    assert client._backend._bus is not None  # type: ignore[attr-defined]  # a killed process cannot be had otherwise
    client._backend._bus.disconnect()  # type: ignore[attr-defined]  # as above
    await until(lambda: not worn.strap.notify(61))
    assert await BleakScanner.find_device_by_address(ADDRESS, 0.2) is None
    adapter = await BleakAdapter.get()
    (still,) = await adapter.get_connected_devices([HEART_RATE])
    await client.disconnect()
    fresh_heard = Heard()
    async with fresh_heard.client(still) as fresh:
        await fresh_heard.listen(fresh)
        assert worn.strap.notify(62)
        await until(lambda: fresh_heard.values == [b"\x00\x3e"])


async def test_an_adapter_that_is_off_ends_links_and_scans(own_town: SimulatedBlueZ) -> None:
    worn, heard = Worn(own_town), Heard()
    found = await worn.find()
    async with heard.client(found):
        own_town.radio.power(False)
        await asyncio.wait_for(heard.is_gone.wait(), 5)
    with pytest.raises(BleakBluetoothNotAvailableError):
        await BleakScanner.discover(0.1)
    with pytest.raises(BleakDBusError, match="NotReady"):
        await heard.client(found).connect()
    own_town.radio.power(True)
    await until(is_adapter_on)
    async with heard.client(await worn.find()):
        pass


async def is_adapter_on() -> bool:
    try:
        await BleakScanner.discover(0)
    except BleakBluetoothNotAvailableError:
        return False
    return True
