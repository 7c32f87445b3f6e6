"""Files on disk: locks between processes, and writing that survives a power cut.

Locks are those of flock(2): the system drops a lock when its process ends in any way.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import BinaryIO


def try_lock(file: int | BinaryIO) -> bool:
    """Lock an open file for this process alone, until the file is closed.

    Args:
        file: a file or a descriptor that is open for writing.

    Returns:
        Whether this process holds the lock now; false while another process holds it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def locked(path: str | Path) -> int | None:
    """Open a file and lock it as `try_lock` does. A missing file is created, readable for its owner only.

    Returns:
        The descriptor, which the caller closes to release the lock; `None` while another process holds it.

    Raises:
        OSError: the file cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if try_lock(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def is_locked(path: str | Path) -> bool:
    """Whether a process holds the lock on a file; false where there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def store(file: BinaryIO) -> None:
    """Flush an open file to the disk.

    Raises:
        OSError: the disk refuses it.
    """
    file.flush()
    os.fsync(file.fileno())


def store_path(path: str | Path) -> None:
    """Flush a file, or the entries of a folder, to the disk.

    Raises:
        OSError: it cannot be opened, or the disk refuses it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
