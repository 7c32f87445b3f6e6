"""Several processes behind one address: forked, watched, replaced when one dies, stopped together."""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

from rollbook.errors import WorkerFailed

RESTART_SECONDS = 1.0
"""How long after the death of a worker the next one is started."""

START_SECONDS_MAX = 60

Work = Callable[[Callable[[], None], int], None]
"""`work(ready, lifeline)` serves until SIGTERM, or until `lifeline` (a file descriptor) reports its end; it
calls `ready` when it accepts requests."""

_log = logging.getLogger(__name__)


def supervise(count: int, work: Work, started: Callable[[], None]) -> None:
    """Run `work` in `count` processes until SIGTERM or SIGINT; returns when all have ended.

    Call it before the process has threads.

    Args:
        started: called once, when all of them accept requests.

    Raises:
        WorkerFailed: one of them did not start.
    """
    _Supervisor(work).run(count, started)


class _Supervisor:
    def __init__(self, work: Work) -> None:
        self._work = work
        self._workers: set[int] = set()
        self._stopping = False
        self._ready_read, self._ready_write = os.pipe()
        # Nothing is written to it: it closes when this process ends, in whatever way, and the workers notice.
        self._lifeline_read, self._lifeline_write = os.pipe()

    def run(self, count: int, started: Callable[[], None]) -> None:
        former = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            for _ in range(count):
                self._fork()
            self._wait_until_ready(count)
            if not self._stopping:
                started()
            self._watch()
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
            for end in (self._ready_read, self._ready_write, self._lifeline_read, self._lifeline_write):
                os.close(end)

    def _fork(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            self._workers.add(pid)
            return
        status = 1
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            os.close(self._lifeline_write)
            self._work(self._tell_ready, self._lifeline_read)
            status = 0
        except Exception:
            _log.exception("a worker failed")
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _tell_ready(self) -> None:
        os.write(self._ready_write, b"1")

    def _wait_until_ready(self, count: int) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while count and not self._stopping:
            readable, _, _ = select.select([self._ready_read], [], [], 0.05)
            if readable:
                count -= len(os.read(self._ready_read, count))
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid or time.monotonic() > deadline:
                self._workers.discard(pid)
                self._stop()
                self._watch()
                raise WorkerFailed

    def _watch(self) -> None:
        """Replace workers that die; return when all have ended after a stop."""
        while self._workers:
            pid, status = os.wait()
            self._workers.discard(pid)
            if not self._stopping:
                _log.error("worker %d ended (status %d); another takes its place", pid, status)
                time.sleep(RESTART_SECONDS)
                if not self._stopping:
                    self._fork()

    def _stop(self, number: int = 0, frame: FrameType | None = None) -> None:
        self._stopping = True
        for pid in self._workers:
            os.kill(pid, signal.SIGTERM)
