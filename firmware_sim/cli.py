"""The command `kanmon-sim`: the demo, the simulated town alone, and recordings played through real ports."""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from contract.errors import KanmonError, Misconfigured, Refused, Unreachable
from firmware_sim.chaos_kinds import CLOCKS, Kind, Setup
from firmware_sim.chaos_plan import Scenario
from firmware_sim.fleet_plan import Storm

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)

EXIT_FAILED = 1
EXIT_CODES: tuple[tuple[type[KanmonError], int], ...] = ((Misconfigured, 2), (Unreachable, 4), (Refused, 5))
EXIT_INTERRUPTED = 130


class SetupChoice(StrEnum):
    """One set-up, or each in turn."""

    EMBEDDED = Setup.EMBEDDED
    POSTGRES = Setup.POSTGRES
    CLUSTER = Setup.CLUSTER
    ALL = "all"


Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout; messages go to stderr.")]
Seed = Annotated[int, typer.Option(help="What the day in the town is drawn from.")]


@app.command()
def demo(
    for_s: Annotated[float | None, typer.Option("--for", min=0, metavar="SECONDS", help="End after so long.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the page; 0: free ports for everything.")] = 8080,
    state: Annotated[Path | None, typer.Option(help="State folder; without it a temporary one.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary state folder.")] = False,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Run hub, gateway and a simulated town; end with the balance of what was emitted. Exit 1 when it does not hold."""
    from firmware_sim import demo as whole
    from firmware_sim import narrator, ports, scenario
    from firmware_sim.plan import Layout
    from firmware_sim.state_folder import state_folder

    with told_errors(as_json), state_folder(state, keep) as root:
        options = whole.Options(Layout(root), ports.choose(port), seed, scenario.STAGES_M, for_s)
        people = narrator.ForPeople()
        outcome = asyncio.run(whole.run(options, narrator.ForMachines() if as_json else people))
        if as_json:
            typer.echo(whole.as_json(outcome))
        else:
            people.balanced(outcome.balance)
    raise typer.Exit(0 if outcome.balance.holds else EXIT_FAILED)


@app.command()
def chaos(
    rounds: Annotated[int, typer.Option(min=1, help="How many rounds, of about 8 s each.")] = 10,
    seed: Annotated[int | None, typer.Option(help="What the faults are drawn from; without it a fresh one.")] = None,
    setup: Annotated[
        SetupChoice, typer.Option(help="What stands behind the link; all: each in turn.")
    ] = SetupChoice.ALL,
    fault: Annotated[list[Kind] | None, typer.Option(help="Draw from these alone; may be given again.")] = None,
    scenario: Annotated[Scenario | None, typer.Option(help="A named schedule in place of drawn rounds.")] = None,
    readings: Annotated[int, typer.Option(min=10_000, help="What waits in the scenario day-away.")] = 43_200_000,
    state: Annotated[Path | None, typer.Option(help="State folder; without it a temporary one.")] = None,
    as_json: Json = False,
) -> None:
    """Kill, cut, fill and turn back, round after round; exit 1 when anything is lost, double or out of order."""
    from random import randrange

    from firmware_sim import chaos as whole
    from firmware_sim import chaos_clock, chaos_plan, chaos_told
    from firmware_sim.state_folder import state_folder

    seed = randrange(10**6) if seed is None else seed  # noqa: S311  a schedule, not a secret
    if scenario is Scenario.DAY_AWAY:
        _day_away(seed, readings, state, as_json)
    setups = tuple(Setup) if setup is SetupChoice.ALL else (Setup(setup.value),)
    only = frozenset(fault or Kind)
    schedule = chaos_plan.SCENARIOS[scenario] if scenario else chaos_plan.drawn(seed, rounds, setups, only)
    typer.echo(f"kanmon-sim: seed {seed}", err=True)
    if chaos_clock.library() is None:
        typer.echo("kanmon-sim: libfaketime is not installed; faults of the clock are left out", err=True)
        schedule = chaos_plan.without(schedule, CLOCKS)
    with told_errors(as_json), state_folder(state, keep=False) as root:
        people = chaos_told.ForPeople(len(schedule))
        with nullcontext() if as_json else people:
            told = chaos_told.ForMachines() if as_json else people
            hub_keys = {} if scenario else chaos_plan.HASTY
            report = asyncio.run(whole.run(root, seed, schedule, told, hub_keys, keep=state is not None))
        if as_json:
            typer.echo(chaos_told.as_json(report, seed, state))
        else:
            people.ended(report, seed)
    raise typer.Exit(0 if report.holds else EXIT_FAILED)


def _day_away(seed: int, readings: int, state: Path | None, as_json: bool) -> NoReturn:
    from firmware_sim import chaos_day_away, chaos_told
    from firmware_sim.state_folder import state_folder

    with told_errors(as_json), state_folder(state, keep=False) as root:
        people = chaos_told.ForPeople(1)
        with nullcontext() if as_json else people:
            told = chaos_told.ForMachines() if as_json else people
            report = asyncio.run(chaos_day_away.run(root, seed, readings, told))
        typer.echo(chaos_day_away.as_json(report, seed) if as_json else str(report))
    raise typer.Exit(0 if report.holds else EXIT_FAILED)


@app.command()
def fleet(  # noqa: PLR0917  typer makes options of parameters
    gateways: Annotated[int, typer.Option(min=1, max=20_000, help="How many.")] = 1000,
    devices: Annotated[int, typer.Option(min=1, max=100, help="Of each gateway.")] = 2,
    period_s: Annotated[float, typer.Option(min=0.1, help="Each gateway speaks once in so long.")] = 10.0,
    for_s: Annotated[float, typer.Option("--for", min=0, metavar="SECONDS", help="Speak so long, all up.")] = 60.0,
    seed: Annotated[int, typer.Option(help="What timers and retries are drawn from.")] = 7,
    storm: Annotated[Storm, typer.Option(help="What cuts all at once in the middle; needs an own hub.")] = Storm.NONE,
    hub: Annotated[str | None, typer.Option(metavar="URL", help="API of a hub that runs; else an own one.")] = None,
    mqtt: Annotated[list[str] | None, typer.Option(metavar="URL", help="Its MQTT listener; again for more.")] = None,
    credentials: Annotated[Path | None, typer.Option(help="Folder of its <gateway>.password files.")] = None,
    state: Annotated[Path | None, typer.Option(help="State folder; without it a temporary one.")] = None,
    as_json: Json = False,
) -> None:
    """Run many gateways on a hub, cut them all at once; exit 1 when a reading is lost, double or out of order."""
    from firmware_sim import fleet as whole
    from firmware_sim import fleet_told
    from firmware_sim.fleet_hub import Reach
    from firmware_sim.state_folder import state_folder

    given: Reach | None = None
    if hub is not None and mqtt and credentials is not None and storm is Storm.NONE:
        given = Reach(hub, tuple(mqtt), credentials)
    elif hub is not None or mqtt or credentials is not None:
        raise typer.BadParameter("name --hub, --mqtt and --credentials together, without --storm; or none of them")
    with told_errors(as_json), state_folder(state, keep=False) as root:
        options = whole.Options(gateways, devices, period_s, for_s, seed, storm, root, given)
        people = fleet_told.ForPeople()
        with nullcontext() if as_json else people:
            report = asyncio.run(whole.run(options, fleet_told.ForMachines() if as_json else people))
        if as_json:
            typer.echo(fleet_told.as_json(report, seed))
        else:
            people.ended(report)
    raise typer.Exit(0 if report.holds else EXIT_FAILED)


@app.command()
def town(
    state: Annotated[Path, typer.Option(help="State folder: emitted.jsonl, D-Bus socket, GNSS port.")],
    seed: Seed = 1,
    modbus_port: Annotated[int, typer.Option(min=0, max=65535, help="Of the river station; 0: a free one.")] = 0,
    as_json: Json = False,
) -> None:
    """Run the simulated devices alone until a signal. SIGUSR1: say nothing more, keep every link open."""
    from firmware_sim import town as simulated
    from firmware_sim.plan import TownLayout

    def on_ready(modbus: int) -> None:
        layout = TownLayout(state.absolute())
        facts = {"modbus_port": modbus, "dbus": f"unix:path={layout.bus_socket}", "gnss": str(layout.gnss_port)}
        typer.echo(json.dumps(facts) if as_json else "\n".join(f"{name}: {value}" for name, value in facts.items()))

    with told_errors(as_json):
        asyncio.run(simulated.run(TownLayout(state.absolute()), seed, modbus_port, on_ready))


@app.command()
def replay(
    nmea: Annotated[Path | None, typer.Option(help="A log of NMEA sentences, through a serial port.")] = None,
    rr: Annotated[Path | None, typer.Option(help="RR intervals, as notifications of a heart-rate strap.")] = None,
    modbus: Annotated[Path | None, typer.Option(metavar="CSV", help="A table, through the river station.")] = None,
    state: Annotated[Path | None, typer.Option(help="Folder of port and socket; else a temporary one.")] = None,
    modbus_port: Annotated[int, typer.Option(min=0, max=65535, help="Of the river station; 0: a free one.")] = 0,
    speed: Annotated[float, typer.Option(min=0.001, help="2 takes half the recording's time.")] = 1.0,
    as_json: Json = False,
) -> None:
    """Play a recording through the port of a simulated device; waits for a reader, and loses nothing."""
    from firmware_sim import player
    from firmware_sim.plan import TownLayout
    from firmware_sim.replay import Pace
    from firmware_sim.state_folder import state_folder

    def on_ready(where: str) -> None:
        typer.echo(where, err=True)

    if sum(path is not None for path in (nmea, rr, modbus)) != 1:
        raise typer.BadParameter("name one recording: --nmea, --rr or --modbus")
    with told_errors(as_json), state_folder(state, keep=False) as root:
        layout, pace = TownLayout(root), Pace(speed)
        if nmea is not None:
            played = player.play_nmea(nmea, layout, pace, on_ready)
        elif rr is not None:
            played = player.play_rr(rr, layout, pace, on_ready)
        else:
            assert modbus is not None  # noqa: S101  one of the three is there
            played = player.play_modbus(modbus, layout, pace, on_ready, modbus_port)
        progress = asyncio.run(played)
        answer = {"played": progress.done, "total": progress.total}
        typer.echo(json.dumps(answer) if as_json else f"{progress.done} of {progress.total} played")


@contextmanager
def told_errors(as_json: bool) -> Iterator[None]:
    """Errors of the project as one sentence (or JSON object) and an exit code by family; never a traceback."""
    try:
        yield
    except KanmonError as error:
        _tell(type(error).__name__, str(error), as_json)
        code = next((code for known, code in EXIT_CODES if isinstance(error, known)), EXIT_FAILED)
        raise typer.Exit(code) from error
    except OSError as error:
        # Folders and ports are checked at the start: what is left is a disk that fills or is taken away.
        _tell("StateUnusable", f"{error.filename or 'a file'} cannot be used: {error.strerror or error}.", as_json)
        raise typer.Exit(EXIT_FAILED) from error
    except (KeyboardInterrupt, asyncio.CancelledError) as error:
        _tell("Interrupted", "ended before the end, without a balance", as_json)
        raise typer.Exit(EXIT_INTERRUPTED) from error


def _tell(family: str, text: str, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"error": {"family": family, "text": text}}, ensure_ascii=False))
    else:
        typer.echo(f"kanmon-sim: {text}", err=True)


if __name__ == "__main__":
    sys.exit(app())
