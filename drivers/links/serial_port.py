"""A serial port, or a pty, as a stream of bytes. The one module that knows pyserial."""

import asyncio
import errno
import termios
from types import TracebackType
from typing import Self

import serial  # type: ignore[import-untyped]  # pyserial comes without types
import serial_asyncio_fast

from contract.errors import Unreachable

CHUNK_BYTES = 4096
CLOSE_LIMIT_S = 2.0
"""Closing a port whose adapter was pulled out can hang in the kernel; the reader does not wait longer."""

_REASONS = {
    errno.ENOENT: "is not there",
    errno.ENXIO: "is not there",
    errno.ENODEV: "is not there",
    errno.EACCES: "may not be opened: add the gateway's user to the group that owns it (dialout)",
    errno.EPERM: "may not be opened: add the gateway's user to the group that owns it (dialout)",
    errno.EBUSY: "is held by another program",
    errno.EAGAIN: "is held by another program",
    errno.EIO: "does not answer",
}


class SerialPort:
    """Reads one port, 8N1, held alone; entering opens it and drops what had gathered before.

    Every failure is Unreachable with the port named: absent, forbidden, held by someone else, pulled out.
    """

    def __init__(self, port: str, baud: int) -> None:
        self._port = port
        self._baud = baud
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        # pyserial opens with O_NONBLOCK and drops stale input by itself, so nothing here waits for the device.
        opened = self._open()
        self._reader = asyncio.StreamReader(limit=CHUNK_BYTES)
        protocol = asyncio.StreamReaderProtocol(self._reader)
        transport = serial_asyncio_fast.SerialTransport(loop, protocol, opened)
        self._writer = asyncio.StreamWriter(transport, protocol, self._reader, loop)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        writer, self._writer, self._reader = self._writer, None, None
        if writer is None:
            return
        writer.close()
        try:
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await writer.wait_closed()
        except (OSError, TimeoutError):
            return  # the device is already gone, which is why it is being closed

    async def receive(self, limit_s: float) -> bytes:
        """The next bytes, never none. TimeoutError after `limit_s` of silence, Unreachable when the port is gone."""
        if self._reader is None:
            raise Unreachable(f"{self._port} is not open")
        try:
            async with asyncio.timeout(limit_s):
                received = await self._reader.read(CHUNK_BYTES)
        except serial.SerialException as error:
            raise Unreachable(f"{self._port} was pulled out") from error
        if not received:
            raise Unreachable(f"{self._port} was closed")
        return received

    def _open(self) -> serial.Serial:
        try:
            return serial.Serial(self._port, baudrate=self._baud, timeout=0, exclusive=True)
        except (OSError, ValueError, termios.error) as error:
            code = error.errno if isinstance(error, OSError) else None
            reason = _REASONS.get(code, "cannot be opened as a serial port") if code else "is no serial port"
            raise Unreachable(f"{self._port} {reason}") from error
