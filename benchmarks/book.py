"""A big address book, loaded straight into the tables: contacts, lists and stops, with true counts.

Number n of the book is the contact n: its phone is `phone(n)`, it is in the list of everyone. Every tenth is
in nine more lists, every fiftieth of the others is on the SMS stop list. `rollbook.verify.recount` finds
nothing wrong.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import psycopg

from benchmarks.engines import Engine, Prepared

PHONE_FIRST = 380_500_000_000
PHONE_STEP = 7
"""Phones stand apart, as they do in a real book."""

IN_MANY_LISTS_EVERY = 10
STOPPED_EVERY = 50
"""Those before a multiple of it are stopped: numbers 49, 99, 149, ..."""

LISTS_OF_MANY = 10
"""Lists that every tenth contact is in, that of everyone included."""

FEW = 10
"""Members of the list of few: who is in no other list but that of everyone."""

LISTS = LISTS_OF_MANY + 1

SMS = 1
"""The mask of those who are stopped."""

_CACHE_KILOBYTES = 500_000
_TABLES = ("contact", "membership", "stop_list")


@dataclass(frozen=True)
class Book:
    """A loaded book.

    Args:
        prepared: its database; further lists can be made in it.
        members: how many contacts it has.
    """

    prepared: Prepared
    members: int

    @property
    def everyone(self) -> int:
        """The id of the list that all are in."""
        return self.prepared.list_ids[0]

    @property
    def few(self) -> int:
        """The id of the list of `FEW`."""
        return self.prepared.list_ids[LISTS_OF_MANY]

    @property
    def memberships(self) -> int:
        """How many there are in all."""
        return self.members + self.members // IN_MANY_LISTS_EVERY * (LISTS_OF_MANY - 1) + FEW

    @property
    def in_many_lists(self) -> range:
        """Numbers of those who are in `LISTS_OF_MANY` lists; none of them is stopped."""
        return range(IN_MANY_LISTS_EVERY, self.members + 1, IN_MANY_LISTS_EVERY)


def phone(number: int) -> int:
    """The phone of a number of the book."""
    return PHONE_FIRST + number * PHONE_STEP


@contextmanager
def loaded(engine: Engine, members: int) -> Iterator[Book]:
    """A book of `members` contacts; it is gone afterwards."""
    with engine.database(LISTS) as prepared:
        book = Book(prepared, members)
        started = time.perf_counter()
        _load(book)
        print(f"\na book of {members:,}, {engine.name}: {time.perf_counter() - started:.0f} s", flush=True)
        yield book


def megabytes(book: Book) -> float:
    """What the database takes on the disk, without the log of what is not yet folded into it."""
    with _loader(book.prepared) as loader:
        return loader.megabytes()


def settle(book: Book) -> None:
    """Do what the engine would do by itself some minutes after many changes."""
    with _loader(book.prepared) as loader:
        loader.settle()


def leftovers(book: Book) -> int:
    """Deleted lists that still have members."""
    with _loader(book.prepared) as loader:
        [(count,)] = loader.run("SELECT count(*) FROM leftover")
    return int(count)


def _load(book: Book) -> None:
    members, prepared = book.members, book.prepared
    everyone, *many = prepared.list_ids[:LISTS_OF_MANY]
    stopped = (members + 1) // STOPPED_EVERY
    account = prepared.account_id
    now = int(time.time())
    with _loader(prepared) as loader, loader.without_indexes():
        mask = f"CASE WHEN (n + 1) % {STOPPED_EVERY} = 0 THEN {SMS} ELSE 0 END"
        loader.run(
            "INSERT INTO contact (account_id, id, phone, stop_mask, created_at) "
            f"SELECT {account}, n, {PHONE_FIRST} + n * {PHONE_STEP}, {mask}, {now} "
            f"FROM {loader.numbers(members)}"
        )
        loader.run(
            "INSERT INTO stop_list (account_id, phone, id, mask, created_at) "
            f"SELECT {account}, {phone(-1)} + n * {STOPPED_EVERY * PHONE_STEP}, n, {SMS}, {now} "
            f"FROM {loader.numbers(stopped)}"
        )
        into = "INSERT INTO membership (account_id, list_id, contact_id)"
        loader.run(f"{into} SELECT {account}, {everyone}, n FROM {loader.numbers(members)}")
        for list_id in many:
            numbers = loader.numbers(members // IN_MANY_LISTS_EVERY)
            loader.run(f"{into} SELECT {account}, {list_id}, n * {IN_MANY_LISTS_EVERY} FROM {numbers}")
        few = f"SELECT {account}, {book.few}, n * {IN_MANY_LISTS_EVERY} + 1 FROM {loader.numbers(FEW)}"
        loader.run(f"{into} {few}")
        for list_ids, items, stops in (
            ([everyone], members, stopped),
            (many, members // IN_MANY_LISTS_EVERY, 0),
            ([book.few], FEW, 0),
        ):
            loader.run(
                f"UPDATE contact_list SET items = {items}, stop_list_count = {stops}, sms_stopped = {stops} "
                f"WHERE account_id = {account} AND id IN ({', '.join(map(str, list_ids))})"
            )
        loader.run(
            f"UPDATE account SET contacts = {members}, stops = {stopped}, sms_stops = {stopped} "
            f"WHERE account_id = {account}"
        )
        for kind, taken in (("contact", members), ("stop_list", stopped)):
            loader.run(f"INSERT INTO id_block (kind, next_id) VALUES ('{kind}', {taken + 1})")


class _Loader(ABC):
    """A connection that fills tables without waiting for the disk."""

    @abstractmethod
    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement; its rows."""

    @abstractmethod
    def numbers(self, last: int) -> str:
        """SQL for FROM: `n` from 1 to `last`."""

    @abstractmethod
    def megabytes(self) -> float:
        """Size of the database."""

    @abstractmethod
    def settle(self) -> None:
        """See the function of that name."""

    @contextmanager
    @abstractmethod
    def without_indexes(self) -> Iterator[None]:
        """Fill the tables first and sort their indexes afterwards; then all is on the disk."""


class _Sqlite(_Loader):
    def __init__(self, url: str) -> None:
        self._path = url.removeprefix("sqlite:///")
        self._connection = apsw.Connection(self._path)
        self.close = self._connection.close

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql).fetchall()

    def numbers(self, last: int) -> str:
        return (
            "(WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number "
            f"WHERE n < {last}) SELECT n FROM number)"
        )

    def megabytes(self) -> float:
        self.settle()
        return Path(self._path).stat().st_size / 1e6

    def settle(self) -> None:
        self.run("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def without_indexes(self) -> Iterator[None]:
        self.run("PRAGMA synchronous = OFF")
        self.run(f"PRAGMA cache_size = -{_CACHE_KILOBYTES}")
        among = ", ".join(f"'{table}'" for table in _TABLES)
        indexes = self.run(
            f"SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name IN ({among}) "
            "AND sql IS NOT NULL"
        )
        # What the planner is told of an index goes with it.
        told = self.run(f"SELECT tbl, idx, stat FROM sqlite_stat1 WHERE tbl IN ({among})")
        for name, _ in indexes:
            self.run(f"DROP INDEX {name}")
        yield
        for _, definition in indexes:
            self.run(definition)
        self.run(f"DELETE FROM sqlite_stat1 WHERE tbl IN ({among})")
        self._connection.executemany("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)", told)
        self.run("PRAGMA synchronous = FULL")
        self.settle()


class _Postgresql(_Loader):
    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self.close = self._connection.close

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        cursor = self._connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []

    def numbers(self, last: int) -> str:
        return f"generate_series(1, {last}) AS number (n)"

    def megabytes(self) -> float:
        [(size,)] = self.run("SELECT pg_database_size(current_database())")
        return float(size) / 1e6

    def settle(self) -> None:
        for table in _TABLES:
            self.run(f"VACUUM (ANALYZE) {table}")
        self.run("CHECKPOINT")

    @contextmanager
    def without_indexes(self) -> Iterator[None]:
        self.run("SET synchronous_commit = off")
        self.run("SET maintenance_work_mem = '512MB'")
        among = ", ".join(f"'{table}'::regclass" for table in _TABLES)
        keys = self.run(
            "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint "
            f"WHERE contype = 'p' AND conrelid IN ({among})"
        )
        indexes = self.run(
            "SELECT indexrelid::regclass, pg_get_indexdef(indexrelid) FROM pg_index "
            f"WHERE NOT indisprimary AND indrelid IN ({among})"
        )
        for name, _ in indexes:
            self.run(f"DROP INDEX {name}")
        for table, name, _ in keys:
            self.run(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        yield
        for table, name, definition in keys:
            self.run(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
        for _, definition in indexes:
            self.run(definition)
        self.settle()


@contextmanager
def _loader(prepared: Prepared) -> Iterator[_Loader]:
    made: _Sqlite | _Postgresql
    made = _Sqlite(prepared.url) if prepared.url.startswith("sqlite:") else _Postgresql(prepared.url)
    with closing(made):
        yield made
