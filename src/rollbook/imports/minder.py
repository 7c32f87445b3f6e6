"""Looks after the processes that work on imports: starts them, gives them imports, and ends those that hang.

A file can make its reader die, hang, or eat all memory. None of that may end in work that is begun again for
ever, or in one account's imports keeping those of others waiting. Light: the service and the commands have
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
"""How often who waits for one import is told how far it is."""

CANCEL_SECONDS = 5.0
"""How long a worker may take to see that its import is cancelled, before it is ended."""

IDLE_SECONDS = 5.0
"""How long a worker is kept that has nothing to do."""

START_SECONDS = 60.0
"""How long a worker may take to begin."""

AWAY_SECONDS, AWAY_EMBEDDED_SECONDS = 3600.0, 60.0
"""How long an import without a step forward waits for whoever has its files: another machine, or where the
database is embedded, a command with a spool of its own."""

UNFINISHED_SECONDS = 3.0
"""How often it asks which imports there are, where accounts are on several machines."""

NODE_AWAY_SECONDS = 10.0
"""How long a worker waits for the machine that its import's account is on, before it works on another one."""

MOURN_SECONDS = 1.0
"""How long after a worker died the next one is started."""

END_SECONDS = 10.0
"""How long a worker may take to end after the chunk that is under way."""

_log = logging.getLogger("rollbook")


class _Worker:
    """A process that works on imports.

    Attributes:
        named: the import that it has; `None` for none.
        account_id: of the last one that it had.
        heard_at: when it last told that it goes on.
        is_ready: it has begun, so that its death has to do with its import.
        why: the reason for which it was ended, for people; "" when it was not.
    """

    def __init__(self, order: ImportOrder) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rollbook.imports"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,  # a Ctrl-C on a terminal is for the parent
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
        """Of what it tells."""
        return self._stdout

    def give(self, named: Named) -> None:
        """Let it work on an import."""
        self.named = named
        self.heard_at = time.monotonic()
        self.cancel_since = self.away_since = None
        self._say(named)

    def hear(self) -> None:
        """Take in what it told."""
        with contextlib.suppress(BlockingIOError):
            while answers := os.read(self._stdout, 4096):
                self.heard_at = time.monotonic()
                self.is_ready = self.is_ready or BEGUN in answers
                if ENDED in answers:
                    self.named, self.idle_since = None, time.monotonic()

    def leave(self) -> None:
        """Let it end after the chunk that is under way."""
        if not self.is_leaving:
            self.is_leaving = True
            self.heard_at = time.monotonic()
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process.terminate()

    def kill(self, why: str) -> None:
        """End it at once."""
        self.why = why
        self.process.kill()

    def forget(self) -> None:
        """Close what led to it, once it ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()

    def _say(self, what: msgspec.Struct) -> None:
        with contextlib.suppress(BrokenPipeError):  # that it ended is seen next
            os.write(self._stdin, msgspec.json.encode(what) + b"\n")


class Minder:
    """Keeps as many workers as there are imports to work on.

    A worker that died, or was ended since it hung, is followed by another one; after
    `losses.DEATHS_MAX` deaths without a step forward its import has failed. While others wait, an account has
    one worker.

    Args:
        spool: the imports whose files are in it are worked on.
        workers_max: at once.
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
        """Do what is to be done now; to be called again and again.

        Returns:
            Whether something is under way or waits.
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
        """Work on one import until it ends or waits for a confirmation, or watch whoever does.

        Args:
            stopping: set when the work is to stop.
            watch: told of the import, again and again.

        Returns:
            The import; `None` when the work was to stop.
        """
        named = imports.name_of(import_)
        while True:
            try:
                import_ = self._database.read(imports.get, named.account_id, named.id)
                watch(import_)
                if self._stepped(named, import_):
                    return import_
            except Unavailable:
                pass  # the worker waits for the database, too, and says so
            if stopping.is_set():
                return None
            self.pause(WATCH_SECONDS, stopping)

    def _stepped(self, named: Named, import_: Import) -> bool:
        """Look after the work on one import; whether it is over."""
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
        """Wait so long at most, or until a worker tells something."""
        busy = [worker for worker in self._workers if worker.named is not None]
        if busy:
            select.select(busy, [], [], seconds)
        else:
            stopping.wait(seconds)

    def working(self) -> dict[Named, int]:
        """The imports that are worked on, with the process of each."""
        return {
            worker.named: worker.process.pid
            for worker in self._workers
            if worker.named is not None and worker.is_ready
        }

    def close(self) -> None:
        """Let the workers end after the chunk that is under way, and wait for them."""
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
        """See who died, and tell the database; if that is away, tell it another time."""
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
                continue  # the deaths of other accounts can be told
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
        """End a worker that hangs, or does not see that its import is cancelled."""
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
                worker.leave()  # its import goes on when the node is back, and others need the worker
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
        """Imports that nobody works on, in the order in which their turn comes."""
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
        """The files of an import are not here. They may be with somebody else, who works on it; where they
        can be nowhere, as after a restore, it has failed."""
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
        """Give the first import to a worker that has none. If there is no such worker, an account that has
        several has to leave one to an account that has none.

        Returns:
            Whether it was given to one.
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
                worker.leave()  # its import goes on when nobody else waits
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
        """Let those end that have had nothing to do for a while."""
        for worker in self._workers:
            if self._is_idle(worker) and time.monotonic() - worker.idle_since > IDLE_SECONDS:
                worker.leave()
            if (
                worker.named is None
                and worker.is_leaving
                and time.monotonic() - worker.heard_at > END_SECONDS
            ):
                worker.process.kill()
