"""gateway.toml is checked whole: each fault with file, line, cause and fix, and a good file becomes one object."""

import re
import shutil
from datetime import time
from pathlib import Path

import pytest
from pydantic import BaseModel

from agent.anonymise import ServiceHours
from agent.gateway_tables import HubTable, OutboxTable
from agent.settings import Place, Settings, load
from cloud_sync.link_settings import LinkSettings
from contract.errors import Misconfigured

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "deploy" / "examples" / "gateway.toml"

MAP = """\
name = "Test station"
period_s = 1.0
[[register]]
quantity = "water_level"
table = "input"
address = 0
type = "int16"
scale = 0.01
"""

GOOD = """\
[gateway]
id = "gw-1"
[hub]
urls = ["mqtt://127.0.0.1:1883"]
password_file = "gw-1.password"
[[person]]
id = "resident-canary"
[[device]]
id = "river-1"
kind = "modbus"
latitude = 33.95
longitude = 130.94
host = "127.0.0.1"
port = 502
unit_id = 1
timeout_s = 1.0
map = "map.toml"
[[device]]
id = "strap-1"
kind = "ble_heart_rate"
person = "resident-canary"
address = "C0:FF:EE:00:CA:FE"
[[device]]
id = "bus-1"
kind = "nmea_receiver"
service_hours = "05:00-24:00"
port = "/dev/ttyUSB0"
[[rule]]
kind = "river_stage"
device = "river-1"
table = "demo"
[[actuator]]
id = "lamp-1"
kind = "led"
path = "/sys/class/leds/kanmon"
rules = ["river_stage"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "map.toml").write_text(MAP)
    password = tmp_path / "gw-1.password"
    password.write_text("canary-password")
    password.chmod(0o600)
    return tmp_path


def read(folder: Path, text: str) -> Settings:
    path = folder / "gateway.toml"
    path.write_text(text)
    return load(path)


def faults(folder: Path, text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(Misconfigured) as caught:
        read(folder, text)
    assert "canary" not in str(caught.value), "a value of a person or a secret is in the message"
    assert "CA:FE" not in str(caught.value)
    for fault in caught.value.faults:
        assert Path(fault.file).parent == folder
        assert fault.line >= 1
        assert fault.cause
        assert fault.fix
    return [(fault.line, fault.cause, fault.fix) for fault in caught.value.faults]


def line_of(text: str, piece: str) -> int:
    return text.count("\n", 0, text.index(piece)) + 1


URLS = 'urls = ["mqtt://127.0.0.1:1883"]'

# what is replaced, by what, the text on the line that the fault names, cause, fix
BROKEN = [
    ("[gateway]\n", "[gateway\n", "[gateway\n", "not TOML", "key = value"),
    ('id = "gw-1"', "id = gw-1", "id = gw-1", "not TOML", "between double quotes"),
    ('[gateway]\nid = "gw-1"\n', "", "[hub]", "'gateway' is missing", "Add a table [gateway]"),
    ("[gateway]", "[gatway]", "[gatway]", "unknown key 'gatway'", "Did you mean 'gateway'?"),
    ('id = "gw-1"', "", "[gateway]", "'id' is missing in [gateway]", 'Add id = "gw-karato"'),
    ('id = "gw-1"', 'id = "GW 1"', "GW 1", "other characters", "Write 1 to 63 of a-z"),
    ('id = "gw-1"', 'id = "gw-1"\nnmae = "x"', "nmae", "unknown key 'nmae'", "Did you mean 'name'?"),
    ("[hub]", "[[hub]]", "[[hub]]", "'hub' must be a table", "heading [hub]"),
    ('urls = ["mqtt://127.0.0.1:1883"]\n', "", "[hub]", "'urls' is missing", "mqtt://127.0.0.1:1883"),
    ('["mqtt://127.0.0.1:1883"]', '"mqtt://127.0.0.1:1883"', "urls", "'urls' must be a list", "in brackets"),
    ('["mqtt://127.0.0.1:1883"]', "[]", "urls", "'urls' must have at least 1 items", "at least 1"),
    ("mqtt://127", "http://127", "urls", "not mqtt://host:port", "mqtt://127.0.0.1:1883"),
    (":1883", ":99999", "urls", "its port is none", "mqtt://127.0.0.1:1883"),
    ("mqtt://127", "mqtts://127", "urls", "certificates", "mqtt://127.0.0.1:1883"),
    ("mqtt://127", "mqtt://gw:canary@127", "urls", "more than host and port", "has its own file"),
    ("127.0.0.1:1883", "8.8.8.8:1883", "urls", "unencrypted over the internet", "a private address"),
    ("127.0.0.1:1883", "hub.example:1883", "urls", "unencrypted over the internet", "localhost"),
    ("gw-1.password", "absent.password", "password_file", "No such file", "kanmon-hub gateway add"),
    ("gw-1.password", "open.password", "password_file", "others than its owner", "chmod 600"),
    ("gw-1.password", "empty.password", "password_file", "empty or no file", "Copy the file"),
    ("password_file =", "password =", "password =", "unknown key 'password'", "Did you mean 'password_file'?"),
    ("[[person]]", "[outbox]\nlinger_ms = 0\n[[person]]", "linger_ms", "at least 1 (milliseconds)", "at least 1"),
    ("[[person]]", '[outbox]\nlinger_ms = "9"\n[[person]]', "linger_ms", "a whole number", "without quotes"),
    (URLS, f"keepalive_s = 0\n{URLS}", "keepalive_s", "at least 2 (seconds)", "at least 2"),
    (URLS, f"keepalive_s = 9.5\n{URLS}", "keepalive_s", "a whole number", "without a decimal point"),
    (URLS, f"publish_timeout_s = 0.1\n{URLS}", "publish_timeout_s", "at least 1 (seconds)", "at least 1"),
    (URLS, f"resend_first_s = 301\n{URLS}", "resend_first_s", "at most 300 (seconds)", "at most 300"),
    (URLS, f"max_kib_per_s = 0\n{URLS}", "max_kib_per_s", "at least 1 (KiB per second)", "at least 1"),
    (URLS, f'max_kib_per_s = "64"\n{URLS}', "max_kib_per_s", "a number", "without quotes"),
    ("[[person]]", "[outbox]\nbatch_records = 0\n[[person]]", "batch_records", "at least 1 (records)", "at least 1"),
    ("[[person]]", "[[persons]]", "[[persons]]", "unknown key 'persons'", "Did you mean 'person'?"),
    ("[[person]]", "[person]", "[person]", "'person' must be a list", "[[person]]"),
    ('id = "strap-1"', 'id = "river-1"', '"river-1"\nkind = "ble', "taken by the one on line 8", "id of its own"),
    ('id = "strap-1"', 'id = "-strap"', "-strap", "other characters", "a letter or a digit"),
    ('kind = "modbus"', 'kind = "modbuss"', "modbuss", "no [[device]] has this kind", 'Did you mean "modbus"?'),
    ('kind = "modbus"\n', "", "[[device]]", "'kind' is missing in [device]", 'Add kind = "modbus"'),
    ("latitude = 33.95", "latitude = 133.95", "latitude", "at most 90 (degrees)", "at most 90"),
    ("longitude = 130.94\n", "", "[[device]]", "only one of 'latitude' and 'longitude'", "Write both"),
    ('person = "resident-canary"\n', "", '[[device]]\nid = "strap', "worn by somebody", "Add person"),
    ('person = "resident-canary"', 'person = "other-canary"', "person = ", "no [[person]]", "Add the [[person]]"),
    ("05:00-24:00", "5-24", "service_hours", "not written as it must be", "05:00-24:00"),
    ("05:00-24:00", "05:00-05:00", "service_hours", "begin and end at the same time", "05:00-24:00"),
    ("address =", "addres =", "addres =", "unknown key 'addres'", "Did you mean 'address'?"),
    ("unit_id = 1", "unitid = 1", "unitid", "unknown key 'unitid'", "Did you mean 'unit_id'?"),
    ("unit_id = 1", "nam = 1", "nam = 1", "unknown key 'nam'", "Did you mean 'name'?"),
    ("port = 502", 'port = "502"', 'port = "502"', "'port' must be a whole number", "without quotes"),
    ("port = 502", "port = 70000", "port = 70000", "'port' must be", "Write a number"),
    ("timeout_s = 1.0", "timeout_s = -1", "timeout_s", "(seconds)", "Write a number"),
    ('host = "127.0.0.1"\n', "", "[[device]]", "'host' is missing", "Add host"),
    ('map = "map.toml"', 'map = "absent.toml"', "map =", "", ""),
    ('kind = "river_stage"', 'kind = "river_stages"', '"river_stages"', "no [[rule]]", 'Did you mean "river_stage"?'),
    ('device = "river-1"', 'device = "river-2"', '"river-2"', "no [[device]] has this id", "correct the id"),
    ('table = "demo"', 'table = "dmeo"', "[[rule]]", "no stage table has this name", "demo"),
    ('kind = "led"', 'kind = "lamp"', '"lamp"', "'kind' is none of", "led"),
    ('rules = ["river_stage"]', 'rules = ["river"]', 'rules = ["river"]', "never acts", "river_stage"),
    ('rules = ["river_stage"]', "rules = []", "rules = []", "'rules' must have at least 1 items", "at least 1"),
    ('path = "/sys/class/leds/kanmon"\n', "", "[[actuator]]", "'path' is missing", "/sys/class/leds"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "place", "cause", "fix"), BROKEN)
def test_a_broken_file_is_answered_with_line_cause_and_fix(
    folder: Path, old: str, new: str, place: str, cause: str, fix: str
) -> None:
    (folder / "open.password").write_text("canary")
    (folder / "open.password").chmod(0o640)
    (folder / "empty.password").touch(0o600)
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    line = 1 if "is missing" in cause and place == "[hub]" and "gateway" in cause else line_of(text, place)
    found = faults(folder, text)
    assert any(line == at and cause in why and fix in how for at, why, how in found), found


def test_at_least_forty_broken_files_are_answered() -> None:
    assert len(BROKEN) >= 40


def test_all_faults_of_all_tables_are_told_at_once(folder: Path) -> None:
    """One run of the check is enough: an installer stands on a ladder."""
    text = GOOD
    for old, new in (
        ('id = "gw-1"', "id = 1"),
        (":1883", ":0"),
        ("gw-1.password", "x"),
        ("502", "-1"),
        ("05:00", "99:00"),
        ('table = "demo"', "tabel = 1"),
        ('kind = "led"', "kind = 1"),
    ):
        text = text.replace(old, new, 1)
    lines = [line for line, _, _ in faults(folder, text)]
    for piece in ("id = 1", ":0", 'file = "x"', "port = -1", "99:00", "tabel = 1", "kind = 1"):
        assert line_of(text, piece) in lines


def test_faults_of_a_register_map_name_the_map(folder: Path) -> None:
    (folder / "map.toml").write_text(MAP.replace('"int16"', '"int61"'))
    with pytest.raises(Misconfigured) as caught:
        read(folder, GOOD.replace("05:00", "5:00"))
    assert [(Path(fault.file).name, fault.line) for fault in caught.value.faults] == [
        ("gateway.toml", 26),
        ("map.toml", 7),
    ]


def a_strap(number: int, keys: str) -> str:
    return f'[[device]]\nid = "strap-{number}"\nkind = "ble_heart_rate"\nperson = "resident-canary"\n{keys}\n'


A_RIVER = GOOD[GOOD.index('[[device]]\nid = "river-1"') : GOOD.index('[[device]]\nid = "strap-1"')]

SAME_DEVICE = [
    ("", a_strap(2, 'address = "C0:FF:EE:00:CA:FE"'), 18),
    ("", a_strap(2, 'address = "c0:ff:ee:00:ca:fe"\nstale_after_s = 60'), 18),
    (a_strap(2, 'advertised_name = "H10"'), a_strap(3, 'advertised_name = "H10"\nscan_timeout_s = 5'), 37),
    ("", A_RIVER.replace("river-1", "river-2"), 8),
]


@pytest.mark.parametrize(("before", "copy", "first"), SAME_DEVICE)
def test_two_tables_for_one_device_are_a_fault(folder: Path, before: str, copy: str, first: int) -> None:
    """A copied table would count one person's pulse as two persons', and two readers would end each other's link."""
    line = line_of(GOOD + before + "#", "#")
    cause = f"this [[device]] reads the same device as the one on line {first}"
    assert faults(folder, GOOD + before + copy) == [(line, cause, "Remove one of them, or correct the address")]


@pytest.mark.parametrize(
    "other",
    [
        a_strap(2, 'address = "C0:FF:EE:00:CA:FF"'),
        a_strap(2, 'advertised_name = "H10"') + a_strap(3, 'advertised_name = "h10"'),
        A_RIVER.replace("river-1", "river-2").replace("unit_id = 1", "unit_id = 2"),
    ],
)
def test_tables_for_different_devices_are_no_fault(folder: Path, other: str) -> None:
    assert read(folder, GOOD + other)


def test_how_the_link_behaves_can_be_set(folder: Path) -> None:
    link = "keepalive_s = 20\npublish_timeout_s = 5\nresend_first_s = 30\nmax_kib_per_s = 2.5\n"
    settings = read(folder, GOOD.replace(URLS, link + URLS) + "[outbox]\nbatch_records = 50\n")
    assert settings.hub.link == LinkSettings(50, 20, 5.0, 30.0, 2560.0)


@pytest.mark.parametrize(("name", "table"), [("hub", HubTable), ("outbox", OutboxTable)])
def test_the_installers_guide_names_each_setting_with_its_default(name: str, table: type[BaseModel]) -> None:
    guide = (REPOSITORY / "docs" / "install.md").read_text()
    rows = dict(re.findall(rf"^\| `\[{name}\] (\w+)` \| ([^|]*?) \|", guide, re.MULTILINE))
    shown = {key: "" if field.default is None else str(field.default) for key, field in table.model_fields.items()}
    needed = {key: "" for key, field in table.model_fields.items() if field.is_required()}
    assert rows == {**shown, **needed}


def test_a_good_file_becomes_one_object(folder: Path) -> None:
    settings = read(folder, GOOD)
    assert (settings.gateway.id, settings.gateway.folder) == ("gw-1", folder)
    assert settings.hub.urls == ("mqtt://127.0.0.1:1883",)
    assert settings.hub.password_file == folder / "gw-1.password"
    assert (settings.outbox.linger_s, settings.outbox.batch_records) == (0.1, 1000)
    assert settings.hub.link == LinkSettings(1000, 10, 10.0, 10.0, None)
    river, strap, bus = settings.devices
    assert (river.id, river.kind, river.place) == ("river-1", "modbus", Place(33.95, 130.94))
    assert (strap.person, strap.place, strap.service_hours) == ("resident-canary", None, None)
    assert bus.service_hours == ServiceHours(time(5), time(0))
    assert settings.persons == ("resident-canary",)
    assert [rule.kind for rule in settings.rules] == ["river_stage"]
    assert settings.actuators[0].rules == ("river_stage",)


def test_the_settings_hold_no_secret(folder: Path) -> None:
    assert "canary-password" not in repr(read(folder, GOOD))


@pytest.mark.parametrize(
    ("content", "line", "cause"),
    [(None, 1, "the file is not there"), (b"[gateway]\nid = '\xff'\n", 2, "the text is not UTF-8")],
)
def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path, content: bytes | None, line: int, cause: str) -> None:
    path = tmp_path / "gateway.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Misconfigured) as caught:
        load(path)
    (fault,) = caught.value.faults
    assert (fault.line, fault.cause) == (line, cause)
    assert fault.fix


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize("url", ["mqtt://localhost", "mqtt://[::1]:1883", "mqtt://192.168.1.5:1883", "mqtt://10.0.0.1"])
def test_addresses_near_the_gateway_need_no_encryption(folder: Path, url: str) -> None:
    assert read(folder, GOOD.replace("mqtt://127.0.0.1:1883", url)).hub.urls == (url,)


def test_the_example_is_a_good_file(tmp_path: Path) -> None:
    """deploy/examples/gateway.toml with the password that the hub would make."""
    shutil.copytree(REPOSITORY / "deploy", tmp_path / "deploy")
    example = tmp_path / "deploy" / "examples" / "gateway.toml"
    password = example.parent / "gw-karato.password"
    password.write_text("x")
    password.chmod(0o600)
    settings = load(example)
    assert [device.id for device in settings.devices] == ["river-1", "strap-1", "bus-1"]
    kinds = {device.kind for device in settings.devices} | {rule.kind for rule in settings.rules}
    assert kinds >= set(re.findall(r'^kind = "(\w+)"', EXAMPLE.read_text(), re.MULTILINE)) - {"led"}
