"""The composition root of the gateway process: settings -> objects -> one TaskGroup. Time and chance are made here."""

import asyncio
import fcntl
import gc
import logging
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any, TextIO

from agent import consent, outbox_schema
from agent.actuators import Actuators, Led
from agent.alarms import Alarms
from agent.boots import FILE_NAME as BOOTS_NAME
from agent.boots import BootBook, present_boot_id
from agent.clock import Clock, Kernel
from agent.commit import Committer
from agent.consent import Change, ConsentBook
from agent.continuity import Continuity
from agent.control import SOCKET_NAME, ConsentSet, Control
from agent.outbox import Outbox
from agent.personal import PersonalRelease
from agent.pipeline import Pipeline, Source
from agent.pseudonym_book import PseudonymBook
from agent.rules.base import Rule
from agent.rules.registry import RULES
from agent.seal import KeyFolder
from agent.settings import DeviceSettings, Settings
from agent.status import HubState, Status
from agent.store import Database
from agent.supervisor import DeviceHealth, DeviceTask
from agent.timekeeper import Timekeeper
from agent.watchers import Watchers
from cloud_sync.backoff import Backoff
from cloud_sync.link import HubLink
from cloud_sync.session import Broker
from contract.device import LinkState
from contract.errors import Refused, StoreFull, Tampered, Unreachable
from contract.ids import AlertId, DeviceId, Epoch, PersonId
from contract.sample import Flag, Position
from drivers import registry
from lifeline.systemd import Lifeline

TICK_S = 1.0
WITNESS_S = 60.0
"""A gap for a lost outbox file starts up to so much too early; writing more often would wear the card."""
FIRST_WITNESS_S = 2.0
"""After a start the first commits are attested soon: a gateway's first file, lost in its first minute, would leave no
trace, and a later one that minute's devices."""
STOP_LIMIT_S = 5.0
DEVICE_BACKOFF = Backoff(first_s=0.5, limit_s=10.0)
"""A device that is back is heard again within seconds; asking one that is away costs little."""

log = logging.getLogger(__name__)


@asynccontextmanager
async def locked(state: Path) -> AsyncIterator[None]:
    """The state folder for this process alone; Refused when another agent holds it, StoreFull when it cannot be had."""
    lock: TextIO | None = None
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (state / "lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Refused(f"another kanmon-agent runs on {state}; stop it or name another --state") from error
    except OSError as error:
        raise StoreFull(f"state folder {state} cannot be written: {error.strerror}") from error
    try:
        yield
    finally:
        lock.close()


@dataclass(frozen=True, slots=True)
class _Line:
    """The objects that a sample passes through."""

    pseudonyms: PseudonymBook
    committer: Committer
    personal: PersonalRelease
    alarms: Alarms
    actuators: Actuators
    watchers: Watchers
    pipeline: Pipeline


async def run(settings: Settings, state: Path) -> None:
    """Run the gateway until cancelled; what was taken by then is durable when this returns."""
    keys, epoch = KeyFolder(state / "keys"), Epoch(secrets.token_hex(8))
    async with (
        locked(state),
        Database(state / "consent.db", consent.MIGRATIONS) as consent_file,
        Database(state / "outbox.db", outbox_schema.MIGRATIONS) as outbox_file,
    ):
        boots = BootBook(state / BOOTS_NAME, present_boot_id())
        timekeeper = Timekeeper.start(Kernel(), boots)
        consents = ConsentBook(consent_file, settings.persons)
        await consents.load(timekeeper.clock.now())
        outbox = Outbox(outbox_file, keys, epoch, settings.outbox.batch_records, settings.outbox.max_bytes)
        clock, line = timekeeper.clock, await _line(settings, timekeeper, boots, consents, outbox, keys)
        _begin(settings, line, clock)

        hub = HubState(clock, timekeeper.hub_time)
        tasks = [_task(device, line.pipeline, clock) for device in settings.devices]
        healths = [task.health for task in tasks]
        timekeeper.before_learning(line.pipeline.end_windows)
        timekeeper.after_learning(line.pipeline.redate, hub.redate, *(health.redate for health in healths))
        status = Status(
            settings, clock.stamp(), clock, hub, outbox, line.committer, line.personal, line.alarms, healths
        )
        control = _control(status, line.watchers, consents, line.pipeline, outbox, clock)
        link = HubLink(
            _brokers(settings),
            outbox,
            boots,
            version("kanmon"),
            hub,
            settings.hub.link,
        )
        lifeline = Lifeline.of(os.environ)
        _leave_what_stays_to_itself()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(line.committer.run(), name="commit")
                group.create_task(line.actuators.run(), name="actuators")
                group.create_task(timekeeper.run(), name="clock")
                group.create_task(_tick(line, clock), name="tick")
                group.create_task(_attest(outbox), name="witness")
                group.create_task(link.run(_random()), name="hub")
                group.create_task(control.serve(state / SOCKET_NAME), name="control")
                for task in tasks:
                    group.create_task(task.run(_random()), name=f"device-{task.health.device}")
                # Not asked whether the disk gets on: alarms ring without it, and a restart would silence them.
                group.create_task(lifeline.keep(lambda: True), name="lifeline")
                lifeline.ready(f"{len(tasks)} devices")
        finally:
            lifeline.stopping()
            await _flush(line.committer, outbox)
            await timekeeper.end()


def _leave_what_stays_to_itself() -> None:
    """Let the garbage collector pass over what was made so far, nearly all of it modules.

    Walking it takes 25 to 35 ms every few seconds, for which polls and acknowledgements would wait.
    """
    gc.collect()
    gc.freeze()


async def _line(
    settings: Settings, timekeeper: Timekeeper, boots: BootBook, consents: ConsentBook, outbox: Outbox, keys: KeyFolder
) -> _Line:
    """The straight line of a sample, where the run before left it."""
    clock = timekeeper.clock
    resumed = await outbox.open(clock.now(), boots.settle)
    await _finish_withdrawals(consents, outbox)
    pseudonyms = PseudonymBook(keys, settings.persons)
    committer = Committer(outbox, settings.outbox.linger_s, clock.now, clock.base)
    personal = PersonalRelease(consents, pseudonyms, committer)
    kept = {
        (person, purpose): state
        for (person, purpose), state in resumed.states.items()
        if person in settings.persons and purpose in consents.on(person)
    }
    alarms = Alarms(_rules(settings))
    alarms.resume(resumed.alarms, boots.settle)
    alarms.forget(d.id for d in settings.devices if d.person and not consents.runs_health_rules(d.person))
    last = {**resumed.things, **personal.resume(kept, boots.settle)}
    await timekeeper.begin([*last.values(), *(consent.at for consent in consents.latest().values())])
    await pseudonyms.prepare(clock.stamp())
    actuators = Actuators(Led(a.id, a.path, frozenset(a.rules)) for a in settings.actuators)
    watchers = Watchers()
    pipeline = Pipeline(
        [Source(device.id, device.person, device.service_hours) for device in settings.devices],
        consents,
        personal,
        committer,
        _continuity(settings, last, clock),
        alarms,
        actuators,
        watchers.tell,
        restamped=clock.restamped,
    )
    committer.before_write(pipeline.snapshot)
    committer.on_loss(pipeline.lost)
    return _Line(pseudonyms, committer, personal, alarms, actuators, watchers, pipeline)


def _continuity(settings: Settings, last: Mapping[DeviceId, datetime], clock: Clock) -> Continuity:
    known = {device.id for device in settings.devices}
    return Continuity({device: at for device, at in last.items() if device in known}, clock.now())


def _begin(settings: Settings, line: _Line, clock: Clock) -> None:
    """What comes before the first sample: lamps of alarms that are still on, places of fixed devices."""
    for record in line.alarms.active():
        line.actuators.act(record.alert)
    for device in settings.devices:
        if device.place is not None and device.person is None:
            place = Position(device.place.lat_deg, device.place.lon_deg, flag=Flag.GOOD)
            line.pipeline.place(device.id, clock.stamp(), place)


async def _finish_withdrawals(consents: ConsentBook, outbox: Outbox) -> None:
    """A crash may have come between a withdrawal and the forgetting of what waited."""
    for person, purpose in outbox.channels():
        if purpose not in consents.on(person):
            await outbox.forget(person, purpose)


async def _attest(outbox: Outbox) -> None:
    wait_s = FIRST_WITNESS_S
    while True:
        await asyncio.sleep(wait_s)
        wait_s = WITNESS_S
        with suppress(StoreFull, Unreachable, Tampered):  # the outbox's writer tells of it
            await outbox.attest()


async def _flush(committer: Committer, outbox: Outbox) -> None:
    try:
        async with asyncio.timeout(STOP_LIMIT_S):
            await committer.flush()
            with suppress(StoreFull, Unreachable, Tampered):
                await outbox.attest()
    except TimeoutError:
        log.exception("outbox: stopped while the disk takes nothing; what waited in memory will be declared as a gap")


def _random() -> Random:
    return Random(secrets.randbits(64))  # noqa: S311 - spreads retries, guards nothing


async def _tick(line: _Line, clock: Clock) -> None:
    while True:
        await asyncio.sleep(TICK_S)
        with suppress(StoreFull):  # the outbox's writer tells of it; the pseudonyms change once there is room
            await line.pseudonyms.prepare(clock.stamp())
        line.pipeline.tick(clock.now())


def _rules(settings: Settings) -> Mapping[DeviceId, Mapping[str, Rule]]:
    """Each configured rule over each device it is about, named "<kind>:<device>:<n-th of them>"."""
    rules: dict[DeviceId, dict[str, Rule]] = {}
    for rule in settings.rules:
        for device in settings.devices:
            if _is_about(rule.config, device):
                built = RULES[rule.kind].build(rule.config, lambda: AlertId(secrets.token_hex(16)))
                named = rules.setdefault(device.id, {})
                number = sum(name.startswith(f"{rule.kind}:") for name in named)
                named[f"{rule.kind}:{device.id}:{number}"] = built
    return rules


def _is_about(config: object, device: DeviceSettings) -> bool:
    """A rule names its device, or a person, or (naming neither) is about every worn device."""
    named = getattr(config, "device", None)
    if named is not None:
        return bool(named == device.id)
    return device.person is not None and getattr(config, "person", None) in (None, device.person)


def _task(device: DeviceSettings, pipeline: Pipeline, clock: Clock) -> DeviceTask:
    module = registry.load(device.kind)
    health = DeviceHealth(device.id, device.kind, LinkState.CONNECTING, clock.now())
    return DeviceTask(
        health, lambda context: module.open(device.config, context), pipeline, clock.stamp, DEVICE_BACKOFF
    )


def _brokers(settings: Settings) -> tuple[Broker, ...]:
    password = settings.hub.password_file.read_text().strip()
    return tuple(Broker(url, settings.gateway.id, password) for url in settings.hub.urls)


def _control(
    status: Status, watchers: Watchers, consents: ConsentBook, pipeline: Pipeline, outbox: Outbox, clock: Clock
) -> Control:
    async def consent_set(request: dict[str, Any]) -> Mapping[str, object]:
        wish = ConsentSet.model_validate(request)
        change = Change(PersonId(wish.person), wish.purpose, wish.on, wish.made_on, clock.now(), wish.actor)
        made = await pipeline.change_consent(change, outbox)
        return {"on": made.on, "version": made.version, "at": made.at.isoformat()}

    async def consent_list(_: dict[str, Any]) -> Mapping[str, object]:
        return {
            "consents": [
                {"person": c.person, "purpose": c.purpose, "on": c.on, "version": c.version, "at": c.at.isoformat()}
                for c in consents.latest().values()
            ]
        }

    calls = {"status": status.answer, "consent.set": consent_set, "consent.list": consent_list}
    return Control(calls, {"watch": watchers.stream})
