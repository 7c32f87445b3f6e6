"""The server engine: PostgreSQL through psycopg, a few writer threads with group commit.

Each thread owns one connection and reconnects when the server is back; until then callers get
`Unavailable`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import errors as pg

from rollbook.db import citus, migrations, postgres_checks
from rollbook.db.base import Database, EngineLimits, Observer
from rollbook.db.batches import BatchRunner
from rollbook.db.checks import Check
from rollbook.db.citus_transaction import CitusTransaction
from rollbook.db.lanes import BatchFailed, Job, Lane, SetBased, calls, run_many, run_one
from rollbook.db.postgres_connection import Connected, IdBlocks, PostgresServer, translated, uncertain
from rollbook.db.postgres_transaction import SETTINGS, PostgresTransaction
from rollbook.db.transaction import Transaction
from rollbook.errors import Busy, ClusterNotReady, DatabaseTooNew, StrangeDatabase, Unavailable

_log = logging.getLogger("rollbook")

MIGRATION_LOCK = 7_655_661_011
"""The key of the advisory lock for migrations: any number that rollbook does not use for another lock."""


class PostgresDatabase(Database):
    """A database on a PostgreSQL server. Any number of services may share it."""

    embedded = False
    reads_inline = False
    engine = "postgresql"

    def __init__(self, url: str, limits: EngineLimits, observer: Observer) -> None:
        super().__init__(limits, observer)
        place = urlsplit(url)
        self.name = f"The PostgreSQL database {place.path.removeprefix('/') or 'of the URL'}"
        milliseconds = int(limits.statement_timeout_seconds * 1000)
        planner = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
        # A transaction that waited for a lock must see the changes of its former holder, whatever the
        # server's default is.
        options = (
            f"{planner} -c statement_timeout={milliseconds} -c default_transaction_isolation=read\\ committed"
        )
        self.server = PostgresServer(url, options)
        self._ids = IdBlocks(self, self.server)

    def claim(self) -> None:
        """Nothing to claim: any number of services may share a server."""

    def look_for_damage(self) -> None:
        """Nothing to read: the server reports damage when a statement meets it."""

    def checks(self, services: int) -> list[Check]:
        needed = services * (self.limits.writer_threads + self.limits.reader_threads + 1)
        with self._connected() as connection, self._schema_errors():
            found = list(postgres_checks.of_server(connection, connections_needed=needed))
            if self.is_distributed:
                found += postgres_checks.of_cluster(connection, migrations.tables(), SETTINGS)
            return found

    def schema_version(self) -> int:
        with self._connected() as connection, self._schema_errors():
            return self._version(connection)

    def migrate(self) -> list[str]:
        with self._connected() as connection, self._schema_errors():
            connection.execute("SET statement_timeout = 0")
            if self.is_distributed and citus.is_worker(connection):
                self._require_migrated(connection)
                return []
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
                self._version(connection)

                def execute(sql: str) -> Sequence[Sequence[Any]]:
                    cursor = connection.execute(sql.encode())
                    return cursor.fetchall() if cursor.description else ()

                applied = migrations.apply(execute, migrations.POSTGRESQL, self.engine)
            if self.is_distributed and citus.has_nodes(connection):
                self._distribute(connection)
            return applied

    def _require_migrated(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        """On a node that cannot change the schema, check that the schema is up to date."""
        version, newest = self._version(connection), migrations.all_steps()[-1].version
        if version > newest:
            raise DatabaseTooNew(version, newest)
        if version < newest:
            raise ClusterNotReady(
                f"{self.name} is on a worker node of Citus, where the schema cannot be changed, and it is at "
                f"version {version}, not {newest}. Run `rollbook migrate` with the URL of the coordinator."
            )

    def _distribute(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        """Distribute all tables over a cluster, including tables of later migrations and tables that had rows
        before the cluster existed."""
        tables = migrations.tables()
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
            placed = citus.distribute(connection, tables, SETTINGS)
        if placed:
            _log.warning("Distributed %d tables over the nodes of Citus.", placed)
        citus.drop_copies(connection, tables)

    @property
    def is_distributed(self) -> bool:
        return self.server.is_citus

    def nodes(self) -> Mapping[str, bool]:
        if not self.is_distributed:
            return {}
        with self._connected() as connection, self._schema_errors():
            return citus.nodes(connection)

    def _version(self, connection: psycopg.Connection[tuple[Any, ...]]) -> int:
        """See `schema_version`. Raises `StrangeDatabase` if the migrations belong to another program."""
        found = connection.execute("SELECT to_regclass('schema_migration')").fetchone()
        if found is None or found[0] is None:
            return 0
        try:
            first = connection.execute(migrations.FIRST).fetchone()
            version = connection.execute(migrations.VERSION).fetchone()
        except (pg.UndefinedColumn, pg.DatatypeMismatch, pg.UndefinedFunction) as error:
            raise StrangeDatabase(self.name) from error
        assert version is not None
        if version[0] and first != (migrations.all_steps()[0].name,):
            raise StrangeDatabase(self.name)
        return int(version[0])

    @contextmanager
    def _schema_errors(self) -> Iterator[None]:
        """Turn errors of the schema of a database into sentences."""
        try:
            yield
        except (pg.DuplicateTable, pg.DuplicateObject, pg.WrongObjectType) as error:
            raise StrangeDatabase(self.name) from error
        except (pg.InsufficientPrivilege, pg.InternalError_, psycopg.OperationalError) as error:
            reason = str(error).partition("\n")[0]
            raise Unavailable(f"{self.name} cannot be used: {reason}.") from error

    @contextmanager
    def long_read(self) -> Iterator[Transaction]:
        connection = self._connected()
        try:
            with translated(self):
                connection.execute("SET statement_timeout = 0")
                connection.execute("SET idle_in_transaction_session_timeout = 0")
                connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield self.transaction(connection)
        except BatchFailed as failed:
            raise failed.error from failed
        finally:
            connection.close()

    def close(self) -> None:
        super().close()
        self._ids.close()

    def transaction(self, connection: psycopg.Connection[tuple[Any, ...]]) -> PostgresTransaction:
        """Statements on `connection`: in its open transaction, or each in a transaction by itself."""
        kind = CitusTransaction if self.is_distributed else PostgresTransaction
        return kind(self, connection, self._ids)

    def _connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        try:
            return self.server.connect()
        except BatchFailed as failed:
            raise failed.error from failed

    def _start_writers(self) -> Lane:
        return Lane(
            "postgres-writer",
            lambda: _Writer(self),
            threads=self.limits.writer_threads,
            batch_max=self.limits.write_batch_max,
            queue_max=self.limits.write_queue_max,
            one_account=lambda: self.is_distributed,
        )

    def _start_readers(self) -> Lane:
        return Lane(
            "postgres-reader",
            lambda: _Reader(self),
            threads=self.limits.reader_threads,
            batch_max=self.limits.write_batch_max,
            queue_max=self.limits.read_queue_max,
            one_account=lambda: self.is_distributed,
        )


class _Writer(Connected, BatchRunner):
    """One of the write connections. The lanes of each engine run on `_Writer`s and `_Reader`s."""

    _open: psycopg.Connection[tuple[Any, ...]]
    """The connection of the current transaction; it is never replaced in the middle of one."""

    def __init__(self, database: PostgresDatabase) -> None:
        super().__init__(database.server)
        self._database = database

    def run(self, jobs: list[Job]) -> None:
        self.again(lambda: self.run_batch(jobs, self._database.observer))

    def _run_as_statement(self, group: list[Job], observer: Observer) -> bool:
        fn = group[0].fn
        if self._database.is_distributed:
            return False  # if a node is lost meanwhile, it is unknown whether the statement was stored
        if not isinstance(fn, SetBased) or not fn.one_statement([job.args[1] for job in group]):
            return False
        tx = self._database.transaction(self.connection)
        started = time.perf_counter()
        try:
            if len(group) == 1:
                run_one(group[0], tx)
            else:
                run_many(group, tx)
        except BatchFailed as failed:
            if isinstance(failed.__cause__, psycopg.OperationalError) and self.is_broken:
                raise uncertain() from failed  # the statement was its own COMMIT
            raise
        except Exception:
            return False  # nothing was stored; run one by one, each gets its own error
        observer.committed(len(group), time.perf_counter() - started)
        for job in group:
            job.seconds = 0.0  # most of the time was the commit, which a larger group shares
        return True

    def begin(self) -> Transaction:
        self._open = self.connection
        self._execute("BEGIN")
        return self._database.transaction(self._open)

    def commit(self) -> None:
        try:
            ended = self._open.execute("COMMIT").statusmessage
        except (pg.SerializationFailure, pg.DeadlockDetected) as error:
            raise BatchFailed(Busy("The change met another one; try again."), again=True) from error
        except psycopg.OperationalError as error:
            raise uncertain() from error
        except psycopg.Error as error:
            if citus.is_of_a_node(error):
                raise uncertain() from error
            raise BatchFailed(Unavailable("The database did not store the change.")) from error
        if ended != "COMMIT":  # the server answers ROLLBACK, not an error, to COMMIT after a failure
            raise BatchFailed(Unavailable("The database did not store the change."))

    def rollback(self) -> None:
        if self._open.closed:
            return
        try:
            self._open.execute("ROLLBACK")
        except psycopg.Error:
            self._open.close()

    def savepoint(self) -> None:
        self._execute("SAVEPOINT call")

    def release(self) -> None:
        self._execute("RELEASE SAVEPOINT call")

    def back_to_savepoint(self) -> None:
        self._execute("ROLLBACK TO SAVEPOINT call")
        self._execute("RELEASE SAVEPOINT call")

    def _execute(self, sql: str) -> None:
        with translated(self._database):
            self._open.execute(sql.encode())


class _Reader(Connected):
    """One of the read connections."""

    def __init__(self, database: PostgresDatabase) -> None:
        super().__init__(database.server)
        self._database = database

    def run(self, jobs: list[Job]) -> None:
        for group in calls(jobs):
            try:
                self.again(partial(self._answer, group))
            except BatchFailed as failed:
                for job in group:
                    job.error = failed.error

    def _answer(self, group: list[Job]) -> None:
        connection = self.connection
        tx = self._database.transaction(connection)
        if len(group) > 1:
            run_many(group, tx)
        elif isinstance(group[0].fn, SetBased):  # one statement is a snapshot by itself
            run_one(group[0], tx)
        else:
            with translated(self._database), connection.transaction():
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                run_one(group[0], tx)
