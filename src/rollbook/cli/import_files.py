"""The files of `rollbook import`: the one that it reads, and the one for the rejected rows."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from rollbook.cli.common import must_differ
from rollbook.errors import BadFile, CannotWrite
from rollbook.files.formulas import csv_pieces


def must_be_readable(path: Path) -> None:
    """Raise an error if a file cannot be imported.

    Raises:
        BadFile: it is a folder, cannot be opened, or has a name that the database cannot store.
    """
    if path.is_dir():
        raise BadFile(f"{path} is a folder, not a file.")
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise BadFile(f"The name {path} is not UTF-8 text: rename it, or give the file as -.") from None
    try:
        path.open("rb").close()
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from error


@contextmanager
def rejects_file(path: str | None, source: str) -> Iterator[BinaryIO | None]:
    """The file for the rejected rows, opened before anything is imported; its contents stay until it is
    filled.

    Raises:
        CannotWrite: it cannot be written, or is the file to import.
    """
    if path is None:
        yield None
        return
    if path == "-":
        raise CannotWrite(path, "name a file; `rollbook imports rejects ID` prints the rejects of an import")
    must_differ(path, source)
    try:
        is_new = not os.path.lexists(path)
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666), "wb")
    except OSError as error:
        raise CannotWrite(path, (error.strerror or str(error)).lower()) from error
    try:
        yield file
    finally:
        if is_new and not os.fstat(file.fileno()).st_size:  # there were no rejected rows
            os.unlink(path)
        with suppress(OSError):  # write errors were reported before
            file.close()


def fill_rejects(file: BinaryIO, path: str, rejects: Path, *, raw: bool, bom: bool) -> None:
    """Write the rejected rows of an import into the file that was opened for them."""
    try:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.truncate(0)
        file.writelines(csv_pieces(rejects, raw=raw, bom=bom))
        file.flush()
    except OSError as error:
        raise CannotWrite(path, (error.strerror or str(error)).lower()) from error
