"""Background work of the service: removes leftovers, keeps the metrics of the last recount, and checks which
machines of a distributed database answer."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

from rollbook import leftovers, verify
from rollbook.db import Database
from rollbook.errors import RollbookError
from rollbook.metrics import Metrics
from rollbook.rounds import Rounds

LOOK_SECONDS = 1.0
"""How often it looks for work."""

LEFTOVERS_SECONDS = 10.0
"""How often it looks for leftovers where the database is distributed."""

VERIFIED_SECONDS = 60.0
"""How often it reads the results of the last recounts where the database is distributed."""

NODES_SECONDS = 10.0
"""How often it checks which machines answer where the database is distributed."""

_log = logging.getLogger("rollbook")


class Housekeeper:
    """A thread for work, in small transactions, that no request should wait for."""

    def __init__(self, database: Database, metrics: Metrics) -> None:
        self._database = database
        self._metrics = metrics
        self._leftovers = Rounds(database, leftovers.some, every_seconds=LEFTOVERS_SECONDS)
        self._verified_next = self._nodes_next = 0.0
        self._nodes_known = True
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End after the current transaction."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            for step in (self._see_nodes, self._read_verified, self._remove_leftovers):
                try:
                    step()
                except RollbookError:
                    continue  # the database is unreachable or behind; requests report that
                except Exception:
                    _log.exception("housekeeping failed")

    def _see_nodes(self) -> None:
        if not self._database.is_distributed or time.monotonic() < self._nodes_next:
            return
        self._nodes_next = time.monotonic() + NODES_SECONDS
        before = self._metrics.nodes
        try:
            now = self._database.nodes()
        except RollbookError as error:
            if self._nodes_known:
                _log.warning("It is not known which nodes of the database answer: %s", error)
            self._nodes_known = False
            return
        self._nodes_known = True
        self._metrics.nodes = now
        for node, answers in now.items():
            if not answers and before.get(node, True):
                _log.error("The database node %s is away; its accounts get 503.", node)
            elif answers and not before.get(node, True):
                _log.warning("The database node %s answers again.", node)

    def _read_verified(self) -> None:
        if self._database.is_distributed:
            if time.monotonic() < self._verified_next:
                return
            self._verified_next = time.monotonic() + VERIFIED_SECONDS
        self._metrics.verified(self._database.read(verify.last))

    def _remove_leftovers(self) -> None:
        """Remove all leftovers, a chunk of each in turn."""
        found = deque(self._leftovers.ask())
        while found and not self._ended.is_set():
            each = found.popleft()
            started = time.monotonic()
            try:
                if self._database.write(leftovers.remove_some, each.account_id, each):
                    found.append(each)
            except RollbookError:
                continue  # found again when its account can be reached
            # Leave as much time to requests, whose clients wait; for this, no one waits.
            self._ended.wait(min(time.monotonic() - started, LOOK_SECONDS))
