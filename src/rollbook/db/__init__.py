"""The database engines: SQLite and PostgreSQL behind one interface, with the same SQL. Only the module for
Citus knows the product's tables.

`open_database(url)` returns a `Database`; `database.write(fn, ...)` is the only way to change data.
"""

from __future__ import annotations

from rollbook.db.base import Database, EngineLimits, Observer, Snapshot
from rollbook.db.csv import Cell, Piece
from rollbook.db.lanes import Job, SetBased, Taken
from rollbook.db.rows import Integers, Rows
from rollbook.db.transaction import Transaction
from rollbook.errors import BadDatabaseUrl

__all__ = [
    "Cell",
    "Database",
    "EngineLimits",
    "Integers",
    "Job",
    "Observer",
    "Piece",
    "Rows",
    "SetBased",
    "Snapshot",
    "Taken",
    "Transaction",
    "open_database",
]


def open_database(
    url: str, limits: EngineLimits | None = None, observer: Observer | None = None, *, create: bool = False
) -> Database:
    """Open the database that `url` names. The schema is not migrated; see `Database.migrate`.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db`, or `postgresql://user@host/name` with
            any parameter that libpq accepts (`?sslmode=verify-full`).
        limits: the sizes of queues, batches and thread groups.
        observer: notified of every commit, for metrics.
        create: create the file of an embedded database if it is missing; its folder must exist. On a server,
            the administrator creates databases.

    Raises:
        BadDatabaseUrl: the URL names neither engine.
        NoDatabase: the file does not exist.
        StrangeDatabase: the file is the database of another program.
        Unavailable: the file or the server cannot be opened.
    """
    limits = limits or EngineLimits()
    observer = observer or Observer()
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "sqlite" and len(rest) > 1 and rest.startswith("/"):
        from rollbook.db.sqlite import SqliteDatabase

        path = rest[1:]
        if "?" in path:
            raise BadDatabaseUrl(url, "SQLite takes no parameters after a ?")
        if path == ":memory:":
            raise BadDatabaseUrl(url, "the database must be a file")
        return SqliteDatabase(path, limits, observer, create=create)
    if separator and scheme in ("postgresql", "postgres"):
        from rollbook.db.postgres import PostgresDatabase

        return PostgresDatabase(url, limits, observer)
    raise BadDatabaseUrl(url)
