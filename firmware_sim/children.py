"""Child processes that are started again when they die, as systemd would, and that never outlive their parent."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from contract.errors import KanmonError

RESTART_AFTER_S = 1.0
QUICK_S = 5.0
"""A child that ends by itself within this time of its start has failed to start."""
QUICK_LIMIT = 3
STOP_LIMIT_S = 8.0
"""How long a child may take to end after SIGTERM before it is killed."""
KILL_LIMIT_S = 5.0
_TAIL_LINES = 12
_TAIL_BYTES = 8192


class ChildFailed(KanmonError):
    """A child ended three times in a row just after its start; the text ends with the last lines of its log."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. `environment` is laid over the parent's own."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


class Child:
    """One child process and its successors. Its output goes to `log`."""

    def __init__(self, command: Command, log: Path, on_restart: Callable[[str], None]) -> None:
        self.name = command.name
        self.restarts = 0
        self._command = command
        self._log = log
        self._on_restart = on_restart
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._released = asyncio.Event()
        self._released.set()

    @property
    def pid(self) -> int | None:
        """Process id while the child lives."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    def is_alive(self) -> bool:
        """True while there is a process."""
        return self.pid is not None

    @property
    def exit_code(self) -> int | None:
        """How the latest process ended (negative: by that signal); None while it lives or before the first."""
        return None if self._process is None else self._process.returncode

    async def keep(self) -> None:
        """Run the child, and again whenever it ends, until `stop`. Raises ChildFailed when it cannot start."""
        loop = asyncio.get_running_loop()
        quick = 0
        while not self._stopping.is_set():
            started = loop.time()
            self._process = await self._spawn()
            if self._stopping.is_set():
                self.send(signal.SIGKILL)  # stopped while it was being started: it has done nothing yet
            code = await self._process.wait()
            # SIGKILL comes from outside (a test, the kernel short of memory): it says nothing about the child.
            if code != -signal.SIGKILL:
                quick = quick + 1 if loop.time() - started < QUICK_S else 0
            if self._stopping.is_set():
                return
            if quick >= QUICK_LIMIT:
                raise ChildFailed(f"{self.name} ended {quick} times (exit {code}). Its last lines:\n{self.tail()}")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), RESTART_AFTER_S)
                return
            await self._released.wait()
            if self._stopping.is_set():
                return
            self.restarts += 1
            self._on_restart(self.name)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the child lives."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    @asynccontextmanager
    async def killed(self) -> AsyncIterator[None]:
        """SIGKILL; the child is dead inside, and started again afterwards as after any death."""
        self._released.clear()
        try:
            self.send(signal.SIGKILL)
            if self._process is not None:
                await self._process.wait()
            yield
        finally:
            self._released.set()

    def let_end(self) -> None:
        """From now on the child is not started again."""
        self._stopping.set()

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after STOP_LIMIT_S. The child is not started again."""
        self.let_end()
        self._released.set()
        for number, limit_s in ((signal.SIGTERM, STOP_LIMIT_S), (signal.SIGKILL, KILL_LIMIT_S)):
            self.send(number)
            if self._process is not None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._process.wait(), limit_s)
                    return

    def tail(self) -> str:
        """The last lines of the log."""
        with self._log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])

    async def _spawn(self) -> asyncio.subprocess.Process:
        leash = (sys.executable, "-P", "-m", "firmware_sim.leash", str(os.getpid()))
        with self._log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *leash,
                *self._command.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._command.environment},
                # A process group of its own: Ctrl-C in a terminal reaches the parent alone, which stops all in order.
                process_group=0,
            )


class Children:
    """All children of one run. Leaving stops what still runs, in the order the children were added in."""

    def __init__(self, logs: Path, on_restart: Callable[[str], None]) -> None:
        self._logs = logs
        self._on_restart = on_restart
        self._all: dict[str, Child] = {}

    def __getitem__(self, name: str) -> Child:
        """The child of that name."""
        return self._all[name]

    @property
    def restarts(self) -> int:
        """How often any child was started again."""
        return sum(child.restarts for child in self._all.values())

    def start(self, command: Command, keepers: asyncio.TaskGroup) -> Child:
        """Start a child; `keepers` owns the task that watches it, and is cancelled when it cannot start."""
        child = Child(command, self._logs / f"{command.name}.log", self._on_restart)
        self._all[child.name] = child
        keepers.create_task(child.keep(), name=f"keep {child.name}")
        return child

    async def stop(self, *names: str) -> None:
        """Stop the named children one after the other."""
        for name in names:
            if name in self._all:
                await self._all[name].stop()

    async def __aenter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop(*self._all)
