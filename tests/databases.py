"""Databases that tests use one after the other: migrating one for each test would cost more than most tests.

Each test finds a database that is migrated and has no rows, under a name that no test before it knew, so that
a process which outlived its test finds nothing. What a test did to the schema is thrown away with the database.
"""

from __future__ import annotations

import itertools
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from rollbook.db import open_database
from tests.servers import Postgres

LEAVE_SECONDS_MAX = 20
"""That PostgreSQL waits for the processes of those who were connected to end."""

_KEPT = ("schema_migration",)
"""What a migrated database has rows in."""

_SCHEMA = """
    SELECT md5(string_agg(what, ',' ORDER BY what)) FROM (
        SELECT 'relation ' || oid || ' ' || relname AS what FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind <> 't'
        UNION ALL SELECT 'column ' || attrelid || ' ' || attnum || ' ' || attname || ' ' || atttypid || ' ' || attnotnull
        FROM pg_attribute JOIN pg_class ON attrelid = pg_class.oid WHERE relnamespace = 'public'::regnamespace
        UNION ALL SELECT 'trigger ' || oid FROM pg_trigger
        UNION ALL SELECT 'constraint ' || oid FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT 'function ' || oid FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT 'setting ' || setconfig::text FROM pg_db_role_setting
        UNION ALL SELECT 'migration ' || to_jsonb(schema_migration)::text FROM schema_migration
    ) AS schema
"""


class Databases:
    """Databases without rows, one at a time on each engine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._name = ""
        self._schema = ""

    def sqlite(self, folder: Path) -> str:
        """URL of a migrated SQLite file of its own in that folder."""
        whole = self._folder / "migrated.db"
        if not whole.exists():
            _migrate(f"sqlite:///{whole}")
        shutil.copyfile(whole, folder / "rollbook.db")
        return f"sqlite:///{folder}/rollbook.db"

    def postgresql(self, server: Postgres) -> str:
        """URL of the PostgreSQL database, until the next call; whoever is connected to it is cut off."""
        before, self._name = self._name, f"emptied_{next(self._numbers)}"
        if before and server.plain and self._emptied(server, before):
            return server.url(self._name)
        for name in filter(None, (before, self._name)):
            server.drop_database(name)
        url = server.create_database(self._name)
        _migrate(url)
        with psycopg.connect(url) as connection:
            self._schema = _one(connection, _SCHEMA)
        return url

    def _emptied(self, server: Postgres, before: str) -> bool:
        """Give the database its new name and remove its rows. Not, when somebody stays connected, or when its
        schema was changed."""
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity WHERE datname = %s",
                [LEAVE_SECONDS_MAX * 1000, before],
            )
            try:
                connection.execute(f'ALTER DATABASE "{before}" RENAME TO "{self._name}"'.encode())
            except psycopg.errors.ObjectInUse:
                return False
        with psycopg.connect(server.url(self._name)) as connection:
            if _one(connection, _SCHEMA) != self._schema:
                return False
            names = [
                name
                for (name,) in connection.execute(
                    "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> ALL(%s)",
                    [list(_KEPT)],
                )
            ]
            filled = [name for name in names if _one(connection, f'SELECT EXISTS (SELECT FROM "{name}")')]
            if filled:
                connection.execute(f"TRUNCATE {', '.join(filled)}".encode())
        return True


def _migrate(url: str) -> None:
    with closing(open_database(url, create=True)) as database:
        database.migrate()


def _one(connection: psycopg.Connection[tuple[Any, ...]], sql: str) -> Any:
    found = connection.execute(sql.encode()).fetchone()
    assert found is not None
    return found[0]
