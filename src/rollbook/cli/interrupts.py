"""Interrupts of commands that wait for a pipe or a person."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rollbook import paths
from rollbook.cli.common import say
from rollbook.errors import BadFile
from rollbook.imports.spool import Spool

INTERRUPTED = 130
"""Exit code after SIGINT or SIGTERM."""

PIECE_BYTES = 1 << 20


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that is set on SIGINT and SIGTERM."""
    event = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: event.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def interruptible(stopping: threading.Event) -> Iterator[int]:
    """Let SIGINT and SIGTERM end the block, which waits for a pipe or a person.

    Args:
        stopping: set when a signal arrived.

    Returns:
        A descriptor that becomes readable when a signal arrives. Wait for it, too: a read that begins at that
        moment would not be interrupted.

    Raises:
        KeyboardInterrupt: a signal arrived, in the block or before it.
    """

    def interrupt(*_: object) -> None:
        stopping.set()
        raise KeyboardInterrupt

    interrupted, waker = os.pipe()
    os.set_blocking(waker, False)
    waked_before = signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        if stopping.is_set():
            raise KeyboardInterrupt
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(waked_before)
        os.close(waker)
        os.close(interrupted)


def spooled_input(spool: Spool, stopping: threading.Event) -> Path:
    """Copy standard input into a file of the spool, since the work may have to be repeated.

    An interrupt ends the writer of the pipe, too, which looks like the end of the file. So it ends the
    command before the import exists.
    """
    path = None
    try:
        with interruptible(stopping) as interrupted:
            path, file = spool.incoming()
            with file:
                source = sys.stdin.fileno()
                while select.select([source, interrupted], [], []) and (
                    piece := os.read(source, PIECE_BYTES)
                ):
                    file.write(piece)
                paths.store(file)
    except BaseException as error:
        if path is not None:
            path.unlink(missing_ok=True)
        if isinstance(error, KeyboardInterrupt):
            say("Stopped while standard input was read: nothing was imported.", err=True)
            sys.exit(INTERRUPTED)
        if isinstance(error, OSError):
            why = (error.strerror or str(error)).lower()
            raise BadFile(f"Standard input cannot be kept in {spool.path}: {why}.") from error
        raise
    return path
