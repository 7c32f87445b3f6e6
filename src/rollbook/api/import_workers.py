"""Starts processes for imports while there are imports to work on: their work must not stall the event
loop."""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import sys
import threading
import time

from rollbook import config
from rollbook.config import Settings
from rollbook.db import Database
from rollbook.errors import RollbookError
from rollbook.imports import jobs
from rollbook.imports.spool import Spool

LOOK_SECONDS = 0.5
"""How often it looks for imports."""

START_SECONDS = 2.0
"""How long a worker may take to begin; until then another one is not started for the same import."""

MOURN_SECONDS = 1.0
"""How long after a worker failed the next one is started."""

END_SECONDS = 10.0
"""How long a worker may take to end after the chunk that is under way."""

_log = logging.getLogger("rollbook")


class ImportWorkers:
    """A thread that keeps as many workers as there are imports to work on, `import_workers` at most.

    Of several services with one spool only one does so at a time. A worker ends when there is nothing to do,
    or when the service ends, however that ends: its standard input is then at its end.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._spool = Spool(config.spool_of(settings))
        self._workers: list[subprocess.Popen[bytes]] = []
        self._not_before = 0.0
        self._lock: int | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="import-workers", daemon=True)
        if settings.import_workers:
            self._thread.start()

    def close(self) -> None:
        """Let the workers end after the chunk that is under way, and wait for them."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            try:
                worker.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
            assert worker.stdin is not None
            worker.stdin.close()
        if self._lock is not None:
            os.close(self._lock)

    def _run(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            try:
                self._look()
            except RollbookError:
                continue  # the database is away: nothing can be imported either
            except Exception:
                _log.exception("starting import workers failed")

    def _look(self) -> None:
        for worker in list(self._workers):
            if worker.poll() is not None:
                assert worker.stdin is not None
                worker.stdin.close()
                self._workers.remove(worker)
                if worker.returncode:
                    _log.error("an import worker ended with %d; another goes on", worker.returncode)
                    self._not_before = time.monotonic() + MOURN_SECONDS
        if len(self._workers) >= self._settings.import_workers or time.monotonic() < self._not_before:
            return
        if any(map(self._waits, self._database.read(jobs.unfinished))) and self._alone():
            self._workers.append(self._start())
            self._not_before = time.monotonic() + START_SECONDS

    def _waits(self, found: jobs.Named) -> bool:
        """Whether it is here and nobody works on it, a worker or a command."""
        if not self._spool.has(found.account_id, found.id):
            return False
        with self._spool.held(found.account_id, found.id) as free:
            return free

    def _alone(self) -> bool:
        """Whether this is the one service that starts workers for its spool."""
        if self._lock is None:
            lock = os.open(self._spool.path / "workers.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
                return False
            self._lock = lock
        return True

    def _start(self) -> subprocess.Popen[bytes]:
        own = {
            "database_url": self._settings.database_url,  # with its password: not for the list of processes
            "spool_dir": str(self._spool.path.absolute()),
            "import_keep_days": str(self._settings.import_keep_days),
            "log_level": self._settings.log_level,
        }
        environment = {
            **os.environ,
            **{f"{config.PREFIX}{name.upper()}": value for name, value in own.items()},
        }
        return subprocess.Popen(
            [sys.executable, "-m", "rollbook", "work", "--until-idle", "--lifeline"],
            stdin=subprocess.PIPE,
            env=environment,
        )
