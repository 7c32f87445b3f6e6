"""The server engine: PostgreSQL through psycopg, a few writer threads with group commit.

Each thread owns one connection and opens it anew when the server comes back; callers meanwhile get
`Unavailable`.
"""

from __future__ import annotations

import logging
import random
import re
import select
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache, partial
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psycopg
from psycopg import errors as pg

from rollbook.db import migrations
from rollbook.db.base import (
    STATEMENTS_KNOWN_MAX,
    BatchRunner,
    Database,
    Limits,
    Observer,
    Transaction,
)
from rollbook.db.csv import PIECE_ROWS, Cell, Piece
from rollbook.db.lanes import BatchFailed, Job, Lane, SetBased, Taken, calls, run_many, run_one
from rollbook.db.rows import Integers, Rows
from rollbook.errors import Busy, StrangeDatabase, Unavailable

T = TypeVar("T")

_log = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS = 5
"""How long a caller may wait for a server that does not answer at all."""

ATTEMPTS_MAX = 8
"""How often a batch is run when it meets a deadlock or a connection that died while idle."""

ID_BLOCK = 1000
"""Ids that one process takes at a time; what is left when it ends stays unused."""

MIGRATION_LOCK = 7_655_661_011
"""Key of the advisory lock under which migrations run; any number that nothing else here uses."""


_NO_DATABASE = re.compile(r'FATAL:\s+database "([^"]*)" does not exist')
"""What the server says when it is asked for a database that it does not have; there is no code with it."""


_LOOK_UPS = {
    "join_collapse_limit": "1",
    "enable_nestloop": "on",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_hashagg": "on",
    "enable_material": "off",
    "random_page_cost": "0.01",
    "cpu_operator_cost": "0.0001",
    "cpu_index_tuple_cost": "0.001",
}
"""What the planner is told in every session. An account without statistics is taken to be small, and reading
all of it to be cheap. A service looks rows up: tables are joined in the order they are written in, by index,
and an index look-up costs less than anything else (docs/decisions/0018)."""

_USUAL = {
    "join_collapse_limit": "8",
    "enable_nestloop": "on",
    "enable_hashjoin": "on",
    "enable_mergejoin": "on",
    "enable_hashagg": "on",
    "enable_material": "on",
    "random_page_cost": "4",
    "cpu_operator_cost": "0.0025",
    "cpu_index_tuple_cost": "0.005",
}
"""What the planner's settings are where the service does not change them."""

_JOINED = _USUAL | {"enable_nestloop": "off", "enable_hashagg": "off"}
"""For joining whole tables: of an account that is taken to be small, the planner would look millions of rows
up, or keep too much in hash tables; sorted indexes merge (docs/decisions/0022)."""


class PostgresDatabase(Database):
    """A database on a PostgreSQL server; any number of services may share it."""

    embedded = False
    reads_inline = False
    engine = "postgresql"

    def __init__(self, url: str, limits: Limits, observer: Observer) -> None:
        super().__init__(limits, observer)
        self.url = url
        place = urlsplit(url)
        self.name = f"The PostgreSQL database {place.path.removeprefix('/') or 'of the URL'}"
        self._ids = _IdBlocks(self)
        self._reachable = True
        milliseconds = int(limits.statement_timeout_seconds * 1000)
        planner = " ".join(f"-c {name}={value}" for name, value in _LOOK_UPS.items())
        # Whoever waited for a lock must then see what its holder did, whatever the server's default is.
        self._options = (
            f"{planner} -c plan_cache_mode=force_custom_plan -c statement_timeout={milliseconds} "
            "-c default_transaction_isolation=read\\ committed"
        )

    def claim(self) -> None:
        """Any number of services may share a server: nothing to hold."""

    def look_for_damage(self) -> None:
        """The server tells when a statement meets it."""

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Open a connection; says in the log when the server goes away and when it is back.

        Raises:
            BatchFailed: the server cannot be reached or refuses.
        """
        try:
            connection = psycopg.connect(
                self.url,
                autocommit=True,
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                options=self._options,
                application_name="rollbook",
                client_encoding="UTF8",
                keepalives_idle=30,
                tcp_user_timeout=30_000,
            )
        except psycopg.ProgrammingError as error:  # libpq cannot read the URL
            told = f"The database URL cannot be used: {' '.join(str(error).split())}."
            raise BatchFailed(Unavailable(told, retry_after_seconds=30)) from error
        except psycopg.Error as error:
            server = urlsplit(self.url).hostname or "its socket"
            told = f"The PostgreSQL server at {server} cannot be reached."
            if missing := _NO_DATABASE.search(str(error)):
                told = (
                    f"The PostgreSQL server at {server} has no database {missing[1]}: is the URL right? "
                    "`createdb` makes one, rollbook does not."
                )
            if self._reachable:
                self._reachable = False
                _log.error("%s %s", told, " ".join(str(error).split()))
            raise BatchFailed(Unavailable(told, retry_after_seconds=2)) from error
        if not self._reachable:
            self._reachable = True
            _log.warning("The PostgreSQL server is reached again.")
        return connection

    def schema_version(self) -> int:
        with self._connected() as connection, self._told():
            return self._version(connection)

    def migrate(self) -> list[str]:
        with self._connected() as connection, self._told():
            connection.execute("SET statement_timeout = 0")
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
                self._version(connection)

                def execute(sql: str) -> Sequence[Sequence[Any]]:
                    cursor = connection.execute(sql.encode())
                    return cursor.fetchall() if cursor.description else ()

                return migrations.apply(execute, migrations.POSTGRESQL, self.engine)

    def _version(self, connection: psycopg.Connection[tuple[Any, ...]]) -> int:
        """See `schema_version`; raises `StrangeDatabase` where the migrations are another program's."""
        found = connection.execute("SELECT to_regclass('schema_migration')").fetchone()
        if found is None or found[0] is None:
            return 0
        try:
            first = connection.execute(migrations.FIRST).fetchone()
            version = connection.execute(migrations.VERSION).fetchone()
        except (pg.UndefinedColumn, pg.DatatypeMismatch, pg.UndefinedFunction) as error:
            raise StrangeDatabase(self.name) from error
        assert version is not None
        if version[0] and first != (migrations.known()[0].name,):
            raise StrangeDatabase(self.name)
        return int(version[0])

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turns what can be wrong with the schema of a database into sentences."""
        try:
            yield
        except (pg.DuplicateTable, pg.DuplicateObject, pg.WrongObjectType) as error:
            raise StrangeDatabase(self.name) from error
        except (pg.InsufficientPrivilege, psycopg.OperationalError) as error:
            reason = str(error).partition("\n")[0]
            raise Unavailable(f"{self.name} cannot be used: {reason}.") from error

    @contextmanager
    def long_read(self) -> Iterator[Transaction]:
        connection = self._connected()
        try:
            with _translated(self):
                connection.execute("SET statement_timeout = 0")
                connection.execute("SET idle_in_transaction_session_timeout = 0")
                connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield PostgresTransaction(self, connection)
        except BatchFailed as failed:
            raise failed.error from failed
        finally:
            connection.close()

    def close(self) -> None:
        super().close()
        self._ids.close()

    def take_ids(self, kind: str, count: int) -> range:
        """See `Transaction.new_ids`."""
        return self._ids.take(kind, count)

    def _connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        try:
            return self.connect()
        except BatchFailed as failed:
            raise failed.error from failed

    def _start_writers(self) -> Lane:
        return Lane(
            "postgres-writer",
            lambda: _Writer(self),
            threads=self.limits.writer_threads,
            batch_max=self.limits.write_batch_max,
            queue_max=self.limits.write_queue_max,
        )

    def _start_readers(self) -> Lane:
        return Lane(
            "postgres-reader",
            lambda: _Reader(self),
            threads=self.limits.reader_threads,
            batch_max=self.limits.write_batch_max,
            queue_max=self.limits.read_queue_max,
        )


class PostgresTransaction(Transaction):
    """Statements on PostgreSQL."""

    def __init__(self, database: PostgresDatabase, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        super().__init__(database)
        self._connection = connection
        self._take_ids = database.take_ids

    def _fetch(
        self, sql: str, params: dict[str, Any], *, names_wanted: bool
    ) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        self._database.statements_run += 1
        bound: dict[str, Any] = {}
        for name, value in params.items():
            if isinstance(value, Rows):
                for column, values in value.columns.items():
                    bound[f"{name}__{column}"] = _array(values)
            elif isinstance(value, Integers):
                bound[name] = _array(value.values.tolist())
            elif isinstance(value, datetime):
                bound[name] = int(value.timestamp())
            else:
                bound[name] = value
        with _translated(self._database):
            cursor = self._connection.execute(_percent(sql), bound)
            description = cursor.description
            if description is None:
                return (), ()
            rows = cursor.fetchall()
        return ([column.name for column in description] if names_wanted else ()), rows

    def any_of(self, column: str, name: str) -> str:
        return f"{column} = ANY(:{name})"

    def contains(self, column: str, name: str) -> str:
        return f"strpos({column}, :{name}) > 0"

    def rows(self, name: str, /, **types: str) -> str:
        arrays = ", ".join(f"CAST(:{name}__{column} AS {type_}[])" for column, type_ in types.items())
        return f"unnest({arrays}) AS {name} ({', '.join(types)})"

    def integers(self, name: str) -> str:
        return f"unnest(CAST(:{name} AS bigint[])) WITH ORDINALITY AS {name} (value, place)"

    def insert_new(self, table: str, ids: Sequence[int], sql: str, /, **params: Any) -> Collection[int]:
        return set(self.all(int, f"{sql} RETURNING id", **params))

    def exclusively(self, name: str) -> None:
        self.run("SELECT pg_advisory_xact_lock(hashtext(:name))", name=name)

    def hold(self, sql: str, /, **params: Any) -> None:
        key = (sql, *params.values())
        if key not in self._held:
            self.run(f"{sql} FOR UPDATE", **params)
            self._held.add(key)

    def read_whole_tables(self, *, joined: bool = False) -> None:
        self._plan(_JOINED if joined else _USUAL)

    def look_rows_up(self) -> None:
        self._plan(_LOOK_UPS)

    def _plan(self, settings: Mapping[str, str]) -> None:
        changes = ", ".join(f"set_config('{name}', '{value}', TRUE)" for name, value in settings.items())
        self.run(f"SELECT {changes}")

    def merged(self, *, any_of: Sequence[str], all_of: Sequence[str], none_of: Sequence[str]) -> str:
        # Semi-joins and anti-joins of sorted indexes are merged: 10 M less 1 M ids take 1.3 s, EXCEPT 7 s.
        union = f"SELECT DISTINCT id FROM ({' UNION ALL '.join(any_of)}) AS united"
        base, *others = [*all_of, union] if any_of else all_of
        among = "EXISTS (SELECT 1 FROM ({}) AS other WHERE other.id = base.id)"
        conditions = [among.format(other) for other in others]
        conditions += [f"NOT {among.format(other)}" for other in none_of]
        return f"SELECT base.id FROM ({base}) AS base WHERE {' AND '.join(conditions) or 'TRUE'}"

    def in_pieces(self, key: str) -> str:
        return ""

    def iso(self, column: str) -> str:
        return (
            f"to_char(to_timestamp({column}) AT TIME ZONE 'UTC', "
            """'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""
        )

    def json_text(self, column: str) -> str:
        return f"CAST(to_json({column}) AS text)"

    def csv(self, cells: Sequence[Cell], rows: str, where: str = "TRUE", /, **params: Any) -> Iterator[Piece]:
        self._database.statements_run += 1
        columns = ", ".join(f"{cell.sql} AS cell_{number}" for number, cell in enumerate(cells))
        quoted = ", ".join(f"cell_{number}" for number, cell in enumerate(cells) if cell.quoted)
        sql = f"""
            COPY (SELECT {columns} FROM ({rows}) AS source WHERE {where} ORDER BY source.id)
            TO STDOUT (FORMAT csv{f", FORCE_QUOTE ({quoted})" if quoted else ""})
        """
        with (
            _translated(self._database),
            self._connection.cursor() as cursor,
            cursor.copy(_percent(sql), {**params, "after": 0}) as copy,
        ):
            waiting = iter(copy)
            while lines := list(islice(waiting, PIECE_ROWS)):
                yield Piece(len(lines), b"".join(lines))

    def new_ids(self, kind: str, count: int) -> range:
        return self._take_ids(kind, count)


class _Connected:
    """A connection that is opened when needed and forgotten when it broke."""

    def __init__(self, database: PostgresDatabase) -> None:
        self.database = database
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    @property
    def connection(self) -> psycopg.Connection[tuple[Any, ...]]:
        """The connection, a new one when the server closed it while it was idle."""
        if self._connection is not None and not self._connection.closed:
            readable, _, _ = select.select([self._connection.fileno()], [], [], 0)
            if readable:  # a server that has something to say unasked has most likely said goodbye
                try:
                    self._connection.pgconn.consume_input()
                except psycopg.OperationalError:
                    self._connection.close()
        if self._connection is None or self._connection.closed:
            self._connection = self.database.connect()
        return self._connection

    def _is_broken(self) -> bool:
        return self._connection is None or self._connection.broken or self._connection.closed

    def again(self, work: Callable[[], None]) -> None:
        """Run `work`, and once more after what it may safely be repeated for.

        Raises:
            BatchFailed: it did not work.
        """
        for attempt in range(ATTEMPTS_MAX):
            try:
                work()
                return
            except BatchFailed as failed:
                if not failed.again or attempt + 1 == ATTEMPTS_MAX:
                    raise
                time.sleep(random.uniform(0, 0.002 * 2**attempt))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class _Writer(_Connected, BatchRunner):
    """One of the connections that write."""

    _open: psycopg.Connection[tuple[Any, ...]]
    """The connection of the transaction under way; never opened anew in the middle of one."""

    def run(self, jobs: list[Job]) -> None:
        self.again(lambda: self.run_batch(jobs, self.database.observer))

    def _run_as_statement(self, group: list[Job], observer: Observer) -> bool:
        fn = group[0].fn
        if not isinstance(fn, SetBased) or not fn.one_statement([job.args[1] for job in group]):
            return False
        tx = PostgresTransaction(self.database, self.connection)
        started = time.perf_counter()
        try:
            if len(group) == 1:
                run_one(group[0], tx)
            else:
                run_many(group, tx)
        except BatchFailed as failed:
            if isinstance(failed.__cause__, psycopg.OperationalError) and self._is_broken():
                raise _uncertain() from failed  # the statement was its own COMMIT
            raise
        except Exception:
            return False  # nothing was stored; one by one, each is told its own error
        observer.committed(len(group), time.perf_counter() - started)
        for job in group:
            job.seconds = 0.0  # most of it was the commit, which a larger group shares
        return True

    def begin(self) -> Transaction:
        self._open = self.connection
        self._execute("BEGIN")
        return PostgresTransaction(self.database, self._open)

    def commit(self) -> None:
        try:
            ended = self._open.execute("COMMIT").statusmessage
        except (pg.SerializationFailure, pg.DeadlockDetected) as error:
            raise BatchFailed(Busy("The change met another one; try again."), again=True) from error
        except psycopg.OperationalError as error:
            raise _uncertain() from error
        except psycopg.Error as error:
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
        with _translated(self.database):
            self._open.execute(sql.encode())


class _Reader(_Connected):
    """One of the connections that read."""

    def run(self, jobs: list[Job]) -> None:
        for group in calls(jobs):
            try:
                self.again(partial(self._answer, group))
            except BatchFailed as failed:
                for job in group:
                    job.error = failed.error

    def _answer(self, group: list[Job]) -> None:
        connection = self.connection
        tx = PostgresTransaction(self.database, connection)
        if len(group) > 1:
            run_many(group, tx)
        elif isinstance(group[0].fn, SetBased):  # one statement is a snapshot by itself
            run_one(group[0], tx)
        else:
            with _translated(self.database), connection.transaction():
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                run_one(group[0], tx)


class _IdBlocks:
    """Ids taken from the database a block at a time, in a transaction of their own."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._connected = _Connected(database)
        self._blocks: dict[str, range] = {}
        self._lock = threading.Lock()

    def take(self, kind: str, count: int) -> range:
        with self._lock:
            block = self._blocks.get(kind, range(0))
            if len(block) < count:
                size = max(ID_BLOCK, count)
                taken: list[int] = []
                self._connected.again(lambda: taken.append(self._next(kind, size)))
                block = range(taken[0] - size, taken[0])
            self._blocks[kind] = block[count:]
            return block[:count]

    def _next(self, kind: str, size: int) -> int:
        connection = self._connected.connection
        with _translated(self._connected.database):
            row = connection.execute(_percent(migrations.TAKE_IDS), {"kind": kind, "count": size}).fetchone()
        assert row is not None
        return int(row[0])

    def close(self) -> None:
        self._connected.close()


def _uncertain() -> BatchFailed:
    """The connection broke while a COMMIT was under way: only the server knows what became of it."""
    return BatchFailed(Unavailable("The database went away during the change: it may or may not be stored."))


class _translated:
    """Turns errors that end a transaction into `BatchFailed`; others belong to one job."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (pg.DeadlockDetected, pg.SerializationFailure)):
            raise BatchFailed(Busy("The change met another one; try again."), again=True) from error
        if isinstance(error, pg.UniqueViolation):
            raise Taken(str(error)) from error
        if isinstance(error, (pg.DiskFull, pg.OutOfMemory)):
            raise BatchFailed(Unavailable("The database server is out of space.")) from error
        if isinstance(error, (pg.DataCorrupted, pg.IndexCorrupted)):
            raise BatchFailed(self._database.is_damaged(error)) from error
        if isinstance(error, (pg.QueryCanceled, pg.LockNotAvailable)):
            raise BatchFailed(Busy("The database took too long; try again.")) from error
        if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
            raise BatchFailed(Unavailable("The database went away; try again."), again=True) from error


def _array(values: Sequence[Any]) -> str:
    """An array as PostgreSQL reads it (its documentation, section 8.15.6).

    The driver's own way takes 13 times as long, of time that all threads share; JSON is a little quicker
    still, but then the planner does not know how many rows there are.
    """
    elements = ",".join(["NULL" if value is None else _element(value) for value in values])
    return f"{{{elements}}}"


def _element(value: int | str) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


@lru_cache(maxsize=STATEMENTS_KNOWN_MAX)
def _percent(sql: str) -> bytes:
    """`:name` parameters as psycopg wants them. A `:` in our SQL text begins a parameter, always."""
    return re.sub(r":([a-z]\w*)", r"%(\1)s", sql.replace("%", "%%")).encode()
