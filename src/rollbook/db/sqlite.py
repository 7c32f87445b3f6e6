"""The embedded engine: SQLite through apsw, one writer thread with group commit, and reader threads.

A second copy of libsqlite (another driver) must never open the same file in the same process: closing its
handle drops the POSIX locks of this one (https://www.sqlite.org/howtocorrupt.html, section 2.2).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import apsw

from rollbook.db import migrations
from rollbook.db.base import Database, EngineLimits, Observer, Snapshot
from rollbook.db.batches import BatchRunner
from rollbook.db.checks import Check
from rollbook.db.file import APPLICATION_ID, DatabaseFile
from rollbook.db.lanes import BatchFailed, Job, Lane, SetBased
from rollbook.db.sqlite_transaction import SqliteTransaction
from rollbook.db.transaction import Transaction
from rollbook.errors import Busy, DatabaseDamaged, Unavailable

T = TypeVar("T")

WAL_PAGES_MAX = 4000
"""Pages (4 KiB) in the write-ahead log before it is copied back into the database: 16 MB."""

MAPPED_BYTES = 2_147_418_112
"""The part of the file that is memory-mapped, the maximum of SQLite. Reading a page of 4 KiB with a system
call costs several times as much as finding a row in it (docs/decisions/0018)."""

WRITER_CACHE_KIB = 65_536
"""The page cache of the writer: pages that a call changes for thousands of rows must not go to the log
twice."""

BUSY_LOOK_SECONDS = 0.001
"""The time between two checks of whether another process has released the database."""

LONG_READ_CACHE_KIB = 32_768
"""The page cache of a long read. It does not map its file: mapped pages count as memory of the process, up to
2 GB, and a sequential read is just as fast without them (docs/decisions/0022)."""

STATEMENT_CACHE = 256
"""The number of prepared statements that each connection keeps."""

_READING = (
    apsw.SQLITE_IOERR_READ,
    apsw.SQLITE_IOERR_SHORT_READ,
    apsw.SQLITE_IOERR_DATA,
    apsw.SQLITE_IOERR_CORRUPTFS,
)


class SqliteDatabase(Database):
    """A database in one local file. Only one service may use it at a time; see `claim`."""

    embedded = True
    reads_inline = True
    engine = "sqlite"

    def __init__(self, path: str, limits: EngineLimits, observer: Observer, *, create: bool = False) -> None:
        super().__init__(limits, observer)
        self.path, self.name = path, f"The database {path}"
        self.file = DatabaseFile(path)
        self._recognized = False
        self.file.find(create=create)
        first = self._connect()
        try:
            with self._storage_errors():
                self.file.recognize(first)
        except BaseException:
            first.close()
            raise
        self._recognized = True
        self._idle_readers: deque[apsw.Connection] = deque([first])

    def claim(self) -> None:
        try:
            self.file.claim()
        except BaseException:
            self.close()
            raise

    def checks(self, services: int) -> list[Check]:
        connection = self._connect()
        try:
            with self._storage_errors():
                [(mode,)] = connection.execute("PRAGMA journal_mode").fetchall()
        finally:
            connection.close()
        is_log = mode == "wal"
        return [
            Check("SQLite", "ok", apsw.sqlite_lib_version()),
            Check(
                "journal mode",
                "ok" if is_log else "warning",
                str(mode),
                "" if is_log else "it becomes wal with the next start or rollbook migrate",
            ),
            *self.file.checks(),
        ]

    def schema_version(self) -> int:
        connection = self._connect()
        try:
            with self._storage_errors():
                found = connection.execute(
                    "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migration'"
                ).fetchall()
                if not found:
                    return 0
                [(version,)] = connection.execute(migrations.VERSION).fetchall()
            assert isinstance(version, int)
            return version
        finally:
            connection.close()

    def migrate(self) -> list[str]:
        connection = self._connect()
        try:
            with self._storage_errors():
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("BEGIN IMMEDIATE")
                try:
                    self.file.recognize(connection)
                    applied = migrations.apply(
                        lambda sql: connection.execute(sql).fetchall(), migrations.SQLITE, self.engine
                    )
                    if applied:
                        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
                connection.execute("COMMIT")
            return applied
        finally:
            connection.close()

    def read_inline(self, fn: Callable[..., T], *args: Any) -> T:
        self._look_now_and_then()
        connection = self._reader()
        try:
            return self._read(connection, fn, args)
        finally:
            self._idle_readers.append(connection)

    def snapshot(self) -> Snapshot:
        self._look_now_and_then()
        return _Snapshot(self, self._reader(), self._idle_readers)

    @contextmanager
    def long_read(self) -> Iterator[Transaction]:
        connection = self._connect()
        try:
            with self._storage_errors():
                connection.execute("PRAGMA mmap_size = 0")
                connection.execute("PRAGMA query_only = ON")
                connection.execute(f"PRAGMA cache_size = -{LONG_READ_CACHE_KIB}")
                connection.execute("BEGIN")
            yield SqliteTransaction(self, connection)
        except BatchFailed as failed:
            raise failed.error from failed
        finally:
            connection.close()

    def close(self) -> None:
        super().close()
        while self._idle_readers:
            self._idle_readers.pop().close()
        self.file.release()

    def _reader(self) -> apsw.Connection:
        try:
            return self._idle_readers.pop()
        except IndexError:
            return self._connect()

    @contextmanager
    def _storage_errors(self) -> Iterator[None]:
        """Turn errors of the file or its disk into the errors that callers get."""
        try:
            yield
        except (apsw.Error, UnicodeDecodeError) as error:
            if unavailable := self.unavailable(error):
                raise unavailable from error
            raise

    def unavailable(self, error: Exception) -> Unavailable | None:
        """The error that callers get for an error of the file or its disk; `None` for errors of a
        statement."""
        if isinstance(error, (apsw.BusyError, apsw.LockedError)):
            return Busy("Another process holds the database; try again.")
        if isinstance(error, apsw.NotADBError) and not self._recognized:
            return Unavailable(f"{self.name} cannot be used: {error}.", retry_after_seconds=30)
        if isinstance(error, (apsw.CorruptError, apsw.NotADBError, UnicodeDecodeError)):
            return self.is_damaged(error)
        if isinstance(error, apsw.IOError) and getattr(error, "extendedresult", 0) in _READING:
            return Unavailable(f"The storage does not give the data: {error}.", retry_after_seconds=30)
        if isinstance(error, (apsw.FullError, apsw.IOError)):
            return Unavailable("The storage did not take the change (is the disk full?); nothing was stored.")
        if isinstance(error, (apsw.ReadOnlyError, apsw.CantOpenError)):
            return Unavailable(f"The database cannot be used: {error}.", retry_after_seconds=30)
        return None

    def look_for_damage(self) -> None:
        connection = self._connect()
        try:
            with self._storage_errors():
                [(found,)] = connection.execute("PRAGMA quick_check(1)").fetchall()
        finally:
            connection.close()
        if found != "ok":
            raise self.is_damaged(found)

    def look(self, *, stored: bool = False) -> None:
        """Make sure that the file is still the one that was opened, and that no damage was found.

        Args:
            stored: whether a change was just written to it.

        Raises:
            Unavailable: the file was replaced or is damaged.
        """
        self.file.look(stored=stored)
        if self.damage:
            raise DatabaseDamaged()

    def _look_now_and_then(self) -> None:
        self.file.look_now_and_then()
        if self.damage:
            raise DatabaseDamaged()

    def _connect(self) -> apsw.Connection:
        """Open a connection to the same file that was opened first.

        Raises:
            Unavailable: the file cannot be opened, or was replaced by another one.
        """
        try:
            connection = apsw.Connection(
                self.file.path, flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=STATEMENT_CACHE
            )
        except apsw.Error as error:
            raise Unavailable(f"The database {self.path} cannot be opened: {error}.") from error
        try:
            self.file.look()
            connection.set_busy_handler(_Patience(self.limits.busy_timeout_seconds))
            with self._storage_errors():
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES_MAX}")
                connection.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _read(self, connection: apsw.Connection, fn: Callable[..., T], args: tuple[Any, ...]) -> T:
        try:
            if isinstance(fn, SetBased):  # one statement is a snapshot by itself
                found: T = fn.one(SqliteTransaction(self, connection), *args)
                return found
        except BatchFailed as failed:
            raise failed.error from failed
        snapshot = _Snapshot(self, connection)
        try:
            return snapshot.read(fn, *args)
        finally:
            snapshot.close()

    def _start_writers(self) -> Lane:
        connection = self._connect()
        connection.execute(f"PRAGMA cache_size = -{WRITER_CACHE_KIB}")
        return Lane(
            "sqlite-writer",
            lambda: _Writer(self, connection),
            threads=1,
            batch_max=self.limits.write_batch_max,
            queue_max=self.limits.write_queue_max,
        )

    def _start_readers(self) -> Lane:
        return Lane(
            "sqlite-reader",
            lambda: _Reader(self),
            threads=self.limits.reader_threads,
            batch_max=1,
            queue_max=self.limits.read_queue_max,
        )


class _Snapshot:
    """A read transaction that stays open for several reads, which share its locks."""

    def __init__(
        self,
        database: SqliteDatabase,
        connection: apsw.Connection,
        back_to: deque[apsw.Connection] | None = None,
    ) -> None:
        self._connection = connection
        self._tx = SqliteTransaction(database, connection)
        self._back_to = back_to
        connection.execute("BEGIN")

    def read(self, fn: Callable[..., T], *args: Any) -> T:
        try:
            return fn(self._tx, *args)
        except BatchFailed as failed:
            raise failed.error from failed

    def close(self) -> None:
        if self._connection.in_transaction:
            try:
                self._connection.execute("COMMIT")
            except apsw.Error:  # damaged: the reader has got the error already
                with suppress(apsw.Error):
                    self._connection.execute("ROLLBACK")
        if self._back_to is not None:
            self._back_to.append(self._connection)


class _Patience:
    """Waits for another process that writes, and checks every millisecond whether it has finished.

    SQLite's own handler checks less and less often, down to once in 100 ms. During an import, which releases
    the database for a few milliseconds between chunks, it would wait for many chunks instead of one.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = 0.0

    def __call__(self, calls_before: int) -> bool:
        if calls_before == 0:
            self._until = time.monotonic() + self._seconds
        time.sleep(BUSY_LOOK_SECONDS)
        return time.monotonic() < self._until


class _Writer(BatchRunner):
    """The only write connection."""

    def __init__(self, database: SqliteDatabase, connection: apsw.Connection) -> None:
        self._database = database
        self._connection = connection

    def begin(self) -> Transaction:
        self._look()
        self._execute("BEGIN IMMEDIATE")
        self._database.file.remember_log()
        return SqliteTransaction(self._database, self._connection)

    def commit(self) -> None:
        self._execute("COMMIT")
        self._look(stored=True)  # changes to a deleted file are lost when the process ends

    def rollback(self) -> None:
        if self._connection.in_transaction:
            with suppress(apsw.Error):
                self._connection.execute("ROLLBACK")

    def savepoint(self) -> None:
        self._execute("SAVEPOINT call")

    def release(self) -> None:
        self._execute("RELEASE call")

    def back_to_savepoint(self) -> None:
        self._execute("ROLLBACK TO call")
        self._execute("RELEASE call")

    def run(self, jobs: list[Job]) -> None:
        self.run_batch(jobs, self._database.observer)

    def close(self) -> None:
        self._connection.close()

    def _look(self, *, stored: bool = False) -> None:
        try:
            self._database.look(stored=stored)
        except Unavailable as error:
            raise BatchFailed(error) from error

    def _execute(self, sql: str) -> None:
        try:
            self._connection.execute(sql)
        except (apsw.Error, UnicodeDecodeError) as error:
            if unavailable := self._database.unavailable(error):
                raise BatchFailed(unavailable) from error
            raise


class _Reader:
    """Runs reads that would block an event loop, in a thread."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    def run(self, jobs: list[Job]) -> None:
        for job in jobs:
            try:
                self._database.look()
                job.value = self._database.read_inline(job.fn, *job.args)
            except Exception as error:
                job.error = error

    def close(self) -> None:
        """Nothing to close: the connections return to the database, which closes them."""
