"""One SQLite file in its place: opened, set aside when it is damaged, made anew from what can be kept.

A new file is made complete beside the place before anything in the place moves, so that a cut at any moment leaves
either the old one or the new one to be opened. Everything here is readable by the owner only.
"""

import logging
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from agent.salvage import Salvaged, salvage
from agent.sqlite import Connection, OperationalError, connect

PAGE_BYTES = 1024
"""Small commits write few bytes: a quarter of what pages of 4096 cost at 10 rows a commit."""
CHECKPOINT_PAGES = 4096
LOG_BYTES = 8 * 2**20
"""The -wal file is cut back to this after a commit that was larger."""
KEPT_ASIDE = 3
SALVAGED_ID = 0x6B6D7376
"""SQLite's application_id of a file that was salvaged, until `accept` says that its owner has looked it through."""
_PARTS = ("", "-wal", "-shm")

log = logging.getLogger(__name__)


class Cause(StrEnum):
    """How the open file came about."""

    KEPT = "kept"
    CREATED = "created"
    DAMAGED = "damaged"
    MOVED = "moved"
    """It was deleted or replaced while it was open; nothing is lost."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The cause, what a damaged file still gave, and where the file that stood in the place lies now."""

    cause: Cause
    salvaged: Salvaged | None = None
    aside: Path | None = None

    @property
    def may_lack(self) -> bool:
        """True when something that was written may be missing."""
        return self.cause is Cause.DAMAGED and (self.salvaged is None or not self.salvaged.is_whole)


def accept(connection: Connection) -> None:
    """Say, in the transaction in which it was looked through, that a salvaged file is sound."""
    connection.execute("PRAGMA application_id = 0")


class StoreFile:
    """The file at `path` with SQLite's files beside it. Only one thread calls this."""

    def __init__(self, path: Path, migrations: Sequence[str]) -> None:
        self.path = path
        self.origin = Origin(Cause.KEPT)
        self._log_path = self._part("-wal")
        self._migrations = migrations
        self._inode = self._log_inode = (0, 0)

    def open(self) -> Connection:
        """The file, created when there is none; DatabaseError when it is none of SQLite's."""
        self._beside("new").unlink(missing_ok=True)
        if self._beside("ready").exists():  # a cut came while it was to be put into the place
            self._put_in_place()
        if not self.path.exists() or not self.path.stat().st_size:
            self.origin = Origin(Cause.CREATED)
        self.path.touch(mode=0o600, exist_ok=True)
        connection = self._prepared(self.path)
        if connection.execute("PRAGMA application_id").fetchone()[0] == SALVAGED_ID:
            self.origin = Origin(Cause.DAMAGED)
        self._inode, self._log_inode = self._inode_of(self.path), (0, 0)
        return connection

    def is_in_place(self) -> bool:
        """False when what is open is no longer what lies at the path: deleted, or replaced."""
        found = self._inode_of(self._log_path)
        if self._log_inode == (0, 0):
            self._log_inode = found
        return self._inode_of(self.path) == self._inode and found == self._log_inode

    def salvaged(self) -> Connection:
        """Open a new file that holds what reads of the damaged one, which is set aside. Nothing may have it open."""
        log.error("%s is damaged; what reads of it is copied into a new file", self.path.name)
        found: Salvaged | None = None
        try:
            with closing(self._making()) as fresh:
                fresh.execute(f"PRAGMA application_id = {SALVAGED_ID}")
                found = salvage(self.path, fresh)
            self._finish()
        except OperationalError as error:  # no room for a second file
            log.error("%s: nothing could be copied (%s)", self.path.name, error)
            found = None
            with closing(self._making()) as fresh:
                fresh.execute(f"PRAGMA application_id = {SALVAGED_ID}")
            self._finish()
        aside = self._put_in_place()
        log.error("%s was set aside as %s", self.path.name, aside.name if aside else "nothing")
        connection = self.open()
        self.origin = Origin(Cause.DAMAGED, found, aside)
        return connection

    def keep(self, moved: Connection) -> None:
        """Make all that `moved` holds ready for the place. When this fails nothing has changed."""
        if self._inode_of(self.path) == self._inode:
            # Only its log is gone: the connection still has it, and copies it into the file that is in its place.
            moved.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return
        self._beside("new").unlink(missing_ok=True)
        self._beside("new").touch(mode=0o600)
        with closing(connect(self._beside("new"))) as fresh:
            moved.backup(fresh)
            fresh.execute("PRAGMA journal_mode = DELETE")
        self._finish()

    def kept(self) -> Connection:
        """Open what `keep` made ready. The connection must be closed by now: SQLite removes its log by the name."""
        aside = self._put_in_place() if self._beside("ready").exists() else None
        # An older copy of it needs no merging: what the open file no longer held was receipted, given up or withdrawn.
        stood = f"; what stood in its place is {aside.name} now" if aside else ""
        log.error("%s was deleted or replaced in use; all that it held is kept%s", self.path.name, stood)
        connection = self.open()
        self.origin = Origin(Cause.MOVED, None, aside)
        return connection

    def _making(self) -> Connection:
        new = self._beside("new")
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        connection = connect(new)
        try:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("PRAGMA synchronous = OFF")  # it is made durable as a whole
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _finish(self) -> None:
        """The new file is complete: from here on it will be the one."""
        with self._beside("new").open("rb+") as file:
            os.fsync(file.fileno())
        self._beside("new").rename(self._beside("ready"))
        self._sync_folder()

    def _put_in_place(self) -> Path | None:
        """What stands in the place is set aside, if anything does; the finished file takes the place."""
        aside = self._set_aside()
        self._beside("ready").rename(self.path)
        self._sync_folder()
        return aside

    def _set_aside(self) -> Path | None:
        taken = sorted(self._numbers())
        number = taken[-1] + 1 if taken else 1
        aside = self.path.with_name(f"{self.path.name}.damaged-{number}")
        for suffix in _PARTS:
            if self._part(suffix).exists():
                self._part(suffix).chmod(0o600)
                self._part(suffix).rename(aside.with_name(aside.name + suffix))
        for old in taken[: -(KEPT_ASIDE - 1)]:
            for suffix in _PARTS:
                self.path.with_name(f"{self.path.name}.damaged-{old}{suffix}").unlink(missing_ok=True)
        return aside if aside.exists() else None

    def _numbers(self) -> set[int]:
        start = f"{self.path.name}.damaged-"
        ends = {path.name.removeprefix(start) for path in self.path.parent.glob(f"{start}*")}
        return {int(end) for end in ends if end.isdigit()}

    def _beside(self, what: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{what}")

    def _part(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    def _inode_of(self, path: Path) -> tuple[int, int]:
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return 0, 0
        return found.st_dev, found.st_ino

    def _prepared(self, path: Path) -> Connection:
        connection = connect(path)
        try:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            # One process has the file (the state folder's lock): no memory is shared, in which a full disk would end
            # the process by SIGBUS, and no locks are taken and given back at each commit.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
            # What is deleted is overwritten: a forgotten record does not rest in a free page.
            connection.execute("PRAGMA secure_delete = ON")
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _migrate(self, connection: Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        for number, script in enumerate(self._migrations[version:], start=version + 1):
            connection.executescript(f"BEGIN; {script}; PRAGMA user_version = {number}; COMMIT;")

    def _sync_folder(self) -> None:
        descriptor = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
