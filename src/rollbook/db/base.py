"""What both engines are: a database with lanes of work, and the limits of these."""

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
    """Sizes of the machinery around an engine.

    Args:
        write_queue_max: writes that may wait before the next one is refused (503).
        write_batch_max: writes that share one COMMIT, at most.
        read_queue_max: reads that may wait for a thread before the next one is refused (503).
        writer_threads: on PostgreSQL, connections that write; SQLite has exactly one.
        reader_threads: connections that read in a thread of their own.
        statement_timeout_seconds: on PostgreSQL, what one statement may take.
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
    """Told what the engine does; the default keeps nothing."""

    def committed(self, jobs: int, seconds: float) -> None:
        """A batch of `jobs` writes was committed; its COMMIT took `seconds`."""


class Database(ABC):
    """A database of either engine. Thread-safe.

    Attributes:
        embedded: it belongs to the one service that uses it; on a server, whoever runs that decides who may.
        reads_inline: a point read is so quick that an event loop may run it itself.
        name: what messages call it.
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
        """The engine found pages that it cannot read: from now on the database is not ready.

        Returns:
            What callers get.
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
        """Read all of the storage, where the engine can tell by that whether it is damaged.

        Raises:
            Unavailable: it is.
        """

    @abstractmethod
    def checks(self, services: int) -> list[Check]:
        """What `rollbook doctor` shows of the storage or the server; changes nothing.

        Args:
            services: processes that will use the database.

        Raises:
            Unavailable: it cannot be asked.
        """

    @abstractmethod
    def claim(self) -> None:
        """Hold the database for this process where only one service may use it.

        Raises:
            DatabaseInUse: another process holds it.
        """

    # Schema

    @abstractmethod
    def schema_version(self) -> int:
        """The version of the last migration applied; 0 for an empty database."""

    @abstractmethod
    def migrate(self) -> list[str]:
        """Bring the schema up to date under a lock, or set an empty database up; safe when two processes
        start at once.

        Returns:
            The names of the migrations that this call applied.

        Raises:
            DatabaseTooNew: a newer rollbook migrated it.
            StrangeDatabase: it is another program's.
        """

    def update(self) -> list[str]:
        """`migrate` a database that was set up before.

        Raises:
            NotSetUp: it is empty. Nothing was made.
        """
        if self.schema_version() == 0:
            raise NotSetUp(self.name)
        return self.migrate()

    # Where it is

    @property
    def is_distributed(self) -> bool:
        """Accounts are on several machines: a question about all of them asks all of these, and fails while
        one is away. Known once there was a connection."""
        return False

    def nodes(self) -> Mapping[str, bool]:
        """The machines that hold accounts, as host:port, and whether each answers; none where the database is
        not distributed.

        Raises:
            Unavailable: the database cannot be reached.
        """
        return {}

    # Work

    def write(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn(tx, *args, **kwargs)` in a transaction; returns when it is on disk.

        Raises:
            Busy: the queue is full. Nothing was changed.
            Unavailable: the database cannot be reached or cannot store. Nothing was acknowledged.
            RollbookError: whatever `fn` raised; its changes are undone.
        """
        result: T = wait_for(self.enqueue_write, partial(fn, **kwargs) if kwargs else fn, args)
        return result

    def read(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn(tx, *args, **kwargs)` on one consistent snapshot and return what it returns."""
        result: T = wait_for(self.enqueue_read, partial(fn, **kwargs) if kwargs else fn, args)
        return result

    def enqueue_write(self, job: Job) -> None:
        """Queue a write; its outcome is delivered once COMMIT returned.

        Raises:
            Busy: the queue is full.
        """
        if self._writers is None:
            self._writers = self._start_writers()
        self._writers.put(job)

    def enqueue_read(self, job: Job) -> None:
        """Queue a read for a thread of its own.

        Raises:
            Busy: the queue is full.
        """
        if self._readers is None:
            self._readers = self._start_readers()
        self._readers.put(job)

    def read_inline(self, fn: Callable[..., T], *args: Any) -> T:
        """Run a point read in the calling thread; only where `reads_inline`."""
        return self.read(fn, *args)

    def snapshot(self) -> Snapshot:
        """One state of the database for several point reads in the calling thread; only where
        `reads_inline`. Close it soon: while it is open the write-ahead log cannot begin anew."""
        raise TypeError(f"{self.engine} does not read in the calling thread")

    @abstractmethod
    def long_read(self) -> AbstractContextManager[Transaction]:
        """One state of the database for as long as it takes, on a connection of its own, for reading only.

        Nothing waits for it, but while it is open nothing that is newer can be cleared away: SQLite's
        write-ahead log grows by all that is written meanwhile, PostgreSQL keeps replaced rows.

        Raises:
            Unavailable: the database cannot be opened, or went away.
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
        """Run `fn(tx, *args)` on it."""

    def close(self) -> None:
        """Let go of it."""
