"""What org.bluez answers on the wire, in its own words: error names, senders' state, properties."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from dbus_fast import Message, Variant

from contract.errors import Refused, Unreachable
from firmware_sim.bluez import Radio, SimulatedBlueZ, Strap
from firmware_sim.bluez.client import BusClient
from firmware_sim.bluez.face import BluetoothDaemon
from support.bluez import bluetooth
from support.waiting import until

ADAPTER, DEVICE = "org.bluez.Adapter1", "org.bluez.Device1"
CHARACTERISTIC, PROPERTIES = "org.bluez.GattCharacteristic1", "org.freedesktop.DBus.Properties"
HCI = "/org/bluez/hci0"
BELT = f"{HCI}/dev_C0_FF_EE_00_00_01"
MEASUREMENT = f"{BELT}/service000a/char000b"
MONITOR_MANAGER = "org.bluez.AdvertisementMonitorManager1"


class Caller:
    """A client that calls org.bluez."""

    def __init__(self, client: BusClient) -> None:
        self.client = client

    async def ask(self, path: str, interface: str, member: str, signature: str = "", *body: object) -> Message:
        return await self.client.call("org.bluez", path, interface, member, signature, body)

    async def error(
        self, path: str, interface: str, member: str, signature: str = "", *body: object
    ) -> tuple[str, str]:
        reply = await self.ask(path, interface, member, signature, *body)
        return str(reply.error_name).removeprefix("org.bluez.Error."), reply.body[0] if reply.body else ""

    async def sees_belt(self) -> bool:
        reply = await self.ask("/", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
        return BELT in reply.body[0]

    async def is_false(self, path: str, interface: str, name: str) -> bool:
        return await self.get(path, interface, name) is False

    async def get(self, path: str, interface: str, name: str) -> object:
        return (await self.ask(path, PROPERTIES, "Get", "ss", interface, name)).body[0].value

    async def is_named(self, path: str, name: str) -> bool:
        return await self.get(path, DEVICE, "Alias") == name

    async def known(self) -> None:
        """Scan until the belt is known."""
        assert (await self.ask(HCI, ADAPTER, "StartDiscovery")).error_name is None
        await until(self.sees_belt)

    async def linked(self) -> None:
        """Connect to the belt and wait for its services."""
        await self.known()
        assert (await self.ask(BELT, DEVICE, "Connect")).error_name is None
        await until(lambda: self.get(BELT, DEVICE, "ServicesResolved"))


@asynccontextmanager
async def caller(town: SimulatedBlueZ) -> AsyncIterator[Caller]:
    client = BusClient(lambda _call: None, lambda _signal: None, lambda: None)
    await client.connect(Path(town.address.removeprefix("unix:path=")))
    try:
        yield Caller(client)
    finally:
        client.close()


@pytest.fixture
async def town() -> AsyncIterator[SimulatedBlueZ]:
    async with bluetooth() as running:
        yield running


@pytest.fixture
def strap(town: SimulatedBlueZ) -> Strap:
    strap = Strap("C0:FF:EE:00:00:01", "Belt", "SN-1")
    town.radio.add(strap)
    return strap


async def test_discovery_belongs_to_the_sender(town: SimulatedBlueZ) -> None:
    async with caller(town) as one, caller(town) as two:
        assert await one.error(HCI, ADAPTER, "StopDiscovery") == ("Failed", "No discovery started")
        await one.ask(HCI, ADAPTER, "StartDiscovery")
        assert (await one.error(HCI, ADAPTER, "StartDiscovery"))[0] == "InProgress"
        assert (await two.error(HCI, ADAPTER, "StopDiscovery"))[0] == "Failed"
        assert await two.get(HCI, ADAPTER, "Discovering") is True
        one.client.close()
        await until(lambda: two.is_false(HCI, ADAPTER, "Discovering"))


async def test_connecting_replies_before_the_services_and_only_one_attempt_runs(
    town: SimulatedBlueZ, strap: Strap
) -> None:
    async with caller(town) as one:
        await one.known()
        town.radio.out_of_range(strap)
        first = asyncio.ensure_future(one.ask(BELT, DEVICE, "Connect"))
        await one.get(BELT, DEVICE, "Connected")
        assert (await one.error(BELT, DEVICE, "Connect"))[0] == "InProgress"
        await one.ask(BELT, DEVICE, "Disconnect")
        assert (await first).body == ["le-connection-canceled"]
        assert (await one.error(BELT, DEVICE, "Disconnect"))[0] == "NotConnected"
        town.radio.in_range(strap)
        town.radio.never_resolve(strap)
        assert (await one.ask(BELT, DEVICE, "Connect")).error_name is None
        assert await one.get(BELT, DEVICE, "Connected") is True
        assert await one.get(BELT, DEVICE, "ServicesResolved") is False
        assert (await one.ask(BELT, DEVICE, "Connect")).error_name is None


async def test_subscriptions_belong_to_the_sender_and_survive_the_link(town: SimulatedBlueZ, strap: Strap) -> None:
    async with caller(town) as one, caller(town) as two:
        await one.linked()
        assert await one.error(MEASUREMENT, CHARACTERISTIC, "StopNotify") == ("Failed", "No notify session started")
        await one.ask(MEASUREMENT, CHARACTERISTIC, "StartNotify")
        assert (await one.error(MEASUREMENT, CHARACTERISTIC, "StartNotify"))[0] == "InProgress"
        assert (await two.error(MEASUREMENT, CHARACTERISTIC, "AcquireNotify", "a{sv}", {}))[0] == "InProgress"
        assert (await two.error(MEASUREMENT, CHARACTERISTIC, "StopNotify"))[0] == "Failed"
        town.radio.drop(strap)
        assert not strap.notify(60)
        assert await one.error(MEASUREMENT, CHARACTERISTIC, "ReadValue", "a{sv}", {}) == ("Failed", "Not connected")
        await two.ask(BELT, DEVICE, "Connect")
        assert strap.notify(61)
        one.client.close()
        await until(lambda: not strap.notify(62))
        assert await two.get(MEASUREMENT, CHARACTERISTIC, "Notifying") is False


async def test_an_acquired_characteristic_is_free_again_once_closed(town: SimulatedBlueZ, strap: Strap) -> None:
    async with caller(town) as one, caller(town) as two:
        await one.linked()
        reply = await one.ask(MEASUREMENT, CHARACTERISTIC, "AcquireNotify", "a{sv}", {})
        assert reply.signature == "hq"
        # The caller closed the descriptor when the reply was taken, which releases it again.
        await until(lambda: two.is_false(MEASUREMENT, CHARACTERISTIC, "NotifyAcquired"))
        assert not strap.notify(60)
        assert (await two.ask(MEASUREMENT, CHARACTERISTIC, "StartNotify")).error_name is None


async def test_reads_refuse_what_the_protocol_refuses(town: SimulatedBlueZ, strap: Strap) -> None:
    location = f"{BELT}/service000a/char000e"
    async with caller(town) as one:
        await one.linked()
        offset = {"offset": Variant("q", 1)}
        assert (await one.ask(location, CHARACTERISTIC, "ReadValue", "a{sv}", offset)).body == [b""]
        offset = {"offset": Variant("q", 2)}
        refused = await one.error(location, CHARACTERISTIC, "ReadValue", "a{sv}", offset)
        assert refused == ("InvalidArguments", "Invalid offset")
        assert await one.error(location, CHARACTERISTIC, "StartNotify") == (
            "NotSupported",
            "Operation is not supported",
        )
        assert (await one.error(location, CHARACTERISTIC, "WriteValue", "aya{sv}", b"\1", {}))[0] == "NotPermitted"


@pytest.mark.parametrize(
    ("path", "interface", "member", "signature", "body", "error"),
    [
        ("/nowhere", DEVICE, "Connect", "", (), "org.freedesktop.DBus.Error.UnknownObject"),
        (HCI, ADAPTER, "Dance", "", (), "org.freedesktop.DBus.Error.UnknownMethod"),
        (HCI, ADAPTER, "StartDiscovery", "s", ("x",), "org.freedesktop.DBus.Error.UnknownMethod"),
        (HCI, ADAPTER, "RemoveDevice", "o", (BELT,), "org.bluez.Error.DoesNotExist"),
        (HCI, ADAPTER, "SetDiscoveryFilter", "a{sv}", ({"UUIDs": Variant("s", "")},),
         "org.bluez.Error.InvalidArguments"),
        (HCI, PROPERTIES, "Get", "ss", (ADAPTER, "Nothing"), "org.bluez.Error.InvalidArguments"),
        (HCI, PROPERTIES, "GetAll", "s", ("org.bluez.Nothing",), "org.bluez.Error.InvalidArguments"),
        (HCI, PROPERTIES, "Set", "ssv", (ADAPTER, "Powered", Variant("s", "on")), "org.bluez.Error.InvalidArguments"),
        (HCI, PROPERTIES, "Set", "ssv", (ADAPTER, "Address", Variant("s", "x")),
         "org.freedesktop.DBus.Error.PropertyReadOnly"),
        ("/org/bluez", "org.bluez.AgentManager1", "RegisterAgent", "os", ("/a", "Juggler"),
         "org.bluez.Error.InvalidArguments"),
        ("/org/bluez", "org.bluez.AgentManager1", "RequestDefaultAgent", "o", ("/a",), "org.bluez.Error.DoesNotExist"),
        (HCI, MONITOR_MANAGER, "UnregisterMonitor", "o", ("/a",), "org.bluez.Error.DoesNotExist"),
    ],
)  # fmt: skip
async def test_what_bluez_refuses_is_refused_by_the_same_name(
    town: SimulatedBlueZ, path: str, interface: str, member: str, signature: str, body: Sequence[object], error: str
) -> None:
    async with caller(town) as one:
        reply = await one.ask(path, interface, member, signature, *body)
        assert reply.error_name == error
        assert await one.get(HCI, ADAPTER, "Powered") is True


async def test_pairing_without_an_agent_fails_where_digits_are_compared(town: SimulatedBlueZ, strap: Strap) -> None:
    town.radio.ask_confirmation(strap)
    async with caller(town) as one:
        await one.known()
        assert (await one.error(BELT, DEVICE, "Pair"))[0] == "AuthenticationFailed"
        town.radio.ask_confirmation(strap, False)
        assert (await one.ask(BELT, DEVICE, "Pair")).error_name is None
        assert (await one.error(BELT, DEVICE, "Pair"))[0] == "AlreadyExists"
        assert await one.get(BELT, DEVICE, "Paired") is True


async def test_power_is_a_property_that_clients_set(town: SimulatedBlueZ) -> None:
    async with caller(town) as one:
        await one.ask(HCI, PROPERTIES, "Set", "ssv", ADAPTER, "Powered", Variant("b", False))
        assert not town.radio.is_on
        assert (await one.error(HCI, ADAPTER, "StartDiscovery"))[0] == "NotReady"


async def test_power_lost_while_connecting_fails_the_attempt(town: SimulatedBlueZ, strap: Strap) -> None:
    async with caller(town) as one:
        await one.known()
        town.radio.out_of_range(strap)
        attempt = asyncio.ensure_future(one.ask(BELT, DEVICE, "Connect"))
        await one.get(BELT, DEVICE, "Connected")
        town.radio.power(False)
        town.radio.in_range(strap)
        assert (await attempt).body == ["le-connection-adapter-not-powered"]


async def test_another_strap_with_the_same_address_takes_the_place_of_the_first(
    town: SimulatedBlueZ, strap: Strap
) -> None:
    async with caller(town) as one:
        await one.linked()
        town.radio.remove(strap)
        second = Strap(strap.address, "Second", "SN-2")
        town.radio.add(second)
        await until(lambda: one.is_named(BELT, "Second"))
        await one.ask(BELT, DEVICE, "Connect")
        await until(lambda: one.get(BELT, DEVICE, "ServicesResolved"))
        await one.ask(MEASUREMENT, CHARACTERISTIC, "StartNotify")
        assert second.notify(60)
        assert not strap.notify(60)


async def test_the_name_is_taken_once(town: SimulatedBlueZ) -> None:
    with pytest.raises(Refused, match="taken"):
        await BluetoothDaemon(Path(town.address.removeprefix("unix:path=")), Radio()).__aenter__()


@pytest.mark.parametrize(("script", "says"), [(None, "not installed"), ("#!/bin/sh\nexit 1\n", "did not start")])
async def test_a_dbus_daemon_that_is_missing_or_fails_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, says: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if script is not None:
        (tmp_path / "dbus-daemon").write_text(script, encoding="utf-8")
        (tmp_path / "dbus-daemon").chmod(0o755)
    with pytest.raises(Unreachable, match=says):
        await SimulatedBlueZ(tmp_path / "bus", daemon=True).__aenter__()
