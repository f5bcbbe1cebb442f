"""`kanmon-hub`: serve a hub, add gateways. Exit codes: 0 ok, 1 failed, 2 usage or configuration, 4 unreachable."""

import asyncio
import json
import logging
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from contract.errors import KanmonError, Misconfigured, Unreachable
from hub.environment import Role

if TYPE_CHECKING:
    from hub.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The hub: broker, store, API and pages of a city.",
)
gateway = typer.Typer(no_args_is_help=True, help="Gateways that may connect.")
app.add_typer(gateway, name="gateway")

_FAILED, _CONFIGURATION, _UNREACHABLE = 1, 2, 4


def _default_state() -> Path:
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return base / "kanmon" / "hub"


_State = Annotated[
    Path, typer.Option("--state", envvar="KANMON_STATE", help="State folder.", default_factory=_default_state)
]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, errors too.")]
_Config = Annotated[Path | None, typer.Option("--config", help="hub.toml; without it, defaults hold.")]
_Port = Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one.")]


@app.command()
def serve(
    state: _State,
    config: _Config = None,
    role: Annotated[Role, typer.Option(help="What this process does; several of each may run.")] = Role.ALL,
    http_port: _Port = None,
    mqtt_port: _Port = None,
    nats_port: _Port = None,
    as_json: _Json = False,
) -> None:
    """Run the hub until SIGTERM or SIGINT. Says "ready" on standard error once it answers."""
    from hub import environment
    from hub import settings as hub_settings

    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    try:
        settings = hub_settings.load(config)
        environment.check(environment.read(os.environ), role, settings.broker.replicas)
    except Misconfigured as error:
        _fail(error, _CONFIGURATION, as_json)
    settings = hub_settings.with_ports(settings, http_port, mqtt_port, nats_port)
    try:
        asyncio.run(_serve(state, settings, role, as_json))
    except Unreachable as error:
        _fail(error, _UNREACHABLE, as_json)
    except KanmonError as error:
        _fail(error, _FAILED, as_json)


@gateway.command("add")
def gateway_add(
    names: Annotated[list[str], typer.Argument(metavar="ID...", help="The gateways' ids.")],
    state: _State,
    nats_users: Annotated[
        Path | None, typer.Option(help="Also write who may connect here, for the servers of a cluster to include.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Make the broker credentials of gateways, and let a running hub accept them at once."""
    from hub import credentials
    from hub.nats_server import executable, reload_users, write_users
    from hub.state_folder import StateFolder

    folder = StateFolder(state.absolute())
    try:
        folder.make()
        made = credentials.add_gateways(folder.credentials, names)
        is_told = reload_users(folder, executable(os.environ))
        if nats_users is not None:
            write_users(nats_users, folder)
    except Misconfigured as error:
        _fail(error, _CONFIGURATION, as_json)
    if as_json:
        said = [
            {"gateway": name, "password_file": str(path), "is_new": is_new}
            for name, (path, is_new) in zip(names, made, strict=True)
        ]
        typer.echo(json.dumps({"gateways": said, "hub_told": is_told}, ensure_ascii=False))
    else:
        for path, _ in made:
            typer.echo(str(path))


async def _serve(state: Path, settings: "Settings", role: Role, as_json: bool) -> None:
    from hub.main import serve as serve_hub
    from hub.state_folder import Running, StateFolder

    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)

    def ready(running: Running) -> None:
        if as_json:
            ports = {"http": running.http_port, "mqtt": running.mqtt_port, "nats": running.nats_port}
            typer.echo(json.dumps({"ready": True, "pid": running.pid, "role": role, **ports}))
        places = [f"http://127.0.0.1:{running.http_port}"] if role.answers else [f"role {role}"]
        places += [f"(MQTT {running.mqtt_port})"] if running.mqtt_port else []
        typer.echo(f"ready: {' '.join(places)}", err=True)

    try:
        await serve_hub(StateFolder(state.absolute()), settings, os.environ, stop, ready, role)
    except BaseExceptionGroup as group:
        expected, others = group.split(KanmonError)
        if expected is None or others is not None:
            raise
        raise _first(expected) from group


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _fail(error: KanmonError, code: int, as_json: bool) -> NoReturn:
    told = str(error)
    if as_json:
        said: dict[str, object] = {"family": type(error).__name__, "text": told}
        if isinstance(error, Misconfigured):
            said["faults"] = [asdict(fault) for fault in error.faults]
        typer.echo(json.dumps({"error": said}, ensure_ascii=False))
    else:
        typer.echo(told, err=True)
    raise typer.Exit(code)
