"""The spool: a folder with the files of imports, one folder for each. Light, so that the API can put files
there."""

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
"""Of an import's folder. Those with two numbers, of the account and the import, are from before names were
random."""

STAGE_FILES = ("*.int64", "*.arrow")
_UPLOAD, _PATH, _REJECTS, _LOCK = "upload", "path", "rejects.csv", "lock"


class Spool:
    """The files of imports.

    Args:
        path: of the folder; made when the first file comes.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @property
    def id(self) -> str:
        """What tells this spool from any other, "" while there is none: an import's row says in which one its
        files are."""
        try:
            return (self.path / _ID).read_text()
        except OSError:
            return ""

    def folder(self, folder: str) -> Path:
        """Where the files of one import are.

        Args:
            folder: the name that the import's row has for it.
        """
        return self.path / folder

    def has(self, folder: str) -> bool:
        """Whether the import's files are in this spool, and not on another machine or gone."""
        return (self.folder(folder) / "ready").exists()

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

    def put(self, folder: str, path: Path) -> str:
        """Make a file that arrived the one of an import, too; whoever made it removes its own name for it.
        Returns the spool's id.

        It must be on the disk already: the answer to the caller says that it is kept.
        """
        made = self._new(folder)
        os.link(path, made / _UPLOAD)
        self._ready(made)
        return self.id

    def point(self, folder: str, path: Path) -> str:
        """Make a file that stays where it is the one of an import. Returns the spool's id."""
        made = self._new(folder)
        (made / _PATH).write_bytes(os.fsencode(path.absolute()))
        self._ready(made)
        return self.id

    def source(self, folder: str) -> Path:
        """The file of an import.

        Raises:
            BadFile: it is not there.
        """
        here = self.folder(folder)
        if (here / _UPLOAD).exists():
            return here / _UPLOAD
        try:
            return Path(os.fsdecode((here / _PATH).read_bytes()))
        except OSError:
            raise BadFile("The file of this import is not in the spool any more.") from None

    def rejects(self, folder: str) -> Path | None:
        """The CSV of the rows that were left out, if there is one."""
        path = self.folder(folder) / _REJECTS
        return path if path.exists() else None

    @contextmanager
    def held(self, folder: str) -> Iterator[bool]:
        """Whether nobody else works on the import, which then holds until the end of the block, or until the
        process ends, however it ends."""
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
        """The folders of imports that were not changed since `before` (seconds since 1970)."""
        found = []
        for folder in self.path.glob("*"):
            with suppress(FileNotFoundError):
                if _NAME.fullmatch(folder.name) and folder.stat().st_mtime < before:
                    found.append(folder.name)
        return found

    def forget_incoming(self, before: float) -> None:
        """Throw away what arrived before that moment and became no import."""
        for path in (self.path / "incoming").glob("*"):
            if path.stat().st_mtime < before:
                path.unlink(missing_ok=True)

    def forget_upload(self, folder: str) -> None:
        """Throw away the file itself: what is needed of it is staged."""
        (self.folder(folder) / _UPLOAD).unlink(missing_ok=True)

    def clear_stage(self, folder: str) -> None:
        """Throw away what is staged of an import that failed before any of it came into the book."""
        for pattern in STAGE_FILES:
            for path in self.folder(folder).glob(pattern):
                path.unlink(missing_ok=True)

    def discard(self, folder: str) -> None:
        """Throw away everything of an import."""
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
    """A name for a folder that no import ever had. Ids are given again after a restore, and then what lies in
    the spool would be that of another import."""
    return os.urandom(16).hex()


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # it holds people's phone numbers
