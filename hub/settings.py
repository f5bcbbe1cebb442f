"""The hub's settings: hub.toml where there is one, checked whole; the command line wins over it."""

import ipaddress
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from contract.configuration import Wrong, parse
from contract.consent import Purpose
from contract.errors import Fault, Misconfigured
from contract.quantity import QUANTITIES

_Port = Annotated[int, Field(ge=0, le=65535)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HttpTable(_Table):
    """Where pages and API are served: plain HTTP, so on loopback only. Port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: _Port = 8080

    @field_validator("host")
    @classmethod
    def _is_loopback(cls, host: str) -> str:
        try:
            is_loopback = ipaddress.ip_address(host).is_loopback
        except ValueError:
            is_loopback = False
        if not is_loopback:
            raise Wrong("the hub serves plain HTTP, so on loopback only", 'Write "127.0.0.1" or "::1"')
        return host


class BrokerTable(_Table):
    """Ports of the embedded broker, on loopback; and how the broker, embedded or not, keeps what waits for ingest."""

    mqtt_port: _Port = 1883
    nats_port: _Port = 4222
    replicas: int = 1
    """Servers of a cluster that each hold a copy of what waits; 3 survive the loss of one."""
    stream_bytes: Annotated[int, Field(ge=64 * 2**10)] = 2**30
    """What waits takes at most this much; beyond it the oldest falls out, and its gateway sends it again."""

    @field_validator("replicas")
    @classmethod
    def _have_a_majority(cls, replicas: int) -> int:
        if replicas not in {1, 3, 5}:
            raise Wrong("so many copies cannot agree", "Write 1, or 3 or 5 in a cluster of as many servers")
        return replicas


class IngestTable(_Table):
    """How the ingest of one process works."""

    workers: Annotated[int, Field(ge=1, le=8)] = 2
    """Groups of messages in the works at once. SQLite has one writer, so with it there is one worker."""


_Days = Annotated[int, Field(ge=0, le=100_000)]


class RetentionTable(_Table):
    """How many whole days records are kept after their time; 0 keeps them for ever."""

    telemetry_days: _Days = 400
    minute_days: _Days = 400
    """Statistics of each minute; of a quantity that is kept longer they are kept as long."""
    hour_days: _Days = 0
    quantities: dict[str, _Days] = {}
    """For a quantity by name, in place of telemetry_days."""
    purposes: dict[Purpose, _Days] = {}
    """What persons released for a purpose: kept for ever unless it is named."""

    @field_validator("quantities")
    @classmethod
    def _are_known(cls, quantities: dict[str, int]) -> dict[str, int]:
        unknown = sorted(set(quantities) - set(QUANTITIES))
        if unknown:
            raise Wrong(f"there is no quantity {unknown[0][:64]!r}", "Write a name from contract/quantity.py")
        return quantities


class Settings(_Table):
    """Everything hub.toml may hold."""

    http: HttpTable = HttpTable()
    broker: BrokerTable = BrokerTable()
    ingest: IngestTable = IngestTable()
    retention: RetentionTable = RetentionTable()


def load(path: Path | None) -> Settings:
    """The settings in `path`, defaults without one; Misconfigured with every fault."""
    if path is None:
        return Settings()
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(Fault(str(path), 0, "the file cannot be read", "Name a readable UTF-8 file")) from error
    return parse(Settings, text, str(path))


def with_ports(settings: Settings, http: int | None, mqtt: int | None, nats: int | None) -> Settings:
    """`settings` with the ports that are given in place of its own."""
    http_table = settings.http if http is None else settings.http.model_copy(update={"port": http})
    ports = {"mqtt_port": mqtt, "nats_port": nats}
    broker = settings.broker.model_copy(update={name: port for name, port in ports.items() if port is not None})
    return settings.model_copy(update={"http": http_table, "broker": broker})
