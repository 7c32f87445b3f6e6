"""Engines: one SQL text on SQLite and on PostgreSQL. Of the product's tables only Citus is told something.

`open_database(url)` gives a `Database`; `database.write(fn, ...)` is the one way to change anything.
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
    """Open the database that `url` names; nothing is migrated yet, see `Database.migrate`.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db`, or `postgresql://user@host/name` with
            whatever libpq takes (`?sslmode=verify-full`).
        limits: sizes of queues, batches and thread groups.
        observer: told of every commit, for metrics.
        create: make the file of an embedded database where there is none; its folder must be there. On a
            server, whoever runs that makes databases.

    Raises:
        BadDatabaseUrl: the URL names neither engine.
        NoDatabase: there is no such file.
        StrangeDatabase: the file is another program's database.
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
