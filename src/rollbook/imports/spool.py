"""The spool: a folder with the files of imports, one folder for each. This module is light, so that the API
can put files into the spool."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from rollbook import paths
from rollbook.errors import BadFile

_ID = "spool.id"
_NAME = re.compile(r"[0-9a-f]{32}|[0-9]{1,19}-[0-9]{1,19}")
"""The name of an import's folder. Names of two numbers, the ids of the account and the import, are older than
random names."""

STAGE_FILES = ("*.int64", "*.arrow")
_UPLOAD, _PATH, _REJECTS, _LOCK = "upload", "path", "rejects.csv", "lock"


class Spool:
    """The files of imports.

    Args:
        path: the folder; it is created when the first file arrives.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @property
    def id(self) -> str:
        """The id of this spool, "" while it does not exist. The row of an import says in which spool its
        files are."""
        try:
            return (self.path / _ID).read_text()
        except OSError:
            return ""

    def folder(self, folder: str) -> Path:
        """The folder with the files of one import.

        Args:
            folder: its name, from the row of the import.
        """
        return self.path / folder

    def has(self, folder: str) -> bool:
        """Whether the import's files are in this spool, and not on another machine or deleted."""
        return (self.folder(folder) / "ready").exists()

    def free_bytes(self) -> int:
        """The free space on its disk."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def incoming(self) -> tuple[Path, BinaryIO]:
        """A new file for a body that arrives: its path, and the open file."""
        folder = self.path / "incoming"
        _make(folder)
        path = folder / os.urandom(12).hex()
        return path, path.open("xb")

    def put(self, folder: str, path: Path) -> str:
        """Make a file that arrived the file of an import, under a second name; the caller removes the first
        one. Returns the id of the spool.

        The file must be on the disk already: the answer to the caller says that it is stored.
        """
        made = self._new(folder)
        os.link(path, made / _UPLOAD)
        self._ready(made)
        return self.id

    def point(self, folder: str, path: Path) -> str:
        """Make a file that stays where it is the file of an import. Returns the id of the spool."""
        made = self._new(folder)
        (made / _PATH).write_bytes(os.fsencode(path.absolute()))
        self._ready(made)
        return self.id

    def source(self, folder: str) -> Path:
        """The file of an import.

        Raises:
            BadFile: it does not exist.
        """
        here = self.folder(folder)
        if (here / _UPLOAD).exists():
            return here / _UPLOAD
        try:
            return Path(os.fsdecode((here / _PATH).read_bytes()))
        except OSError:
            raise BadFile("The file of this import is not in the spool any more.") from None

    def rejects(self, folder: str) -> Path | None:
        """The CSV of the rejected rows, if there is one."""
        path = self.folder(folder) / _REJECTS
        return path if path.exists() else None

    @contextmanager
    def held(self, folder: str) -> Iterator[bool]:
        """Lock an import until the end of the block, or until the process ends, in whatever way. False where
        another process holds the lock, or the files are gone."""
        try:
            lock = paths.locked(self.folder(folder) / _LOCK)
        except FileNotFoundError:  # its files are gone
            lock = None
        if lock is None:
            yield False
            return
        try:
            yield True
        finally:
            os.close(lock)

    def old(self, before: float) -> list[str]:
        """The folders of imports without a change since `before` (seconds since 1970)."""
        found = []
        for folder in self.path.glob("*"):
            with suppress(FileNotFoundError):
                if _NAME.fullmatch(folder.name) and folder.stat().st_mtime < before:
                    found.append(folder.name)
        return found

    def forget_incoming(self, before: float) -> None:
        """Delete files that arrived before that moment and did not become an import."""
        for path in (self.path / "incoming").glob("*"):
            if path.stat().st_mtime < before:
                path.unlink(missing_ok=True)

    def forget_upload(self, folder: str) -> None:
        """Delete the file itself: everything needed from it is staged."""
        (self.folder(folder) / _UPLOAD).unlink(missing_ok=True)

    def clear_stage(self, folder: str) -> None:
        """Delete the stage of an import that failed before any of it was merged into the book."""
        for pattern in STAGE_FILES:
            for path in self.folder(folder).glob(pattern):
                path.unlink(missing_ok=True)

    def discard(self, folder: str) -> None:
        """Delete all files of an import."""
        shutil.rmtree(self.folder(folder), ignore_errors=True)

    def _new(self, name: str) -> Path:
        folder = self.folder(name)
        _make(folder)
        if not self.id:
            new = self.path / f"{_ID}.{name}"
            new.write_text(new_folder())
            with suppress(FileExistsError):
                os.link(new, self.path / _ID)
            new.unlink()
        return folder

    def _ready(self, folder: Path) -> None:
        (folder / "ready").touch()
        paths.store_path(folder)
        paths.store_path(self.path)


def new_folder() -> str:
    """A name for a folder that no import ever had. After a restore, ids are used again, and files in the
    spool would belong to another import."""
    return os.urandom(16).hex()


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # people's phone numbers are in it
