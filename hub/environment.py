"""What the hub is told by its environment: its role, the database and the broker that others run. Secrets by file.

No URL of here is shown whole: `masked` takes user and password out first.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from contract.errors import Fault, Misconfigured

DATABASE_URL = "KANMON_DATABASE_URL"
DATABASE_PASSWORD_FILE = "KANMON_DATABASE_PASSWORD_FILE"  # noqa: S105  # the name of a variable
NATS_URL = "KANMON_NATS_URL"
NATS_USER = "KANMON_NATS_USER"
NATS_PASSWORD_FILE = "KANMON_NATS_PASSWORD_FILE"  # noqa: S105  # the name of a variable

_DATABASE_SCHEMES = frozenset({"postgresql", "postgres"})
_NATS_SCHEMES = frozenset({"nats", "tls"})
_CREDENTIALS = re.compile(r"//[^/@\s]*@")


class Role(StrEnum):
    """What one process of the hub does."""

    API = "api"
    """Answers with pages and API; takes nothing in."""
    INGEST = "ingest"
    """Takes what gateways send into the database and keeps the database in order; answers nobody."""
    ALL = "all"

    @property
    def answers(self) -> bool:
        """True when it serves pages and API."""
        return self is not Role.INGEST

    @property
    def takes_in(self) -> bool:
        """True when it consumes messages and maintains the store."""
        return self is not Role.API


@dataclass(frozen=True, slots=True)
class Access:
    """Where the broker is and who asks: one server, or those of one cluster."""

    urls: tuple[str, ...] = field(repr=False)
    user: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Environment:
    """What the environment says. None: the hub's own SQLite file, its own broker."""

    database_url: str | None = field(default=None, repr=False)
    """With the password in it, where a file held one."""
    broker: Access | None = None


def read(variables: Mapping[str, str]) -> Environment:
    """The environment, its files read; Misconfigured with what is wrong with it."""
    return Environment(_database_url(variables), _broker(variables))


def check(environment: Environment, role: Role, replicas: int) -> None:
    """Raise Misconfigured when `role` cannot be played, or no cluster is there to hold `replicas`."""
    faults = []
    if role is not Role.ALL and environment.database_url is None:
        cause = f"the role {role} needs a database that several processes share, and SQLite takes one"
        faults.append(Fault(f"--role {role}", 0, cause, f"Set {DATABASE_URL}=postgresql://..., or run --role all"))
    if role is not Role.ALL and environment.broker is None:
        cause = f"the role {role} needs a broker that several processes share"
        fix = f"Set {NATS_URL} to that of a cluster or of the hub whose role is all, or run --role all"
        faults.append(Fault(f"--role {role}", 0, cause, fix))
    if replicas > 1 and environment.broker is None:
        fix = f"Set {NATS_URL} to the servers of a cluster, or leave replicas out"
        faults.append(Fault("broker.replicas", 0, "the embedded broker is one server", fix))
    if faults:
        raise Misconfigured(*faults)


def masked(text: str) -> str:
    """`text` with user and password taken out of every URL in it."""
    return _CREDENTIALS.sub("//***@", text)


def _database_url(variables: Mapping[str, str]) -> str | None:
    url = variables.get(DATABASE_URL)
    if not url:
        return None
    try:
        parts = urlsplit(url)
        name, _, own_password = parts.netloc.rpartition("@")[0].partition(":")
    except ValueError:
        parts, name, own_password = urlsplit(""), "", ""
    if parts.scheme not in _DATABASE_SCHEMES:
        cause = "is no postgresql:// URL"
        raise Misconfigured(Fault(DATABASE_URL, 0, cause, "Write postgresql://user@host:5432/database"))
    password = _secret(variables, DATABASE_PASSWORD_FILE)
    if password is None:
        return url
    if not name or own_password:
        cause = "a password file needs a user, and no password, in the URL"
        raise Misconfigured(Fault(DATABASE_URL, 0, cause, "Write postgresql://user@host:5432/database"))
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{name}:{quote(password, safe='')}@{place}"))


def _broker(variables: Mapping[str, str]) -> Access | None:
    named = variables.get(NATS_URL)
    if not named:
        return None
    urls = tuple(url.strip() for url in named.split(",") if url.strip())
    for url in urls:
        try:
            is_right = urlsplit(url).scheme in _NATS_SCHEMES and bool(urlsplit(url).hostname)
            _ = urlsplit(url).port
        except ValueError:
            is_right = False
        if not is_right:
            fix = "Write nats://host:4222, several of one cluster separated by commas"
            raise Misconfigured(Fault(NATS_URL, 0, f"{masked(url)!r} is no NATS URL", fix))
    user, password = variables.get(NATS_USER), _secret(variables, NATS_PASSWORD_FILE)
    if (user is None) != (password is None):
        fix = f"Set both {NATS_USER} and {NATS_PASSWORD_FILE}, or neither"
        raise Misconfigured(Fault(NATS_USER, 0, "a user and a password belong together", fix))
    return Access(urls, user, password)


def _secret(variables: Mapping[str, str], name: str) -> str | None:
    file = variables.get(name)
    if not file:
        return None
    try:
        secret = Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Misconfigured(Fault(name, 0, f"{file} cannot be read ({reason})", "Name a readable file")) from error
    if not secret:
        raise Misconfigured(Fault(name, 0, f"{file} is empty", "Write the password into it"))
    return secret
