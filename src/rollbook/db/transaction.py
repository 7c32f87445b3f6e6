"""A transaction: statements with named parameters, the same text on both engines."""

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
"""Texts of statements for which something is remembered. Callers' criteria make ever new ones."""


class Shared(Protocol):
    """What the transactions of a database share: the database itself.

    Attributes:
        statements_run: statements since the start.
        damage: what was found damaged; empty while nothing was.
        builders: for each statement and kind of row the function that makes one of a row.
    """

    statements_run: int
    damage: str
    builders: dict[tuple[str, type[Any]], Callable[[Sequence[Any]], Any]]


class Transaction(ABC):
    """Statements inside one transaction. SQL is text with `:name` parameters, alike on both engines.

    A `datetime` parameter must be aware; it is stored as whole seconds since 1970. A list parameter
    goes with `any_of`, a `Rows` parameter with `rows`, an `Integers` parameter with `integers`.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
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
        if self._shared.damage:
            raise DatabaseDamaged()

    @abstractmethod
    def new_ids(self, kind: str, count: int) -> range:
        """Take `count` ids that were never given to a `kind` before, in ascending order."""
