"""Broker credentials: one file a user, made here, readable by the owner only. The file's name is the user's name."""

import json
import secrets
from collections.abc import Sequence
from pathlib import Path

from cloud_sync.topics import RESERVED_NAMES, gateway_permissions
from contract.errors import Fault, Misconfigured
from contract.ids import GatewayId, is_id
from hub.state_folder import write_private

HUB_USER = "hub"
_SUFFIX = ".password"
_SECRET_BYTES = 32
"""256 bits: the server compares plain text, which a longer hash would not make safer against guessing."""


def credential_path(folder: Path, user: str) -> Path:
    """Where the password of `user` lies."""
    return folder / f"{user}{_SUFFIX}"


def ensure(folder: Path, user: str) -> str:
    """The password of `user`, drawn and written when there is none."""
    path = credential_path(folder, user)
    if not path.exists():
        write_private(path, secrets.token_urlsafe(_SECRET_BYTES))
    return path.read_text("utf-8").strip()


def add_gateways(folder: Path, names: Sequence[str]) -> list[tuple[Path, bool]]:
    """The credential file of each gateway in `names`, and whether it is new.

    Misconfigured, and none is made, when one of the names cannot be a gateway's.
    """
    fix = "Take 1 to 63 of a-z, 0-9, '-' and '_', starting and ending with a letter or digit, and not 'hub'"
    wrong = [name for name in names if not is_id(name) or name in RESERVED_NAMES]
    if wrong:
        raise Misconfigured(
            *(Fault(f"gateway id {name[:80]!r}", 0, "this is no gateway's name", fix) for name in wrong)
        )
    paths = [credential_path(folder, name) for name in names]
    made = [(path, not path.exists()) for path in paths]
    for name in names:
        ensure(folder, name)
    return made


def gateways(folder: Path) -> Sequence[GatewayId]:
    """Every gateway that has a credential."""
    names = (path.name.removesuffix(_SUFFIX) for path in folder.glob(f"*{_SUFFIX}"))
    return sorted(GatewayId(name) for name in names if is_id(name) and name not in RESERVED_NAMES)


def users_config(folder: Path) -> str:
    """The server's `authorization` block: the hub may do everything, a gateway its own topics and nothing else.

    The same for the embedded server and, included in the configuration of each, for the servers of a cluster.

    Passwords stand in it in plain text, so it lies beside the credential files under the same rights. The server
    takes bcrypt hashes too, but nothing in the standard library makes them and these secrets cannot be guessed.
    """
    users: list[dict[str, object]] = [{"user": HUB_USER, "password": ensure(folder, HUB_USER)}]
    for gateway in gateways(folder):
        publish, subscribe = gateway_permissions(gateway)
        permissions = {"publish": list(publish), "subscribe": list(subscribe)}
        users.append({"user": gateway, "password": ensure(folder, gateway), "permissions": permissions})
    return f"authorization {json.dumps({'users': users}, indent=1)}\n"
