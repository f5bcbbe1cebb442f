"""The installers' command: run the agent, check a configuration, switch consent, look on. `--json` on every command."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from agent import client
from contract.consent import Purpose
from contract.errors import KanmonError, Misconfigured, Refused, Unreachable

EXIT_CODES: tuple[tuple[type[KanmonError], int], ...] = ((Misconfigured, 2), (Unreachable, 4), (Refused, 5))

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="The gateway process of Kanmon."
)
consent_app = typer.Typer(no_args_is_help=True, help="What residents agreed to at this gateway.")
app.add_typer(consent_app, name="consent")


def default_state() -> Path:
    """Where state lies unless --state or KANMON_STATE says otherwise."""
    root = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(root) / "kanmon" / "gateway"


Config = Annotated[Path, typer.Option(help="The gateway's settings.", envvar="KANMON_CONFIG")]
State = Annotated[Path, typer.Option(help="The state folder.", envvar="KANMON_STATE", default_factory=default_state)]
Json = Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")]


@app.command()
def run(state: State, config: Config = Path("gateway.toml"), as_json: Json = False) -> None:
    """Run the gateway until it is told to stop."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # our links say the same once, and in our words
    try:
        from agent.main import run as run_agent
        from agent.settings import load

        asyncio.run(_until_stopped(run_agent(load(config), state)))
    except* KanmonError as group:
        _fail(_first(group), as_json, {Refused: 1})


@app.command()
def check(config: Config = Path("gateway.toml"), as_json: Json = False) -> None:
    """Check gateway.toml and every file it names, and list everything that is wrong."""
    from agent.settings import load

    try:
        settings = load(config)
    except Misconfigured as error:
        _fail(error, as_json)
    answer = {"ok": True, "devices": len(settings.devices), "rules": len(settings.rules)}
    _say(answer, f"{config}: {len(settings.devices)} devices, {len(settings.rules)} rules, nothing wrong", as_json)


@consent_app.command("set")
def consent_set(
    person: str,
    purpose: Purpose,
    on_off: Annotated[str, typer.Argument(metavar="on|off")],
    state: State,
    made_on: Annotated[int | None, typer.Option(help="The version the resident saw; the latest if omitted.")] = None,
    as_json: Json = False,
) -> None:
    """Switch one purpose of one person; it acts at once, with or without a hub."""
    if on_off not in ("on", "off"):
        raise typer.BadParameter('write "on" or "off"')
    request = {"do": "consent.set", "person": person, "purpose": purpose, "on": on_off == "on", "made_on": made_on}
    answer = _ask(state, request, as_json)
    word = "on" if answer["on"] else "off"
    _say(answer, f"{purpose}: {word} since {answer['at']} (version {answer['version']})", as_json)


@consent_app.command("list")
def consent_list(state: State, as_json: Json = False) -> None:
    """Every purpose that was ever switched, with its latest version."""
    answer = _ask(state, {"do": "consent.list"}, as_json)
    rows = [
        f"{c['person']}  {c['purpose']}: {'on' if c['on'] else 'off'} (version {c['version']})"
        for c in answer["consents"]
    ]
    _say(answer, "\n".join(rows) or "nobody has agreed to anything", as_json)


@app.command()
def status(state: State, as_json: Json = False) -> None:
    """What the running agent last saw of its hub and its devices."""
    answer = _ask(state, {"do": "status"}, as_json)
    waiting = answer["outbox"]
    lines = [
        f"{answer['gateway']}: hub {answer['hub']['state']} since {answer['hub']['since']}",
        f"outbox: {waiting['alert']} alert records and {waiting['data']} data records wait",
        *(f"{d['id']}: {d['state']} since {d['since']}, last sample {d['last_sample_at']}" for d in answer["devices"]),
        *(f"alarm: {a['device']} {a['name_ja']} / {a['name_en']}" for a in answer["alarms"]),
    ]
    _say(answer, "\n".join(lines), as_json)


@app.command()
def watch(state: State, as_json: Json = False) -> None:
    """Samples and alerts as they come, one JSON object a line, until interrupted."""
    try:
        for event in client.listen(state, {"do": "watch"}):
            typer.echo(json.dumps(event, ensure_ascii=False))
    except KeyboardInterrupt:
        return
    except KanmonError as error:
        _fail(error, as_json)


async def _until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` until it ends or a signal asks to stop."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel if task else loop.stop)
    try:
        await work
    except asyncio.CancelledError:
        logging.getLogger(__name__).info("stopped")


def _ask(state: Path, request: Mapping[str, object], as_json: bool) -> dict[str, Any]:
    try:
        return client.ask(state, request)
    except KanmonError as error:
        _fail(error, as_json)


def _say(answer: Mapping[str, object], text: str, as_json: bool) -> None:
    typer.echo(json.dumps(answer, ensure_ascii=False) if as_json else text)


def _fail(error: KanmonError, as_json: bool, codes: Mapping[type[KanmonError], int] | None = None) -> NoReturn:
    typer.echo(str(error), err=True)
    if as_json:
        faults = [
            {"file": f.file, "line": f.line, "cause": f.cause, "fix": f.fix} for f in getattr(error, "faults", ())
        ]
        detail = {"family": type(error).__name__, "text": str(error), "faults": faults}
        typer.echo(json.dumps({"error": detail}, ensure_ascii=False))
    by_family = {**dict(EXIT_CODES), **(codes or {})}
    raise SystemExit(by_family.get(type(error), 1))


def _first(group: BaseExceptionGroup[KanmonError]) -> KanmonError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
