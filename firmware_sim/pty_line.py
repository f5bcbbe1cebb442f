"""A serial line whose other end we are: a pseudo-terminal with a stable name. Linux; nothing here ever blocks."""

import os
import select
import termios
import tty
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

_READ_BYTES = 4096


class PtyLine:
    """`with PtyLine(link) as line`: a reader opens `link` as it would a serial port, again and again.

    Bytes are handed over only while a reader has the port open, as on a UART, which keeps nothing for later.
    """

    def __init__(self, link: Path) -> None:
        self.link = link
        self._master = -1
        self._port = ""
        self._rest = b""
        self._handed: Callable[[], None] = _nothing
        self._had_reader = False

    def __enter__(self) -> Self:
        self._master, slave = os.openpty()
        try:
            tty.setraw(slave)
            self._port = os.ttyname(slave)
        finally:
            # Closing our own end is what makes the system tell whether a reader has it open.
            os.close(slave)
        os.set_blocking(self._master, False)
        self._point_link()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.link.is_symlink() and os.readlink(self.link) == self._port:
            self.link.unlink()
        os.close(self._master)
        self._master = -1

    @property
    def has_reader(self) -> bool:
        """True while somebody has the port open."""
        watch = select.poll()
        watch.register(self._master, 0)
        has_reader = not any(event & select.POLLHUP for _, event in watch.poll(0))
        if self._had_reader and not has_reader:
            self._forget_unread()
        self._had_reader = has_reader
        return has_reader

    def offer(self, data: bytes, handed: Callable[[], None]) -> bool:
        """Send `data` whole, or not at all: False without a reader, or when it has left no room for long.

        `handed` is called once the last byte is on its way to the open reader: at once, or, where the buffer took only
        a part, at a later `push` or `offer`; never when the reader goes away before.
        """
        if not self.push():
            return False
        if not self.has_reader:
            return False
        self._rest, self._handed = data, handed
        self.push()
        return len(self._rest) < len(data)

    def push(self) -> bool:
        """Send what an earlier offer left; True when nothing is left."""
        self._drain_input()
        if not self._rest or not self.has_reader:
            return True
        whole = self._rest
        try:
            self._rest = whole[os.write(self._master, whole) :]
        except BlockingIOError:
            return False
        if not self._rest:
            self._handed()
        return not self._rest

    def _drain_input(self) -> None:
        """Throw away what a reader wrote to us, so that its writes never block."""
        try:
            while os.read(self._master, _READ_BYTES):
                pass
        except OSError:
            # EAGAIN: nothing there. EIO: nobody has the port open.
            return

    def _forget_unread(self) -> None:
        """A reader that left did not read these bytes; the next one must not find them."""
        self._rest = b""
        termios.tcflush(self._master, termios.TCOFLUSH)
        slave = os.open(self._port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            termios.tcflush(slave, termios.TCIFLUSH)
        finally:
            os.close(slave)

    def _point_link(self) -> None:
        """Create the link or move one that a killed process left behind, in one step."""
        fresh = self.link.with_name(f".{self.link.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(self._port)
        fresh.replace(self.link)


def _nothing() -> None:
    """What follows when nothing was on its way."""
