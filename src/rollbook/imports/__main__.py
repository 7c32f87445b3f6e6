"""The process that works on imports: `python -m rollbook.imports`.

It reads an `ImportOrder` from standard input, one line of JSON, then one line for each import; it answers on
standard output (`order`). Its parent keeps standard input open as long as it wants the work done. A file can
make any reader crash, hang, or take all memory: so this is a process of its own, and its parent looks after
it (`minder`).
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import resource
import signal
import threading
import time

import msgspec

from rollbook import parent
from rollbook.db import open_database
from rollbook.errors import RollbookError, Unavailable
from rollbook.imports import Named
from rollbook.imports.order import ALIVE, BEGUN, ENDED, ImportLimits, ImportOrder
from rollbook.imports.spool import Spool
from rollbook.imports.worker import Stopped, Worker

TELL_SECONDS = 0.25
"""The shortest time between two reports to the parent that the work continues."""

_log = logging.getLogger("rollbook")


def main() -> None:
    """Work on the imports that standard input names."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from a terminal: the parent ends this process instead
    logging.basicConfig(format="%(message)s")
    lines = parent.lines(at_end=stopping.set)
    first = lines.get()
    if first is None:
        return
    order = msgspec.json.decode(first, type=ImportOrder)
    _limit(resource.RLIMIT_DATA, order.limits.memory_bytes_max)
    os.set_blocking(1, False)
    telling = _Telling(order.limits)
    database = open_database(order.database_url)
    try:
        worker = Worker(
            database, Spool(order.spool_dir), stopping=stopping, alive=telling.alive, limits=order.limits
        )
        telling.say(BEGUN)
        while (line := lines.get()) is not None and not stopping.is_set():
            telling.begin()
            try:
                worker.take(msgspec.json.decode(line, type=Named))
            except Stopped:
                return
            except Unavailable:
                pass  # the parent asks again
            except RollbookError as error:  # an import that was deleted under its worker
                _log.warning("%s", error)
            telling.end()
    finally:
        database.close()


class _Telling:
    """Reports to the parent; and ends this process if it hangs and has no parent any more."""

    def __init__(self, limits: ImportLimits) -> None:
        self._limits = limits
        self._told = 0.0

    def begin(self) -> None:
        """Note that an import begins."""
        if self._limits.cpu_seconds_max:
            used = resource.getrusage(resource.RUSAGE_SELF)
            _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + self._limits.cpu_seconds_max)
        self.alive()

    def alive(self) -> None:
        """Report that the work continues."""
        now = time.monotonic()
        if now - self._told >= TELL_SECONDS:
            self._told = now
            self.say(ALIVE)
            if self._limits.stall_seconds:
                with contextlib.suppress(RuntimeError):  # too little memory for its thread
                    faulthandler.dump_traceback_later(2 * self._limits.stall_seconds, exit=True, file=2)

    def end(self) -> None:
        """Report that the import ended."""
        faulthandler.cancel_dump_traceback_later()
        self._told = 0.0
        self.say(ENDED)

    def say(self, word: bytes) -> None:
        """Send the parent a word, if it is still there."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(1, word)


def _limit(what: int, value: int) -> None:
    """Set a limit of this process, up to what the system allows."""
    _, hard = resource.getrlimit(what)
    if value:
        resource.setrlimit(what, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


if __name__ == "__main__":
    main()
