"""Looks after the processes that work on imports: starts them, gives them imports, and ends those that hang.

A file can make its reader crash, hang, or take all memory. Such an import must not be retried for ever, and
must not keep the imports of other accounts waiting. This module is light: the service and the commands import
it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

import msgspec

from rollbook import imports
from rollbook.db import Database
from rollbook.errors import NodeAway, NotFound, NotNow, Unavailable
from rollbook.imports import Import, Named, losses
from rollbook.imports.order import BEGUN, ENDED, ImportLimits, ImportOrder
from rollbook.imports.spool import Spool
from rollbook.rounds import Rounds

WATCH_SECONDS = 0.2
"""How often the progress of an import is reported to a caller that waits for it."""

CANCEL_SECONDS = 5.0
"""How long a worker may take to notice that its import is cancelled, before it is killed."""

IDLE_SECONDS = 5.0
"""How long an idle worker is kept."""

START_SECONDS = 60.0
"""How long a worker may take to start."""

AWAY_SECONDS, AWAY_EMBEDDED_SECONDS = 3600.0, 60.0
"""How long an import without progress waits for the process that has its files: on another machine or, where
the database is embedded, a command with a spool of its own."""

UNFINISHED_SECONDS = 3.0
"""How often it asks which imports there are, where accounts are on several machines."""

NODE_AWAY_SECONDS = 10.0
"""How long a worker waits for the machine of its import's account, before it works on another import."""

MOURN_SECONDS = 1.0
"""How long after the death of a worker the next one is started."""

END_SECONDS = 10.0
"""How long a worker may take to end after its current chunk."""

_log = logging.getLogger("rollbook")


class _Worker:
    """A worker: a process that works on imports.

    Attributes:
        named: its current import; `None` for none.
        account_id: the account of its last import.
        heard_at: when it last reported that it is alive.
        is_ready: whether it has started, so that its death is caused by its import.
        why: why it was killed, for people; "" when it was not.
    """

    def __init__(self, order: ImportOrder) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rollbook.imports"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,  # a Ctrl-C on a terminal is handled by the parent
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._stdin, self._stdout = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self._stdout, False)
        self.named: Named | None = None
        self.heard_at = self.idle_since = time.monotonic()
        self.cancel_since: float | None = None
        self.away_since: float | None = None
        self.is_ready = self.is_leaving = False
        self.why = ""
        self._say(order)

    def fileno(self) -> int:
        """The descriptor of the pipe on which it reports."""
        return self._stdout

    def give(self, named: Named) -> None:
        """Give it an import to work on."""
        self.named = named
        self.heard_at = time.monotonic()
        self.cancel_since = self.away_since = None
        self._say(named)

    def hear(self) -> None:
        """Read its reports."""
        with contextlib.suppress(BlockingIOError):
            while answers := os.read(self._stdout, 4096):
                self.heard_at = time.monotonic()
                self.is_ready = self.is_ready or BEGUN in answers
                if ENDED in answers:
                    self.named, self.idle_since = None, time.monotonic()

    def leave(self) -> None:
        """Ask it to end after its current chunk."""
        if not self.is_leaving:
            self.is_leaving = True
            self.heard_at = time.monotonic()
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process.terminate()

    def kill(self, why: str) -> None:
        """Kill it at once."""
        self.why = why
        self.process.kill()

    def forget(self) -> None:
        """Close its pipes after it ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()

    def _say(self, what: msgspec.Struct) -> None:
        with contextlib.suppress(BrokenPipeError):  # its end is noticed next
            os.write(self._stdin, msgspec.json.encode(what) + b"\n")


class Minder:
    """Keeps as many workers as there are imports to work on.

    A worker that died, or was killed because it hung, is replaced by another one. After `losses.DEATHS_MAX`
    deaths without progress its import fails. While other accounts wait, an account has one worker.

    Args:
        spool: the spool whose imports are worked on.
        workers_max: the largest number of workers at once.
    """

    def __init__(
        self,
        database: Database,
        database_url: str,
        spool: Spool,
        limits: ImportLimits,
        *,
        workers_max: int = 1,
    ) -> None:
        self._database = database
        self._spool = spool
        self._order = ImportOrder(database_url, str(spool.path.absolute()), limits)
        self._limits = limits
        self._workers_max = workers_max
        self._workers: list[_Worker] = []
        self._deaths: list[tuple[Named, str, bool]] = []
        self._served: dict[int, float] = {}
        self._missing: dict[Named, tuple[object, float]] = {}
        self._not_before = 0.0
        self._unfinished = Rounds(database, imports.unfinished, every_seconds=UNFINISHED_SECONDS)

    def look(self) -> bool:
        """Do everything that is due now. To be called again and again.

        Returns:
            Whether an import is under way or waits.
        """
        self._reap()
        for worker in self._workers:
            if worker.named is not None:
                self._watch(worker, worker.named)
        while self._handed_out(waiting := self._waiting()):
            pass
        self._retire()
        return bool(waiting) or any(worker.named is not None for worker in self._workers)

    def run(
        self, import_: Import, stopping: threading.Event, watch: Callable[[Import], None]
    ) -> Import | None:
        """Work on one import until it ends or waits for a confirmation. Where another process has it, watch
        that.

        Args:
            stopping: set when the work must stop.
            watch: called again and again with the import.

        Returns:
            The import; `None` when the work had to stop.
        """
        named = imports.name_of(import_)
        while True:
            try:
                import_ = self._database.read(imports.get, named.account_id, named.id)
                watch(import_)
                if self._stepped(named, import_):
                    return import_
            except Unavailable:
                pass  # the worker waits for the database, too, and reports it
            if stopping.is_set():
                return None
            self.pause(WATCH_SECONDS, stopping)

    def _stepped(self, named: Named, import_: Import) -> bool:
        """Do what is due for one import, and return whether it is over."""
        self._reap()
        busy = [worker for worker in self._workers if worker.named is not None]
        if not busy and import_.state not in imports.UNDERWAY:
            return True
        for worker in busy:
            self._watch(worker, named)
        if not busy and time.monotonic() >= self._not_before and self._is_free(named):
            self._idle_worker().give(named)
        return False

    def pause(self, seconds: float, stopping: threading.Event) -> None:
        """Wait until a worker reports something, but not longer than that."""
        busy = [worker for worker in self._workers if worker.named is not None]
        if busy:
            select.select(busy, [], [], seconds)
        else:
            stopping.wait(seconds)

    def working(self) -> dict[Named, int]:
        """The current imports, with the id of the process that works on each."""
        return {
            worker.named: worker.process.pid
            for worker in self._workers
            if worker.named is not None and worker.is_ready
        }

    def close(self) -> None:
        """Ask the workers to end after their current chunks, and wait for them."""
        for worker in self._workers:
            worker.leave()
        for worker in self._workers:
            try:
                worker.process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            worker.forget()
        self._workers.clear()

    def _reap(self) -> None:
        """Record the deaths of workers in the database; if it is unreachable, record them later."""
        for worker in list(self._workers):
            with contextlib.suppress(OSError):
                worker.hear()
            status = worker.process.poll()
            if status is None:
                continue
            self._workers.remove(worker)
            worker.forget()
            if status and not worker.is_leaving:
                self._not_before = time.monotonic() + MOURN_SECONDS
                why = worker.why or self._said(status)
                _log.error("an import worker ended: %s", why)
                if worker.named is not None and worker.is_ready:
                    self._deaths.append((worker.named, why, status == -signal.SIGXCPU))
        for death in list(self._deaths):
            named, why, at_once = death
            try:
                import_ = self._database.write(losses.died, named.account_id, named.id, why, at_once=at_once)
                if import_.ended and not import_.rows_staged:
                    self._spool.clear_stage(import_.folder)
            except (NotFound, NotNow):
                pass
            except NodeAway:
                continue  # the deaths of other accounts can be recorded
            self._deaths.remove(death)

    def _said(self, status: int) -> str:
        if status == -signal.SIGXCPU:
            seconds = self._limits.cpu_seconds_max
            return f"it took more than {seconds} s of a processor (--import-cpu-seconds-max)"
        if status < 0:
            name = signal.Signals(-status).name if -status in set(signal.Signals) else "unknown"
            return f"it was ended by signal {-status} ({name})"
        return f"it ended with status {status}"

    def _watch(self, worker: _Worker, named: Named) -> None:
        """Kill a worker that hangs, or does not notice that its import is cancelled."""
        now = time.monotonic()
        if worker.is_leaving:
            if now - worker.heard_at > END_SECONDS:
                worker.process.kill()
            return
        try:
            import_ = self._database.read(imports.get, named.account_id, named.id)
        except NotFound:
            return
        except NodeAway:
            worker.away_since = worker.away_since or now
            if now - worker.away_since > NODE_AWAY_SECONDS:
                worker.leave()  # its import continues when the node is back; others need the worker
            return
        worker.away_since = None
        patience = self._limits.stall_seconds
        if patience and not worker.is_ready:
            patience = max(patience, START_SECONDS)
        if import_.state not in imports.UNDERWAY or (import_.cancel_wanted and import_.state != "undoing"):
            worker.cancel_since = worker.cancel_since or now
            if now - worker.cancel_since > CANCEL_SECONDS:
                worker.kill("its import was cancelled")
        elif patience and now - worker.heard_at > patience:
            worker.kill(f"it reported no progress for {patience:g} s (--import-stall-seconds)")

    def _waiting(self) -> list[Named]:
        """Imports that no worker has, in the order in which they are started."""
        mine = {worker.named for worker in self._workers}
        waiting, busy = [], Counter(named.account_id for named in mine if named is not None)
        for named in self._unfinished.ask():
            if named in mine:
                continue
            if not self._spool.has(named.folder):
                with contextlib.suppress(NodeAway):
                    self._look_for_files(named)
                continue
            if self._is_free(named):
                waiting.append(named)
            else:
                busy[named.account_id] += 1
        turns = {
            account: (min(busy[account], 1), self._served.get(account, 0.0))
            for account in self._accounts(waiting)
        }
        return sorted(waiting, key=lambda named: (*turns[named.account_id], named.id))

    def _look_for_files(self, named: Named) -> None:
        """Handle an import whose files are not in this spool. Another process may have them and work on it.
        Where that is impossible, as after a restore, the import fails."""
        import_, now = self._database.read(imports.get, named.account_id, named.id), time.monotonic()
        how_far = (import_.state, import_.bytes_done, import_.rows_read, import_.reached)
        if named not in self._missing or self._missing[named][0] != how_far:
            self._missing[named] = (how_far, now)
        here, embedded = self._spool.id, self._database.embedded
        patience = AWAY_EMBEDDED_SECONDS if embedded else AWAY_SECONDS
        was_here = import_.spool == here if here else embedded
        if was_here or now - self._missing[named][1] > patience:
            del self._missing[named]
            with contextlib.suppress(NotFound, NotNow):
                self._database.write(losses.lost, named.account_id, named.id)

    def _accounts(self, waiting: list[Named]) -> set[int]:
        return {named.account_id for named in waiting}

    def _is_free(self, named: Named) -> bool:
        with self._spool.held(named.folder) as free:
            return free

    def _handed_out(self, waiting: list[Named]) -> bool:
        """Give the first import to an idle worker. If there is none, an account with several workers has to
        give one up for an account that has none.

        Returns:
            Whether the import was given to a worker.
        """
        if not waiting or time.monotonic() < self._not_before:
            return False
        named = waiting[0]
        has_room = (
            any(self._is_idle(worker) for worker in self._workers) or len(self._workers) < self._workers_max
        )
        if has_room:
            self._idle_worker().give(named)
            self._served[named.account_id] = time.monotonic()
            return True
        mine = [worker for worker in self._workers if worker.named is not None]
        held = Counter(worker.named.account_id for worker in mine if worker.named is not None)
        if held[named.account_id] or any(worker.is_leaving for worker in mine):
            return False
        for worker in reversed(mine):
            if worker.named is not None and held[worker.named.account_id] > 1:
                worker.leave()  # its import continues when no other account waits
                break
        return False

    def _idle_worker(self) -> _Worker:
        for worker in self._workers:
            if self._is_idle(worker):
                return worker
        worker = _Worker(self._order)
        self._workers.append(worker)
        return worker

    def _is_idle(self, worker: _Worker) -> bool:
        return worker.named is None and not worker.is_leaving

    def _retire(self) -> None:
        """End workers that have been idle for a while."""
        for worker in self._workers:
            if self._is_idle(worker) and time.monotonic() - worker.idle_since > IDLE_SECONDS:
                worker.leave()
            if (
                worker.named is None
                and worker.is_leaving
                and time.monotonic() - worker.heard_at > END_SECONDS
            ):
                worker.process.kill()
