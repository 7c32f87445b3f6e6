"""The spool: a folder with the files of imports, one folder for each. Light, so that the API can put files
there."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rollbook.errors import BadFile

STAGE_FILES = ("*.int64", "*.arrow")
_UPLOAD, _PATH, _REJECTS, _LOCK = "upload", "path", "rejects.csv", "lock"


class Spool:
    """The files of imports.

    Args:
        path: of the folder; made when the first file comes.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def folder(self, account_id: int, import_id: int) -> Path:
        """Where the files of one import are."""
        return self.path / f"{account_id}-{import_id}"

    def has(self, account_id: int, import_id: int) -> bool:
        """Whether the import's files are in this spool, and not on another machine or gone."""
        return (self.folder(account_id, import_id) / "ready").exists()

    def free_bytes(self) -> int:
        """The room on its disk."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def incoming(self) -> tuple[Path, BinaryIO]:
        """A new file for a body that arrives: its path, and the file to write to."""
        folder = self.path / "incoming"
        _make(folder)
        path = folder / os.urandom(12).hex()
        return path, path.open("xb")

    def put(self, account_id: int, import_id: int, path: Path) -> None:
        """Make a file that arrived the one of an import, too; whoever made it removes its own name for it.

        It must be on the disk already: the answer to the caller says that it is kept.
        """
        folder = self._new(account_id, import_id)
        os.link(path, folder / _UPLOAD)
        self._ready(folder)

    def point(self, account_id: int, import_id: int, path: Path) -> None:
        """Make a file that stays where it is the one of an import."""
        folder = self._new(account_id, import_id)
        (folder / _PATH).write_bytes(os.fsencode(path.absolute()))
        self._ready(folder)

    def source(self, account_id: int, import_id: int) -> Path:
        """The file of an import.

        Raises:
            BadFile: it is not there.
        """
        folder = self.folder(account_id, import_id)
        if (folder / _UPLOAD).exists():
            return folder / _UPLOAD
        try:
            return Path(os.fsdecode((folder / _PATH).read_bytes()))
        except OSError:
            raise BadFile("The file of this import is not in the spool any more.") from None

    def rejects(self, account_id: int, import_id: int) -> Path | None:
        """The CSV of the rows that were left out, if there is one."""
        path = self.folder(account_id, import_id) / _REJECTS
        return path if path.exists() else None

    @contextmanager
    def held(self, account_id: int, import_id: int) -> Iterator[bool]:
        """Whether nobody else works on the import, which then holds until the end of the block, or until the
        process ends, however it ends."""
        try:
            lock = os.open(
                self.folder(account_id, import_id) / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except FileNotFoundError:  # its files are gone
            yield False
            return
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
            else:
                yield True
        finally:
            os.close(lock)

    def old(self, before: float) -> list[tuple[int, int]]:
        """Account and id of the imports whose folders were not changed since `before` (seconds since
        1970)."""
        found = []
        for folder in self.path.glob("*-*"):
            account_id, _, import_id = folder.name.partition("-")
            if account_id.isdecimal() and import_id.isdecimal() and folder.stat().st_mtime < before:
                found.append((int(account_id), int(import_id)))
        return found

    def forget_incoming(self, before: float) -> None:
        """Throw away what arrived before that moment and became no import."""
        for path in (self.path / "incoming").glob("*"):
            if path.stat().st_mtime < before:
                path.unlink(missing_ok=True)

    def forget_upload(self, account_id: int, import_id: int) -> None:
        """Throw away the file itself: what is needed of it is staged."""
        (self.folder(account_id, import_id) / _UPLOAD).unlink(missing_ok=True)

    def clear_stage(self, account_id: int, import_id: int) -> None:
        """Throw away what is staged of an import that failed before any of it came into the book."""
        for pattern in STAGE_FILES:
            for path in self.folder(account_id, import_id).glob(pattern):
                path.unlink(missing_ok=True)

    def discard(self, account_id: int, import_id: int) -> None:
        """Throw away everything of an import."""
        shutil.rmtree(self.folder(account_id, import_id), ignore_errors=True)

    def _new(self, account_id: int, import_id: int) -> Path:
        folder = self.folder(account_id, import_id)
        _make(folder)
        return folder

    def _ready(self, folder: Path) -> None:
        (folder / "ready").touch()
        for path in (folder, self.path):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # it holds people's phone numbers
