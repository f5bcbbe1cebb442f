"""`python -m firmware_sim.leash PARENT COMMAND...`: becomes COMMAND, which the kernel kills when PARENT dies.

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
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    # A parent that died before the line above is no longer ours to be told of.
    if os.getppid() == parent:
        os.execvp(command[0], command)  # noqa: S606  the command is the demo's own, and no shell sees it


if __name__ == "__main__":
    main(sys.argv[1:])
