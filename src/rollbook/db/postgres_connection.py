"""Connections to PostgreSQL: reconnecting, repeating work where that is safe, and translating the errors that
end a transaction."""

from __future__ import annotations

import logging
import random
import re
import select
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import errors as pg

from rollbook.db import citus, migrations
from rollbook.db.base import Database
from rollbook.db.lanes import BatchFailed, Taken
from rollbook.db.transaction import STATEMENTS_KNOWN_MAX
from rollbook.errors import Busy, NodeAway, Unavailable

_log = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS = 5
"""How long a caller may wait for a server that does not answer at all."""

ATTEMPTS_MAX = 8
"""The most attempts to run a batch that meets a deadlock or a connection that broke while idle."""

NODE_ATTEMPTS_MAX = 2
"""The most attempts to run a batch that needs another node of Citus, which may have been restarted."""

ID_BLOCK = 1000
"""One process takes this many ids at a time; the rest stays unused when it ends."""

ID_BLOCK_CITUS_MAX = 100_000
"""The largest block on Citus, where the coordinator keeps the ids: each block of a process is twice as large
as the one before, so that a service on another node can go on for a while without the coordinator."""

_NO_DATABASE = re.compile(r'FATAL:\s+database "([^"]*)" does not exist')
"""The server's message for a database that does not exist; it comes without an error code."""


class PostgresServer:
    """The PostgreSQL server of a URL.

    Args:
        url: the URL for libpq.
        options: command-line options of the server for each session.
    """

    def __init__(self, url: str, options: str) -> None:
        self._url = url
        self._options = options
        self._reachable = True
        self._was_reached = False
        self.is_citus = False
        """Whether the database uses Citus; known after the first connection."""

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Open a connection. The log records when the server cannot be reached any more, and when it is back.

        Raises:
            BatchFailed: the server cannot be reached, or refuses the connection.
        """
        try:
            connection = psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                options=self._options,
                application_name="rollbook",
                client_encoding="UTF8",
                keepalives_idle=30,
                tcp_user_timeout=30_000,
            )
        except psycopg.ProgrammingError as error:  # libpq cannot read the URL
            message = f"The database URL cannot be used: {' '.join(str(error).split())}."
            raise BatchFailed(Unavailable(message, retry_after_seconds=30)) from error
        except psycopg.Error as error:
            server = urlsplit(self._url).hostname or "its socket"
            message = f"The PostgreSQL server at {server} cannot be reached."
            if missing := _NO_DATABASE.search(str(error)):
                message = (
                    f"The PostgreSQL server at {server} has no database {missing[1]}: is the URL right? "
                    "`createdb` makes one, rollbook does not."
                )
            if self._reachable:
                self._reachable = False
                _log.error("%s %s", message, " ".join(str(error).split()))
            raise BatchFailed(Unavailable(message, retry_after_seconds=2)) from error
        if not self._reachable:
            self._reachable = True
            _log.warning("The PostgreSQL server is reached again.")
        try:
            self._greet(connection)
        except psycopg.Error as error:
            connection.close()
            message = "The database went away; try again."
            raise BatchFailed(Unavailable(message, retry_after_seconds=2), again=True) from error
        return connection

    def _greet(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        if not self._was_reached:
            self.is_citus = citus.is_installed(connection)
            self._was_reached = True
        if self.is_citus:
            citus.prepare(connection)


class Connected:
    """A connection that is opened when it is needed, and dropped when it is broken."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    @property
    def connection(self) -> psycopg.Connection[tuple[Any, ...]]:
        """The connection, or a new one if the server closed it while it was idle."""
        if self._connection is not None and not self._connection.closed:
            readable, _, _ = select.select([self._connection.fileno()], [], [], 0)
            if readable:  # data that nobody requested most likely means that the server closed the connection
                try:
                    self._connection.pgconn.consume_input()
                except psycopg.OperationalError:
                    self._connection.close()
        if self._connection is None or self._connection.closed:
            self._connection = self._server.connect()
        return self._connection

    @property
    def is_broken(self) -> bool:
        """Whether the current connection is broken or missing."""
        return self._connection is None or self._connection.broken or self._connection.closed

    def again(self, work: Callable[[], None]) -> None:
        """Run `work`, and repeat it after errors for which that is safe.

        Raises:
            BatchFailed: the work failed.
        """
        for attempt in range(ATTEMPTS_MAX):
            try:
                work()
                return
            except BatchFailed as failed:
                if not failed.again or attempt + 1 == (failed.attempts_max or ATTEMPTS_MAX):
                    raise
                time.sleep(random.uniform(0, 0.002 * 2**attempt))

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()


class IdBlocks:
    """Ids that are taken from the database in blocks, each in its own transaction."""

    def __init__(self, database: Database, server: PostgresServer) -> None:
        self._database = database
        self._server = server
        self._connected = Connected(server)
        self._blocks: dict[str, range] = {}
        self._sizes: dict[str, int] = {}
        self._lock = threading.Lock()

    def take(self, kind: str, count: int) -> range:
        """See `Transaction.new_ids`."""
        with self._lock:
            block = self._blocks.get(kind, range(0))
            if len(block) < count:
                size = max(self._sizes.get(kind, ID_BLOCK), count)
                taken: list[int] = []
                self._connected.again(lambda: taken.append(self._next(kind, size)))
                block = range(taken[0] - size, taken[0])
                if self._server.is_citus:
                    self._sizes[kind] = min(2 * size, ID_BLOCK_CITUS_MAX)
            self._blocks[kind] = block[count:]
            return block[:count]

    def _next(self, kind: str, size: int) -> int:
        connection = self._connected.connection
        with translated(self._database):
            row = connection.execute(percent(migrations.TAKE_IDS), {"kind": kind, "count": size}).fetchone()
        assert row is not None
        return int(row[0])

    def close(self) -> None:
        """Close the connection. The rest of the blocks stays unused."""
        self._connected.close()


def uncertain() -> BatchFailed:
    """The error for a connection that broke during a COMMIT: only the server knows whether it was stored."""
    return BatchFailed(Unavailable("The database went away during the change: it may or may not be stored."))


class translated:
    """Turns errors that end a transaction into `BatchFailed`. Other errors concern only one job."""

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
        if citus.is_of_a_node(error):
            raise BatchFailed(NodeAway(), again=True, attempts_max=NODE_ATTEMPTS_MAX) from error
        if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
            raise BatchFailed(Unavailable("The database went away; try again."), again=True) from error


@lru_cache(maxsize=STATEMENTS_KNOWN_MAX)
def percent(sql: str) -> bytes:
    """SQL with its `:name` parameters in the form of psycopg. In our SQL a `:` always begins a parameter."""
    return re.sub(r":([a-z]\w*)", r"%(\1)s", sql.replace("%", "%%")).encode()
