"""`python leash.py PARENT COMMAND...`: becomes COMMAND, which the kernel ends when PARENT dies.

Run by path: imports nothing of ours.
A step of its own, because code between fork and exec (preexec_fn) is not safe in a process that has threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: list[str]) -> None:
    """Tie this process to its parent, whose process id comes first, then replace it with the command."""
    parent, command = int(arguments[0]), arguments[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    # SIGTERM, so that the server can close its files.
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    # A parent that died before the line above is no longer ours to be told of.
    if os.getppid() == parent:
        os.execv(command[0], command)  # noqa: S606  # the hub's own command, no shell sees it


if __name__ == "__main__":
    main(sys.argv[1:])
