"""`make bench`: every figure of one run, and the machine it was measured on."""

import os
import platform
import sqlite3
import sys

from benchmarks import agent_weight, outbox, whole_path


def main() -> None:
    """Measure and print, one figure a line as it comes."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    print(f"{machine}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}")
    for part in (agent_weight, outbox, whole_path):
        for name, figures in part.measure().items():
            print(f"{name}: {figures}")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
