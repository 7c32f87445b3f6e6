"""The interface of both engines: a database that runs reads and writes in lanes, and the limits of these
lanes."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from rollbook.db.checks import Check
from rollbook.db.lanes import Job, Lane, wait_for
from rollbook.db.transaction import Transaction
from rollbook.errors import DatabaseDamaged, NotSetUp, Unavailable

T = TypeVar("T")
P = ParamSpec("P")


_log = logging.getLogger("rollbook")


@dataclass(frozen=True)
class EngineLimits:
    """Sizes of the queues and threads of an engine.

    Args:
        write_queue_max: writes that may wait before the next one is refused (503).
        write_batch_max: the most writes that share one COMMIT.
        read_queue_max: reads that may wait for a thread before the next one is refused (503).
        writer_threads: on PostgreSQL, connections that write; SQLite has exactly one.
        reader_threads: connections that read, each in its own thread.
        statement_timeout_seconds: on PostgreSQL, the longest time that one statement may take.
        busy_timeout_seconds: on SQLite, how long to wait for another process that writes.
    """

    write_queue_max: int = 4096
    write_batch_max: int = 256
    read_queue_max: int = 4096
    writer_threads: int = 2
    reader_threads: int = 2
    statement_timeout_seconds: float = 30.0
    busy_timeout_seconds: float = 10.0


class Observer:
    """Receives events of the engine. This default ignores them."""

    def committed(self, jobs: int, seconds: float) -> None:
        """A batch of `jobs` writes was committed; its COMMIT took `seconds`."""


class Database(ABC):
    """A database of either engine. Thread-safe.

    Attributes:
        embedded: whether it belongs to the one service that uses it. A server is shared, and its
            administrator decides who may use it.
        reads_inline: whether a point read is so quick that an event loop may run it itself.
        name: the name of the database in messages.
        statements_run: statements since the start, for tests that count them.
    """

    embedded: bool
    reads_inline: bool
    engine: str
    name: str

    def __init__(self, limits: EngineLimits, observer: Observer) -> None:
        self.limits = limits
        self.observer = observer
        self.statements_run = 0
        self.damage = ""
        self.builders: dict[tuple[str, type[Any]], Callable[[Sequence[Any]], Any]] = {}
        self._writers: Lane | None = None
        self._readers: Lane | None = None

    def is_damaged(self, reason: object) -> Unavailable:
        """Record that the engine found pages that it cannot read. From now on the database is not ready.

        Returns:
            The error to raise.
        """
        if not self.damage:
            self.damage = f"{self.name} is damaged"
            _log.error(
                "%s: %s. Nothing goes on until it is repaired or restored and rollbook is started again.",
                self.damage,
                " ".join(str(reason).split()),
            )
        return DatabaseDamaged()

    @abstractmethod
    def look_for_damage(self) -> None:
        """Read the whole storage to find damage, where the engine can detect it in this way.

        Raises:
            Unavailable: the storage is damaged.
        """

    @abstractmethod
    def checks(self, services: int) -> list[Check]:
        """The results that `rollbook doctor` shows for the storage or the server. Nothing is changed.

        Args:
            services: the number of processes that will use the database.

        Raises:
            Unavailable: the database cannot be reached.
        """

    @abstractmethod
    def claim(self) -> None:
        """Claim the database for this process where only one service may use it.

        Raises:
            DatabaseInUse: another process holds it.
        """

    # Schema

    @abstractmethod
    def schema_version(self) -> int:
        """The version of the last migration applied; 0 for an empty database."""

    @abstractmethod
    def migrate(self) -> list[str]:
        """Bring the schema up to date under a lock, or set up an empty database. Two processes may do so at
        the same time.

        Returns:
            The names of the migrations that this call applied.

        Raises:
            DatabaseTooNew: a newer rollbook migrated it.
            StrangeDatabase: it belongs to another program.
        """

    def update(self) -> list[str]:
        """`migrate` a database that was set up before.

        Raises:
            NotSetUp: it is empty. Nothing was created.
        """
        if self.schema_version() == 0:
            raise NotSetUp(self.name)
        return self.migrate()

    # Location

    @property
    def is_distributed(self) -> bool:
        """Whether accounts are on several machines. A query over all accounts then needs all machines, and
        fails while one does not answer. Known after the first connection."""
        return False

    def nodes(self) -> Mapping[str, bool]:
        """The machines that hold accounts, as host:port, and whether each answers. Empty if the database is
        not distributed.

        Raises:
            Unavailable: the database cannot be reached.
        """
        return {}

    # Jobs

    def write(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn(tx, *args, **kwargs)` in a transaction. Returns when its changes are on disk.

        Raises:
            Busy: the queue is full. Nothing was changed.
            Unavailable: the database cannot be reached or cannot store the change. Nothing was acknowledged.
            RollbookError: the error that `fn` raised; its changes are undone.
        """
        result: T = wait_for(self.enqueue_write, partial(fn, **kwargs) if kwargs else fn, args)
        return result

    def read(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn(tx, *args, **kwargs)` on one consistent snapshot and return what it returns."""
        result: T = wait_for(self.enqueue_read, partial(fn, **kwargs) if kwargs else fn, args)
        return result

    def enqueue_write(self, job: Job) -> None:
        """Queue a write. Its outcome is delivered after COMMIT has returned.

        Raises:
            Busy: the queue is full.
        """
        if self._writers is None:
            self._writers = self._start_writers()
        self._writers.put(job)

    def enqueue_read(self, job: Job) -> None:
        """Queue a read, which runs in a reader thread.

        Raises:
            Busy: the queue is full.
        """
        if self._readers is None:
            self._readers = self._start_readers()
        self._readers.put(job)

    def read_inline(self, fn: Callable[..., T], *args: Any) -> T:
        """Run a point read in the calling thread. Only for databases with `reads_inline`."""
        return self.read(fn, *args)

    def snapshot(self) -> Snapshot:
        """One state of the database for several point reads in the calling thread. Only for databases with
        `reads_inline`. Close it soon: while it is open the write-ahead log cannot be restarted."""
        raise TypeError(f"{self.engine} does not read in the calling thread")

    @abstractmethod
    def long_read(self) -> AbstractContextManager[Transaction]:
        """One state of the database for a long read, on a separate read-only connection.

        Nothing waits for it, but while it is open the engine cannot discard old versions: SQLite's
        write-ahead log grows by all that is written meanwhile, PostgreSQL keeps replaced rows.

        Raises:
            Unavailable: the database cannot be opened, or the connection was lost.
        """

    @property
    def writes_waiting(self) -> int:
        """Writes queued now."""
        return self._writers.depth if self._writers else 0

    @property
    def reads_waiting(self) -> int:
        """Reads queued now."""
        return self._readers.depth if self._readers else 0

    def close(self) -> None:
        """Finish every write that was accepted, then close the connections."""
        for lane in (self._writers, self._readers):
            if lane is not None:
                lane.close()

    @abstractmethod
    def _start_writers(self) -> Lane: ...

    @abstractmethod
    def _start_readers(self) -> Lane: ...


class Snapshot(Protocol):
    """One state of the database."""

    def read(self, fn: Callable[..., T], *args: Any) -> T:
        """Run `fn(tx, *args)` on this state."""

    def close(self) -> None:
        """Release this state."""
