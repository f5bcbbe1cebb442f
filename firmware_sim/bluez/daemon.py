"""A private dbus-daemon instead of the bus of our own: the same wire as in the field, where it is installed."""

import asyncio
import shutil
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from types import TracebackType
from typing import Self
from xml.sax.saxutils import escape

from contract.errors import Unreachable
from firmware_sim.bluez.claim import claim

BINARY = "dbus-daemon"
START_LIMIT_S = 5.0
STOP_LIMIT_S = 5.0


def configuration(socket_path: Path) -> str:
    """A bus of its own type on one socket, where everybody of our own user may do everything."""
    return f"""<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>custom</type>
  <listen>unix:path={escape(str(socket_path))}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


class PrivateDaemon:
    """`async with PrivateDaemon(path)`: a dbus-daemon on the unix socket `path`, its configuration beside it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._process: Process | None = None

    async def __aenter__(self) -> Self:
        """Start it. Unreachable when it is not installed or does not come up; else as `claim`."""
        binary = shutil.which(BINARY)
        if binary is None:
            raise Unreachable(f"{BINARY} is not installed (Debian package dbus-daemon)")
        claim(self._path)
        file = self._path.with_suffix(".conf")
        file.write_text(configuration(self._path), encoding="utf-8")
        arguments = (f"--config-file={file}", "--nofork", "--nopidfile", "--print-address=1")
        self._process = await asyncio.create_subprocess_exec(binary, *arguments, stdout=PIPE)
        try:
            async with asyncio.timeout(START_LIMIT_S):
                line = await self._process.stdout.readline() if self._process.stdout else b""
        except TimeoutError:
            line = b""
        if not line:
            await self._stop()
            raise Unreachable(f"{BINARY} did not start on {self._path}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it and remove its files."""
        await self._stop()
        self._path.unlink(missing_ok=True)
        self._path.with_suffix(".conf").unlink(missing_ok=True)

    async def _stop(self) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_LIMIT_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
