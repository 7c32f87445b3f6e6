"""Yardsticks without HTTP: the bare INSERT on either engine, and the core's group commit by itself."""

from __future__ import annotations

import itertools
import random
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence

import apsw

from benchmarks.engines import Prepared
from benchmarks.sample import DESCRIPTION, NAME, NAME_NUMBERS
from rollbook import lists
from rollbook.db import EngineLimits, Job, open_database
from rollbook.db.sqlite import WAL_PAGES_MAX
from rollbook.lists import NewList
from tests.servers import Postgres

INSERT = """
INSERT INTO contact_list (account_id, id, name, name_folded, description, description_folded,
                          is_default, created_at, items, stop_list_count)
VALUES ({account_id}, {id}, {name}, {name}, {description}, {description_folded}, FALSE, {now}, 0, 0)
"""
"""What creating a list comes down to."""

PGBENCH_THREADS = 2
PGBENCH_CLIENT_IDS = 10**9
"""Ids that each client of pgbench has for itself."""


class YardstickFailed(Exception):
    """A yardstick did not do what it is to measure."""


def rows_per_second(prepared: Prepared, *, batch: int, seconds: float) -> float:
    """On SQLite: a bare loop of the INSERT, row by row, with `batch` rows a commit.

    The file, its indexes and its durability are those of the service's writer. Run it in a process of
    its own.
    """
    connection = apsw.Connection(prepared.url.removeprefix("sqlite:///"))
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES_MAX}")
    assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
    assert connection.execute("PRAGMA synchronous").fetchall() == [(2,)]
    insert = INSERT.format(
        account_id=prepared.account_id,
        id="?1",
        name="?2",
        description="?3",
        description_folded="?4",
        now=int(time.time()),
    )
    folded, names, ids = DESCRIPTION.lower(), _Names(), itertools.count(1)
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        connection.execute("BEGIN IMMEDIATE")
        for _ in range(batch):
            connection.execute(insert, (next(ids), names.next(), DESCRIPTION, folded))
        connection.execute("COMMIT")
    taken = time.perf_counter() - started
    connection.close()
    return (next(ids) - 1) / taken


def pgbench_rows_per_second(server: Postgres, prepared: Prepared, *, clients: int, seconds: float) -> float:
    """On PostgreSQL: `pgbench` with the INSERT as a prepared statement, each a transaction.

    Args:
        seconds: `pgbench` takes whole ones, at least one.
    """
    low, high = NAME_NUMBERS
    insert = INSERT.format(
        account_id=prepared.account_id,
        id=":id",
        name=f"'{NAME.format(number='')}' || :number",
        description=f"'{DESCRIPTION}'",
        description_folded=f"'{DESCRIPTION.lower()}'",
        now=int(time.time()),
    )
    with tempfile.NamedTemporaryFile("w", prefix="rollbook-pgbench-", suffix=".sql") as script:
        script.write("\\set n :n + 1\n")
        script.write(f"\\set id :client_id * {PGBENCH_CLIENT_IDS} + :n\n")
        script.write(f"\\set number random({low}, {high})\n")
        script.write(f"{insert.strip()};\n")
        script.flush()
        done = subprocess.run(
            [
                *(str(server.bin / "pgbench"), "--no-vacuum", "--protocol", "prepared"),
                *("--client", str(clients), "--jobs", str(min(PGBENCH_THREADS, clients))),
                *("--time", str(max(1, round(seconds))), "--define", "n=0", "--file", script.name),
                prepared.url,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    rate = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    if done.returncode or rate is None or not re.search(r"failed transactions: 0 ", done.stdout):
        raise YardstickFailed(f"pgbench failed: {done.stdout}{done.stderr}")
    return float(rate[1])


def core_writes_per_second(prepared: Prepared, *, outstanding: int, batch_max: int, seconds: float) -> float:
    """Lists created a second through the core alone: no HTTP, `outstanding` writes waiting all the time.

    Run it in a process of its own.
    """
    database = open_database(prepared.url, EngineLimits(write_batch_max=batch_max))
    core = _Core(prepared.account_id, database.enqueue_write)
    started = time.perf_counter()
    core.start(outstanding)
    time.sleep(seconds)
    core.ending = True
    core.ended.wait()
    taken = time.perf_counter() - started
    database.close()
    if core.errors:
        raise YardstickFailed(f"the core failed: {core.errors[0]}")
    return core.done / taken


class _Core:
    """Queues a new write for each one that is done."""

    def __init__(self, account_id: int, enqueue: Callable[[Job], None]) -> None:
        self._account_id = account_id
        self._enqueue = enqueue
        self._names = _Names()
        self._lock = threading.Lock()
        self._outstanding = 0
        self.done = 0
        self.errors: list[BaseException] = []
        self.ending = False
        self.ended = threading.Event()

    def start(self, outstanding: int) -> None:
        """Queue the first writes."""
        self._outstanding = outstanding
        for _ in range(outstanding):
            self._queue()

    def _queue(self) -> None:
        new = NewList(self._names.next(), DESCRIPTION)
        self._enqueue(Job(lists.create, (self._account_id, new), self._deliver))

    def _deliver(self, jobs: Sequence[Job]) -> None:
        failed = [job.error for job in jobs if job.error is not None]
        with self._lock:
            self.done += len(jobs)
            self.errors += failed
            ending = self.ending = self.ending or bool(failed)
            if ending:
                self._outstanding -= len(jobs)
                if self._outstanding == 0:
                    self.ended.set()
        if not ending:
            for _ in jobs:
                self._queue()


class _Names:
    """Names as the load generators make them."""

    def __init__(self) -> None:
        self._low, high = NAME_NUMBERS
        self._span = high - self._low + 1
        self._before = NAME.format(number="")

    def next(self) -> str:
        """A name."""
        return f"{self._before}{self._low + int(random.random() * self._span)}"
