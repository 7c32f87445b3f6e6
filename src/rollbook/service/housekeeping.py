"""What the service does beside answering: removes leftovers, and keeps the metrics of the last recount."""

from __future__ import annotations

import logging
import threading
import time

from rollbook import leftovers, verify
from rollbook.db import Database
from rollbook.errors import RollbookError
from rollbook.metrics import Metrics

LOOK_SECONDS = 1.0
"""How often it looks for something to do."""

_log = logging.getLogger("rollbook")


class Housekeeper:
    """A thread that does in small transactions what no request should wait for."""

    def __init__(self, database: Database, metrics: Metrics) -> None:
        self._database = database
        self._metrics = metrics
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End after the transaction that is under way."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            try:
                self._metrics.verified(self._database.read(verify.last))
                while not self._ended.is_set() and (found := self._database.read(leftovers.first)):
                    started = time.monotonic()
                    self._database.write(leftovers.remove_some, found.account_id, found)
                    # As long again for the others, who wait for answers; nobody waits for this.
                    self._ended.wait(min(time.monotonic() - started, LOOK_SECONDS))
            except RollbookError:
                continue  # the database is away or behind; whoever asks for something is told
            except Exception:
                _log.exception("housekeeping failed")
