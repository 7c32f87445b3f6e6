"""The service's thread that looks after the processes of imports.

The work itself would stall the event loop, so it is done in those processes.
"""

from __future__ import annotations

import os
import threading

from rollbook import config, paths
from rollbook.config import Settings
from rollbook.db import Database
from rollbook.errors import DatabaseDamaged
from rollbook.imports import process
from rollbook.imports.minder import Minder
from rollbook.imports.order import limits_of
from rollbook.imports.spool import Spool

LOOK_SECONDS = 0.5
"""How often it checks whether it is the one service that looks after the imports of its spool."""


class ImportWorkers:
    """A thread that keeps as many workers as there are imports to work on, `import_workers` at most.

    Of several services with one spool, only one does so at a time. A worker ends when there is nothing to do,
    or when the service ends, in whatever way: its standard input is closed then.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._spool = Spool(config.spool_of(settings))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="import-workers", daemon=True)
        if settings.import_workers:
            self._thread.start()

    def close(self) -> None:
        """Ask the workers to end after their current chunks, and wait for them."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while (lock := self._alone()) is None:
            if self._ended.wait(LOOK_SECONDS):
                return
        try:
            minder = Minder(
                self._database,
                self._settings.database_url,
                self._spool,
                limits_of(self._settings),
                workers_max=self._settings.import_workers,
            )
            process.run(
                self._database,
                self._spool,
                minder,
                self._ended,
                keep_days=self._settings.import_keep_days,
            )
        except DatabaseDamaged:
            return  # logged when it was found; nothing continues until a new start
        finally:
            os.close(lock)

    def _alone(self) -> int | None:
        """The lock of the one service that starts workers for its spool; `None` when another service has it,
        or the spool does not exist yet."""
        try:
            return paths.locked(self._spool.path / "workers.lock")
        except OSError:
            return None
