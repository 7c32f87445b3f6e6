"""Files that processes share and that outlast a power cut: locks on them, and bringing them to the disk.

A lock is one of flock(2): the system drops it when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import BinaryIO


def try_lock(file: int | BinaryIO) -> bool:
    """Lock an open file for this process alone, until the file is closed.

    Args:
        file: open for writing, as a file or as a descriptor.

    Returns:
        Whether it is locked now; false while another process holds it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def locked(path: str | Path) -> int | None:
    """Open a file, made for its owner only where there is none, and lock it as `try_lock` does.

    Returns:
        The descriptor, which the caller closes to let go of the lock; `None` while another process holds it.

    Raises:
        OSError: it cannot be opened.
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
    """Bring what was written to an open file to the disk.

    Raises:
        OSError: the disk does not take it.
    """
    file.flush()
    os.fsync(file.fileno())


def store_path(path: str | Path) -> None:
    """Bring a file to the disk, or the names in a folder.

    Raises:
        OSError: it cannot be opened, or the disk does not take it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
