"""The file of an embedded database: finding or creating it, claiming it for one service, and noticing when it
is replaced (docs/decisions/0023)."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
import struct
import sys
import time
from collections.abc import Sequence

import apsw

from rollbook import paths
from rollbook.db import migrations
from rollbook.db.checks import Check, size
from rollbook.errors import DatabaseInUse, NoDatabase, StrangeDatabase, Unavailable

LOOK_SECONDS = 1.0
"""How old a check of the file may be when a read is answered. Writes check at each commit."""

APPLICATION_ID = 0x726F6C6C
"""`roll`, in the header of the file: https://www.sqlite.org/fileformat2.html, section 1.3.16."""

LOCK, SPOOL = ".lock", ".spool"
_LOG, _SHARED = "-wal", "-shm"
_OF_THE_LOG = (_LOG, _SHARED)
_BESIDE = (_LOG, _SHARED, LOCK, SPOOL)
"""Files beside an existing or former database. Not -journal, which a new database has for a moment."""

_LOCKED_BYTE = 1 << 62
"""The byte of the file that its service locks; SQLite's own locks are near 1 GiB."""

_FLOCK = "hhqqi4x"
"""`struct flock` of fcntl(2)."""

_log = logging.getLogger("rollbook")

Identity = tuple[int, int]

FREE_BYTES_MIN = 256 << 20
"""Less free space on the disk of the file is a fault."""


class DatabaseFile:
    """The file at `path`. Links are followed once, when it is opened.

    Args:
        path: the path that the user gave.
    """

    def __init__(self, path: str) -> None:
        self.shown = path
        self.path = os.path.abspath(path)
        self._real = os.path.realpath(path)
        self._identities: dict[str, Identity] = {}
        self._looked_at = 0.0
        self._missing = ""
        self._locks: list[int] = []

    def find(self, *, create: bool) -> None:
        """Make sure that there is a file to open.

        Args:
            create: create an empty file, readable for its owner only, if there is no trace of a database.

        Raises:
            NoDatabase: the file does not exist, or cannot be created.
            DatabaseInUse: a service uses the file under another name.
            Unavailable: the path is not a file, or may not be read.
        """
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            found = None
        except OSError as error:
            raise Unavailable(f"The database {self.shown} cannot be opened: {_reason(error)}.") from error
        if found is not None and not stat.S_ISREG(found.st_mode):
            what = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
            raise Unavailable(f"The database {self.shown} cannot be opened: it is {what}.")
        if found is not None and not os.access(self.path, os.R_OK):
            raise Unavailable(f"The database {self.shown} cannot be opened: {os.strerror(errno.EACCES)}.")
        if found is not None and found.st_nlink > 1:
            self._refuse_other_name()
        if found is None:
            self._require_new(_left(self.path, self._real), empty=False, create=create)
            self._make()
        elif not found.st_size:
            left = _left(self.path, self._real)
            if not os.stat(self.path).st_size:  # another process may have set up the database meanwhile
                self._require_new(left, empty=True, create=create)
        self._identities[self.path] = _identity(os.stat(self.path))

    def _require_new(self, left: Sequence[str], *, empty: bool, create: bool) -> None:
        """Raise an error unless a new database may be created here."""
        folder = os.path.dirname(self._real)
        if left:
            raise NoDatabase(self.shown, empty=empty, left=left)
        if not os.path.isdir(folder):
            raise NoDatabase(self.shown, folder=folder)
        if not create:
            raise NoDatabase(self.shown, empty=empty)

    def _make(self) -> None:
        """Create an empty file. SQLite gives the files beside it the same mode."""
        try:
            # The file will hold the secret that signs tokens, and people's phones.
            os.close(os.open(self._real, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise Unavailable(f"The database {self.shown} cannot be made: {_reason(error)}.") from error

    def recognize(self, connection: apsw.Connection) -> None:
        """Make sure that the open file is a database of rollbook, or empty.

        Raises:
            StrangeDatabase: it belongs to another program.
            apsw.Error: it cannot be read.
        """
        [(mark,)] = connection.execute("PRAGMA application_id").fetchall()
        if mark == APPLICATION_ID:
            return
        [(tables, migrated)] = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE type = 'table' AND name = 'schema_migration') "
            "FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        ).fetchall()
        if not mark and not tables:
            return
        try:
            first = connection.execute(migrations.FIRST).fetchall() if migrated and not mark else []
        except apsw.SQLError:  # a table of that name with other columns
            first = []
        if first != [(migrations.all_steps()[0].name,)]:
            raise StrangeDatabase(self.shown)

    def checks(self) -> list[Check]:
        """The results that `rollbook doctor` shows for the file and its disk."""
        found = os.stat(self._real)
        log = self._real + _LOG
        log_bytes = os.path.getsize(log) if os.path.exists(log) else 0
        others = stat.S_IMODE(found.st_mode) & 0o077
        disk = os.statvfs(os.path.dirname(self._real))
        free = disk.f_bavail * disk.f_frsize
        is_full = free < FREE_BYTES_MIN
        return [
            Check("database size", "ok", f"{size(found.st_size)} and {size(log_bytes)} of log"),
            Check(
                "permissions",
                "warning" if others else "ok",
                oct(stat.S_IMODE(found.st_mode))[2:],
                f"others on this machine may read it: chmod 600 {self.shown}" if others else "",
            ),
            Check(
                "disk of the database",
                "fault" if is_full else "ok",
                f"{size(free)} free",
                f"leave {size(FREE_BYTES_MIN)}: writes are refused when it is full" if is_full else "",
            ),
        ]

    def claim(self) -> None:
        """Claim the file for this process as its only service, until `release` or until the process ends.

        The lock file beside it stops a second service that uses the same name. The lock on the file itself
        stops a service that uses another name, or the place to which the file was moved. That lock belongs to
        the open file (F_OFD_SETLK, fcntl(2)), so it remains when SQLite closes its own files; a POSIX lock
        would be dropped.

        Raises:
            DatabaseInUse: another process holds the file.
        """
        try:
            beside = os.open(f"{self._real}{LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._locks.append(beside)
            itself = os.open(self._real, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise Unavailable(f"The database {self.shown} cannot be held: {_reason(error)}.") from error
        self._locks.append(itself)
        if not paths.try_lock(beside):
            raise DatabaseInUse(self.shown)
        try:
            if sys.platform == "linux":
                fcntl.fcntl(itself, fcntl.F_OFD_SETLK, _lock_of_service())
        except OSError:
            raise DatabaseInUse(self.shown) from None
        self.look()

    def release(self) -> None:
        """Release the file. Call it only after SQLite has closed everything: closing any descriptor of the
        file drops the locks that SQLite has on it in this process."""
        while self._locks:
            os.close(self._locks.pop())

    def remember_log(self) -> None:
        """Remember the files of the log. A connection stays open from now on, so they must
        remain the same."""
        for suffix in _OF_THE_LOG:
            path = f"{self._real}{suffix}"
            if path not in self._identities:
                try:
                    self._identities[path] = _identity(os.stat(path))
                except FileNotFoundError:
                    continue

    def look(self, *, stored: bool = False) -> None:
        """Make sure that the file and its log at these paths are still the open ones.

        Args:
            stored: whether a change was just written to the open files.

        Raises:
            Unavailable: one of them was deleted or replaced.
        """
        self._looked_at = time.monotonic()
        missing = ""
        for path, identity in self._identities.items():
            try:
                if _identity(os.stat(path)) != identity:
                    missing = f"{path} was replaced by another file"
            except OSError as error:
                missing = f"{path} is gone ({_reason(error)})"
            if missing:
                break
        if missing != self._missing:
            if missing:
                _log.error(
                    "%s while it is in use. Nothing is stored or answered from it until the same file is "
                    "back, or this process is started again.",
                    missing,
                )
            else:
                _log.warning("%s is there again.", self.path)
            self._missing = missing
        if missing:
            what = "the change may or may not be stored" if stored else "nothing was stored"
            raise Unavailable(
                f"The database file was removed or replaced while it is in use: {what}. The same file must "
                "come back, or rollbook be started again.",
                retry_after_seconds=30,
            )

    def look_now_and_then(self) -> None:
        """Call `look` once in `LOOK_SECONDS`; in between, repeat its last result."""
        if self._missing or time.monotonic() - self._looked_at > LOOK_SECONDS:
            self.look()

    def _refuse_other_name(self) -> None:
        """Refuse a file that a service uses under another name. SQLite finds the log by the name of the file:
        a process that uses another name misses the changes in the log, and corrupts the file when it
        writes."""
        if sys.platform != "linux":
            return
        itself = os.open(self._real, os.O_RDONLY | os.O_CLOEXEC)
        try:
            holder = struct.unpack(_FLOCK, fcntl.fcntl(itself, fcntl.F_OFD_GETLK, _lock_of_service()))
            if holder[0] != fcntl.F_UNLCK and not paths.is_locked(f"{self._real}{LOCK}"):
                raise DatabaseInUse(self.shown, other_name=True)
        finally:
            os.close(itself)


def _lock_of_service() -> bytes:
    return struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, _LOCKED_BYTE, 1, 0)


def _left(*paths: str) -> Sequence[str]:
    """The files that exist beside a file with these names."""
    beside = {path + suffix for path in paths for suffix in _BESIDE}
    return sorted(path for path in beside if os.path.lexists(path))


def _identity(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
