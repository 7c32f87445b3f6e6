"""What both engines are: a transaction with named statements, and a database with lanes of work."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from rollbook.db.csv import Cell, Piece
from rollbook.db.lanes import BatchFailed, Job, Lane, SetBased, calls, run_many, run_one, wait_for
from rollbook.db.rows import builder, from_epoch
from rollbook.errors import DatabaseDamaged, NotSetUp, Unavailable

T = TypeVar("T")
P = ParamSpec("P")


_log = logging.getLogger("rollbook")

STATEMENTS_KNOWN_MAX = 2_000
"""Texts of statements for which something is remembered. Callers' criteria make ever new ones."""


@dataclass(frozen=True)
class Limits:
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


class Transaction(ABC):
    """Statements inside one transaction. SQL is text with `:name` parameters, alike on both engines.

    A `datetime` parameter must be aware; it is stored as whole seconds since 1970. A list parameter
    goes with `any_of`, a `Rows` parameter with `rows`, an `Integers` parameter with `integers`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._now: datetime | None = None
        self._held: set[tuple[Any, ...]] = set()

    @property
    def now(self) -> datetime:
        """The time of this transaction, in whole seconds, UTC; the same whenever it asks."""
        if self._now is None:
            self._now = from_epoch(int(time.time()))
        return self._now

    @abstractmethod
    def _fetch(
        self, sql: str, params: dict[str, Any], *, names_wanted: bool
    ) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """Run `sql`; its column names (only if wanted, and only if there are rows) and its rows."""

    def all(self, kind: type[T], sql: str, /, **params: Any) -> list[T]:
        """Run a statement; each row comes back as a `kind` (a msgspec Struct, or `int` or `str` for
        one column), its columns matched to the fields by name."""
        builders = self._database.builders
        build = builders.get((sql, kind))
        names, rows = self._fetch(sql, params, names_wanted=build is None)
        if not rows:
            return []
        if build is None:
            if len(builders) >= STATEMENTS_KNOWN_MAX:
                builders.clear()
            build = builders[sql, kind] = builder(kind, names)
        return [build(row) for row in rows]

    def one(self, kind: type[T], sql: str, /, **params: Any) -> T | None:
        """Run a statement that gives at most one row; `None` when it gave none."""
        found = self.all(kind, sql, **params)
        assert len(found) <= 1, sql
        return found[0] if found else None

    def run(self, sql: str, /, **params: Any) -> None:
        """Run a statement whose rows, if any, are not wanted."""
        self._fetch(sql, params, names_wanted=False)

    @abstractmethod
    def insert_new(self, table: str, ids: Sequence[int], sql: str, /, **params: Any) -> Collection[int]:
        """Run an INSERT that leaves out rows whose key is taken (ON CONFLICT DO NOTHING).

        Args:
            table: that it inserts into; has the columns account_id and id.
            ids: of the rows offered, all new.
            sql: without RETURNING.
            params: with `account_id`.

        Returns:
            Those of `ids` whose rows went in.
        """

    @contextmanager
    def part(self) -> Iterator[None]:
        """A part of this transaction that is undone by itself when it raises."""
        self.run("SAVEPOINT part")
        try:
            yield
        except BaseException:
            self.run("ROLLBACK TO SAVEPOINT part")
            self.forget_held()
            self.run("RELEASE SAVEPOINT part")
            raise
        self.run("RELEASE SAVEPOINT part")

    @abstractmethod
    def any_of(self, column: str, name: str) -> str:
        """SQL: `column` is one of the values in the list parameter `name`: a handful of them.

        For more, join `rows`: PostgreSQL without fresh statistics reads the whole account for a long list.
        """

    @abstractmethod
    def contains(self, column: str, name: str) -> str:
        """SQL: the text in `column` has the parameter `name` in it, to the letter (no wildcards)."""

    @abstractmethod
    def rows(self, name: str, /, **types: str) -> str:
        """SQL: the `Rows` parameter `name` as a table of that name, for FROM.

        Args:
            name: of the parameter and of the table.
            types: for each column its SQL type, in the order of the parameter's columns.
        """

    @abstractmethod
    def integers(self, name: str) -> str:
        """SQL: the `Integers` parameter `name` as a table of that name, for FROM: `value`, and `place`, which
        counts from 1. Tens of thousands of them cost next to nothing (docs/decisions/0019)."""

    @abstractmethod
    def exclusively(self, name: str) -> None:
        """Wait until no other transaction holds `name`, then hold it until this one ends."""

    @abstractmethod
    def hold(self, sql: str, /, **params: Any) -> None:
        """Lock the rows that a plain SELECT names until this transaction ends; once is enough."""

    def forget_held(self) -> None:
        """Going back to a savepoint let go of what was locked since."""
        self._held.clear()

    @abstractmethod
    def read_whole_tables(self, *, joined: bool = False) -> None:
        """The rest of this transaction reads most of an account, not single rows of it.

        Args:
            joined: it joins whole tables with each other too, instead of looking up row after row.
        """

    @abstractmethod
    def look_rows_up(self) -> None:
        """The rest of this transaction looks single rows up again, as every transaction does at first."""

    @abstractmethod
    def merged(self, *, any_of: Sequence[str], all_of: Sequence[str], none_of: Sequence[str]) -> str:
        """SQL: a SELECT of the `id`s that are in any of some sets, in all of others and in none of others; it
        reads each set once, from the first to the last.

        Args:
            any_of, all_of, none_of: SELECTs of one column `id`, none of them twice, in the order of an index.
                One of the first two has some; an empty `any_of` asks for nothing. On SQLite the result is
                `in_pieces`.
        """

    @abstractmethod
    def in_pieces(self, key: str) -> str:
        """SQL: ends a SELECT of rows for `csv`, which come in the order of `key`. It takes the parameter
        `most`: how many rows, -1 for all of them."""

    @abstractmethod
    def iso(self, column: str) -> str:
        """SQL: the moment in `column` as ISO 8601 has it, `2022-04-28T14:21:16Z`."""

    @abstractmethod
    def json_text(self, column: str) -> str:
        """SQL: the text or number in `column` as JSON has it."""

    @abstractmethod
    def csv(self, cells: Sequence[Cell], rows: str, where: str = "TRUE", /, **params: Any) -> Iterator[Piece]:
        """The rows of a SELECT as CSV without a head, in the order of their ids, formatted by the engine:
        ten million take no memory.

        Args:
            cells: of each row; they name the columns of `rows` as `source.phone`.
            rows: a SELECT with a column `id`, a whole number above 0, that gives only rows whose id is above
                the parameter `after` (which this sets), and ends with `in_pieces`.
            where: what leaves out some of these rows.
            params: of `rows`, `cells` and `where`: whole numbers and texts.
        """

    def require_sound(self) -> None:
        """Make sure that no statement, whoever ran it, found the database damaged.

        Raises:
            Unavailable: one did.
        """
        if self._database.damage:
            raise DatabaseDamaged()

    @abstractmethod
    def new_ids(self, kind: str, count: int) -> range:
        """Take `count` ids that were never given to a `kind` before, in ascending order."""


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

    def __init__(self, limits: Limits, observer: Observer) -> None:
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
            What callers are told.
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


class BatchRunner(ABC):
    """Runs batches on one connection; each engine says how its transactions begin and end."""

    @abstractmethod
    def begin(self) -> Transaction:
        """Begin a transaction that writes."""

    @abstractmethod
    def commit(self) -> None:
        """Make it durable; raises `BatchFailed` when it is not."""

    @abstractmethod
    def rollback(self) -> None:
        """Undo the whole transaction; never raises."""

    @abstractmethod
    def savepoint(self) -> None:
        """Mark the place that `back_to_savepoint` returns to."""

    @abstractmethod
    def release(self) -> None:
        """Forget the savepoint, keep what was done since."""

    @abstractmethod
    def back_to_savepoint(self) -> None:
        """Undo what came since the savepoint, and forget it; the caller tells the transaction."""

    def run_batch(self, jobs: list[Job], observer: Observer) -> None:
        """Run every call in a savepoint of its own and COMMIT once for all of them.

        Raises:
            BatchFailed: the transaction failed as a whole; no job may be told that it succeeded.
        """
        grouped = calls(jobs)
        if len(grouped) == 1 and self._run_as_statement(grouped[0], observer):
            return
        tx = self.begin()
        try:
            if len(grouped) > 1:
                self._run_groups(grouped, tx)
            elif len(jobs) == 1:
                run_one(jobs[0], tx)
                if jobs[0].error is not None:
                    self.rollback()
                    return
            else:
                try:
                    run_many(jobs, tx)
                except BatchFailed:
                    raise
                except Exception:
                    self.rollback()
                    self._run_groups([[job] for job in jobs], self.begin())
            started = time.perf_counter()
            self.commit()
        except BaseException:
            self.rollback()
            raise
        observer.committed(len(jobs), time.perf_counter() - started)

    def _run_as_statement(self, group: list[Job], observer: Observer) -> bool:
        """Run a call that is a single statement without BEGIN and COMMIT; False where that gains nothing."""
        return False

    def _run_groups(self, grouped: list[list[Job]], tx: Transaction) -> None:
        for group in grouped:
            self.savepoint()
            if len(group) == 1:
                run_one(group[0], tx)
                if group[0].error is None:
                    self.release()
                else:
                    self.back_to_savepoint()
                    tx.forget_held()
                continue
            try:
                run_many(group, tx)
            except BatchFailed:
                raise
            except Exception:
                self.back_to_savepoint()
                tx.forget_held()
                self._run_groups([[job] for job in group], tx)
            else:
                self.release()


__all__ = ["BatchRunner", "Database", "Limits", "Observer", "SetBased", "Transaction"]
