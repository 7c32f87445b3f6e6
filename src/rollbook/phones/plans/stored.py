"""A cache on the disk for tables that take seconds to build.

The files are in `$XDG_CACHE_HOME/rollbook` (by default `~/.cache/rollbook`), one for each version of
`phonenumbers` and of the code that builds them. If the folder cannot be created, each process builds its own
tables.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import phonenumbers

from rollbook.phones.plans.pieces import Pieces

FORMAT = 2
"""Increase it whenever the same metadata gives different tables."""


def pieces(name: str, build: Callable[[], Pieces]) -> Pieces:
    """The result of `build`, read from the disk if a complete file is there."""
    base = folder()
    if base is None:
        return build()
    file = base / f"phones-{name}-{phonenumbers.__version__}-{FORMAT}.npz"
    try:
        return _load(file)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        built = build()
        with contextlib.suppress(OSError):
            _save(file, built)
        return built


def folder() -> Path | None:
    """The folder of the files, or `None` if there is none. The XDG Base Directory Specification defines it,
    and says that a relative path in its variable must be ignored."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    base = named if os.path.isabs(named) else os.path.expanduser("~/.cache")
    return Path(base) / "rollbook" if os.path.isabs(base) else None


def _load(file: Path) -> Pieces:
    with file.open("rb") as reading, np.load(reading, allow_pickle=False) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    low, high = found.pop("low"), found.pop("high")
    if any(array.dtype != np.int64 or array.shape != low.shape for array in (low, high, *found.values())):
        raise ValueError(f"{file} is damaged")
    return Pieces(low, high, found)


def _save(file: Path, built: Pieces) -> None:
    """Save in one step: another process sees the whole file or none."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}-", delete=False) as writing:
        try:
            np.savez(writing, allow_pickle=False, low=built.low, high=built.high, **built.columns)
            writing.close()
            os.replace(writing.name, file)
        except BaseException:
            os.unlink(writing.name)
            raise
