"""The tables of gateway.toml as an installer writes them: what each may hold, key by key.

Drivers' and rules' own keys are theirs (`Config` in their modules); what tables say of each other is checked in
`agent.settings`.
"""

import ipaddress
import re
from datetime import time
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from agent.anonymise import ServiceHours
from contract.configuration import Wrong
from contract.ids import is_id

_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d"
_HOURS = re.compile(rf"({_CLOCK})-({_CLOCK}|24:00)")
_HOURS_FIX = 'Write opening and closing time of the service in Japan: service_hours = "05:00-24:00"'
_URL_FIX = 'Write urls = ["mqtt://127.0.0.1:1883"]'


def _checked_id(text: str) -> str:
    if not is_id(text):
        fix = "Write 1 to 63 of a-z, 0-9, '-' and '_'; the first and the last are a letter or a digit"
        raise Wrong("an id holds other characters than it may, or is too long or empty", fix)
    return text


def _checked_url(url: str) -> str:
    """The URL of a hub's broker. Plain MQTT only where nobody outside can listen: loopback or a private network."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Wrong("an item of 'urls' is no URL, or its port is none", _URL_FIX) from None
    if parts.scheme == "mqtts":
        raise Wrong("mqtts:// needs device certificates, which this version does not have", _URL_FIX)
    if parts.scheme != "mqtt" or not host or port == 0:
        raise Wrong("an item of 'urls' is not mqtt://host:port", _URL_FIX)
    if parts.username is not None or parts.password is not None or parts.path or parts.query or parts.fragment:
        raise Wrong("an item of 'urls' holds more than host and port", f"{_URL_FIX}; the password has its own file")
    if not _is_near(host):
        fix = "Name 127.0.0.1, localhost or a private address (10.x, 172.16-31.x, 192.168.x, fd..), or use a VPN"
        raise Wrong("an item of 'urls' would send data unencrypted over the internet", fix)
    return url


def _is_near(host: str) -> bool:
    """A name other than localhost can lead anywhere, so it is not near."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (address.is_private or address.is_loopback) and not address.is_unspecified


def _checked_hours(text: str) -> str:
    match = _HOURS.fullmatch(text)
    if match is None:
        raise Wrong("'service_hours' is not written as it must be", _HOURS_FIX)
    if match[1] == match[2]:
        raise Wrong("'service_hours' begin and end at the same time", _HOURS_FIX)
    return text


def service_hours(text: str) -> ServiceHours:
    """The hours in a checked "HH:MM-HH:MM"; 24:00 is midnight."""
    start, end = text.split("-")
    return ServiceHours(_time(start), _time(end))


def _time(text: str) -> time:
    hour, minute = map(int, text.split(":"))
    return time(hour % 24, minute)


Id = Annotated[str, AfterValidator(_checked_id)]
FileName = Annotated[str, Field(min_length=1, pattern=r"^[^\x00-\x1f]+$")]


class Table(BaseModel):
    """What all tables share: nothing unknown, nothing changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Sections(Table):
    """The top of the file: which tables there are. Each is checked by its own model."""

    gateway: dict[str, object]
    hub: dict[str, object]
    outbox: dict[str, object] = {}
    device: tuple[dict[str, object], ...] = ()
    person: tuple[dict[str, object], ...] = ()
    rule: tuple[dict[str, object], ...] = ()
    actuator: tuple[dict[str, object], ...] = ()


class GatewayTable(Table):
    """`[gateway]`"""

    id: Id = Field(examples=["gw-karato"])
    name: str = Field(default="", max_length=100)


class HubTable(Table):
    """`[hub]`: brokers in the order in which they are tried, the file with the password, and how the link behaves."""

    urls: tuple[Annotated[str, AfterValidator(_checked_url)], ...] = Field(
        min_length=1, max_length=8, examples=[["mqtt://127.0.0.1:1883"]]
    )
    password_file: FileName = Field(
        examples=["gw-karato.password"], description="kanmon-hub gateway add ID makes this file"
    )
    keepalive_s: int = Field(default=10, ge=2, le=600)
    publish_timeout_s: float = Field(default=10.0, ge=1, le=300)
    resend_first_s: float = Field(default=10.0, ge=1, le=300)
    max_kib_per_s: float | None = Field(default=None, ge=1, le=1_000_000)


class OutboxTable(Table):
    """`[outbox]`: how readings are gathered before they are written and sent."""

    linger_ms: int = Field(default=100, ge=1, le=10_000)
    batch_records: int = Field(default=1000, ge=1, le=10_000)
    max_mib: int = Field(default=1024, ge=4, le=1_048_576)


class DeviceTable(Table):
    """`[[device]]`, the keys of every kind; the others are the driver's."""

    id: Id = Field(examples=["river-1"])
    kind: str = Field(examples=["modbus"])
    name: str = Field(default="", max_length=100)
    person: str | None = None
    latitude: float | None = Field(default=None, ge=-90, le=90)
    longitude: float | None = Field(default=None, ge=-180, le=180)
    service_hours: Annotated[str, AfterValidator(_checked_hours)] | None = None

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if (self.latitude is None) != (self.longitude is None):
            raise Wrong("only one of 'latitude' and 'longitude' is there", "Write both, or none for a moving device")
        if self.person is not None and (self.service_hours is not None or self.latitude is not None):
            cause = "a device that a person wears has no place or service hours of its own"
            raise Wrong(cause, "Remove 'latitude', 'longitude' and 'service_hours', or 'person'")
        return self


class PersonTable(Table):
    """`[[person]]`: an account id, never a name."""

    id: Id = Field(examples=["resident-1"])


class RuleTable(Table):
    """`[[rule]]`, the key of every kind; the others are the rule's."""

    kind: str = Field(examples=["river_stage"])


class ActuatorTable(Table):
    """`[[actuator]]`: what is switched on while an alert of one of `rules` lasts."""

    id: Id = Field(examples=["lamp-1"])
    kind: Literal["led"] = Field(examples=["led"])
    path: FileName = Field(examples=["/sys/class/leds/kanmon"])
    rules: tuple[str, ...] = Field(min_length=1, examples=[["river_stage"]])
