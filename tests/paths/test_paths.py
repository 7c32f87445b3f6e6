"""Locks on files, and what a process hears from the one that started it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rollbook import paths


def test_a_file_is_locked_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not paths.is_locked(path)
    first = paths.locked(path)
    assert first is not None
    with open(first, "rb+", buffering=0):
        assert paths.is_locked(path)
        assert paths.locked(path) is None
        with path.open("ab") as file:
            assert not paths.try_lock(file)
    assert not paths.is_locked(path)
    with path.open("ab") as file:
        assert paths.try_lock(file)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_lock_in_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        paths.locked(tmp_path / "gone" / "lock")


def test_what_is_stored_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.write(b"kept")
        paths.store(file)
        assert path.read_bytes() == b"kept"
    paths.store_path(path)
    paths.store_path(tmp_path)
    with pytest.raises(FileNotFoundError):
        paths.store_path(tmp_path / "gone")


LISTENER = """
from rollbook import parent
ends = []
lines = parent.lines(at_end=lambda: ends.append("the end"))
while (line := lines.get()) is not None:
    print(line)
print(*ends)
"""


def test_a_process_hears_each_line_and_that_its_parent_is_gone() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LISTENER],
        input=b"one\ntwo\ncut",
        stdout=subprocess.PIPE,
        timeout=60,
        check=True,
    )
    assert ran.stdout.decode().splitlines() == ["b'one'", "b'two'", "the end"]
