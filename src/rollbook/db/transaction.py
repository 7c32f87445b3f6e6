"""Transactions: statements with named parameters, in the same SQL on both engines."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol, TypeVar

from rollbook.db.csv import Cell, Piece
from rollbook.db.rows import builder, from_epoch
from rollbook.errors import DatabaseDamaged

T = TypeVar("T")

STATEMENTS_KNOWN_MAX = 2_000
"""The most statements whose row builders are cached. The criteria of callers produce ever new statements."""


class Shared(Protocol):
    """The state that all transactions of a database share; the database implements it.

    Attributes:
        statements_run: statements since the start.
        damage: a description of the damage that was found; empty if there is none.
        builders: for each statement and kind of row, the function that builds an object from a row.
    """

    statements_run: int
    damage: str
    builders: dict[tuple[str, type[Any]], Callable[[Sequence[Any]], Any]]


class Transaction(ABC):
    """Statements in one transaction. SQL is text with `:name` parameters, the same on both engines.

    A `datetime` parameter must have a time zone; it is stored as whole seconds since 1970. Use a list
    parameter with `any_of`, a `Rows` parameter with `rows`, and an `Integers` parameter with `integers`.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._now: datetime | None = None
        self._held: set[tuple[Any, ...]] = set()

    @property
    def now(self) -> datetime:
        """The time of this transaction, in whole seconds, UTC; every call returns the same time."""
        if self._now is None:
            self._now = from_epoch(int(time.time()))
        return self._now

    @abstractmethod
    def _fetch(
        self, sql: str, params: dict[str, Any], *, names_wanted: bool
    ) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """Run `sql`. Returns its column names (only if wanted, and only if there are rows) and its rows."""

    def all(self, kind: type[T], sql: str, /, **params: Any) -> list[T]:
        """Run a statement. Each row is returned as a `kind` (a msgspec Struct, or `int` or `str` for a single
        column), with its columns matched to the fields by name."""
        builders = self._shared.builders
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
        """Run a statement that returns at most one row; `None` if it returned no row."""
        found = self.all(kind, sql, **params)
        assert len(found) <= 1, sql
        return found[0] if found else None

    def run(self, sql: str, /, **params: Any) -> None:
        """Run a statement and ignore its rows."""
        self._fetch(sql, params, names_wanted=False)

    @abstractmethod
    def insert_new(self, table: str, ids: Sequence[int], sql: str, /, **params: Any) -> Collection[int]:
        """Run an INSERT that leaves out rows whose key is taken (ON CONFLICT DO NOTHING).

        Args:
            table: the table of the INSERT; it has the columns account_id and id.
            ids: the ids of the rows, all new.
            sql: the INSERT, without RETURNING.
            params: the parameters of `sql`, including `account_id`.

        Returns:
            The ids among `ids` whose rows were inserted.
        """

    @contextmanager
    def part(self) -> Iterator[None]:
        """A part of this transaction. If it raises, only this part is undone."""
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
        """SQL: `column` is one of the few values in the list parameter `name`.

        For many values, join `rows`: PostgreSQL without fresh statistics reads the whole account for a long
        list.
        """

    @abstractmethod
    def contains(self, column: str, name: str) -> str:
        """SQL: the text in `column` contains the parameter `name` literally (without wildcards)."""

    @abstractmethod
    def rows(self, name: str, /, **types: str) -> str:
        """SQL: the `Rows` parameter `name` as a table of that name, for FROM.

        Args:
            name: the name of the parameter and of the table.
            types: the SQL type of each column, in the order of the parameter's columns.
        """

    @abstractmethod
    def integers(self, name: str) -> str:
        """SQL: the `Integers` parameter `name` as a table of that name, for FROM, with the columns `value`
        and `place` (from 1). Tens of thousands of numbers cost next to nothing (docs/decisions/0019)."""

    @abstractmethod
    def exclusively(self, name: str) -> None:
        """Wait until no other transaction holds the lock `name`, then hold it until this transaction ends."""

    @abstractmethod
    def hold(self, sql: str, /, **params: Any) -> None:
        """Lock the rows of a plain SELECT until this transaction ends. Repeating it costs nothing."""

    def forget_held(self) -> None:
        """Forget the locks of `hold`: a return to a savepoint released those that were taken since."""
        self._held.clear()

    @abstractmethod
    def read_whole_tables(self, *, joined: bool = False) -> None:
        """Optimize the rest of this transaction for reading most of an account instead of single rows.

        Args:
            joined: whether it also joins whole tables, instead of looking up row after row.
        """

    @abstractmethod
    def look_rows_up(self) -> None:
        """Optimize the rest of this transaction for looking up single rows, as at its beginning."""

    @abstractmethod
    def merged(self, *, any_of: Sequence[str], all_of: Sequence[str], none_of: Sequence[str]) -> str:
        """SQL: a SELECT of the `id`s that are in any set of `any_of`, in all of `all_of`, and in none of
        `none_of`. It reads each set once, from the first row to the last. On SQLite the result is
        `in_pieces`.

        Args:
            any_of, all_of, none_of: SELECTs of one column `id`, without duplicates, in the order of an index.
                `any_of` or `all_of` must not be empty; an empty `any_of` does not restrict anything.
        """

    @abstractmethod
    def in_pieces(self, key: str) -> str:
        """SQL: the end of a SELECT of rows for `csv`, in the order of `key`. It has the parameter `most`: the
        most rows to return, -1 for all of them."""

    @abstractmethod
    def iso(self, column: str) -> str:
        """SQL: the moment in `column` in the form of ISO 8601, `2022-04-28T14:21:16Z`."""

    @abstractmethod
    def json_text(self, column: str) -> str:
        """SQL: the text or number in `column` as JSON."""

    @abstractmethod
    def csv(self, cells: Sequence[Cell], rows: str, where: str = "TRUE", /, **params: Any) -> Iterator[Piece]:
        """The rows of a SELECT as CSV without a header, in the order of their ids. The engine formats them,
        so ten million rows take no memory.

        Args:
            cells: the cells of each row; they refer to the columns of `rows` as `source.phone`.
            rows: a SELECT with a column `id`, a whole number above 0. It returns only rows whose id is above
                the parameter `after` (which this method sets), and ends with `in_pieces`.
            where: a condition on these rows.
            params: the parameters of `rows`, `cells` and `where`: whole numbers and texts.
        """

    def require_sound(self) -> None:
        """Make sure that no statement of any transaction found the database damaged.

        Raises:
            Unavailable: the database is damaged.
        """
        if self._shared.damage:
            raise DatabaseDamaged()

    @abstractmethod
    def new_ids(self, kind: str, count: int) -> range:
        """Take `count` ids that no object of this `kind` ever had, in ascending order."""
