"""Statements on SQLite: its own SQL, and its parameters."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol

import apsw
import msgspec

from rollbook.db import migrations
from rollbook.db.csv import PIECE_ROWS, Cell, Piece
from rollbook.db.lanes import BatchFailed, Taken
from rollbook.db.rows import Integers, Rows
from rollbook.db.transaction import Shared, Transaction
from rollbook.errors import Unavailable

_UNIQUE = (apsw.SQLITE_CONSTRAINT_UNIQUE, apsw.SQLITE_CONSTRAINT_PRIMARYKEY)


class Storage(Shared, Protocol):
    """The part of the database that a transaction uses."""

    def unavailable(self, error: Exception) -> Unavailable | None:
        """The error that callers get for an error of the file or its disk; `None` for errors of a
        statement."""


class SqliteTransaction(Transaction):
    """Statements on SQLite."""

    def __init__(self, database: Storage, connection: apsw.Connection) -> None:
        super().__init__(database)
        self._database = database
        self._connection = connection

    def _fetch(
        self, sql: str, params: dict[str, Any], *, names_wanted: bool
    ) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        self._database.statements_run += 1
        for name, value in params.items():
            if isinstance(value, (datetime, list, Rows, Integers)):
                params[name] = _bound(value)
        try:
            cursor = self._connection.execute(sql, params)
            if not names_wanted:
                return (), cursor.fetchall()
            first = cursor.fetchone()
            if first is None:
                return (), ()
            names = [column[0] for column in cursor.get_description()]
            return names, [first, *cursor.fetchall()]
        except apsw.ConstraintError as error:
            if getattr(error, "extendedresult", 0) in _UNIQUE:
                raise Taken(str(error)) from error
            raise
        except (apsw.Error, UnicodeDecodeError) as error:
            if unavailable := self._database.unavailable(error):
                raise BatchFailed(unavailable) from error
            raise

    def any_of(self, column: str, name: str) -> str:
        return f"{column} IN (SELECT value FROM json_each(:{name}))"

    def contains(self, column: str, name: str) -> str:
        return f"instr({column}, :{name}) > 0"

    def rows(self, name: str, /, **types: str) -> str:
        columns = ", ".join(f"value ->> {index} AS {column}" for index, column in enumerate(types))
        return f"(SELECT {columns} FROM json_each(:{name})) AS {name}"

    def integers(self, name: str) -> str:
        return f"(SELECT rowid AS place, value FROM carray(:{name})) AS {name}"

    def insert_new(self, table: str, ids: Sequence[int], sql: str, /, **params: Any) -> Collection[int]:
        # Each row of RETURNING is a step, and each step releases the interpreter lock and waits to get it
        # back; the number of changes costs nothing (docs/decisions/0002).
        self.run(sql, **params)
        if self._connection.changes() == len(ids):
            return ids
        among = self.any_of("id", "ids")
        return self.all(
            int,
            f"SELECT id FROM {table} WHERE account_id = :account_id AND {among}",
            account_id=params["account_id"],
            ids=list(ids),
        )

    def exclusively(self, name: str) -> None:
        """The single writer is the lock."""

    def hold(self, sql: str, /, **params: Any) -> None:
        """The single writer is the lock."""

    def read_whole_tables(self, *, joined: bool = False) -> None:
        """Nothing to set: SQLite joins in the order in which tables are written."""

    def look_rows_up(self) -> None:
        """Nothing to set: SQLite looks up rows wherever there is an index."""

    def merged(self, *, any_of: Sequence[str], all_of: Sequence[str], none_of: Sequence[str]) -> str:
        # Compound SELECTs that are sorted by an index are merged like sorted files: 10 M minus 1 M ids take
        # 1.2 s, looking up each id in the other set 5 s. They associate to the left with equal precedence.
        first = [" UNION ".join(any_of)] if any_of else []
        return " EXCEPT ".join([" INTERSECT ".join([*first, *all_of]), *none_of]) + f" {self.in_pieces('id')}"

    def in_pieces(self, key: str) -> str:
        return f"ORDER BY {key} LIMIT :most"

    def iso(self, column: str) -> str:
        return f"strftime('%Y-%m-%dT%H:%M:%SZ', {column}, 'unixepoch')"

    def json_text(self, column: str) -> str:
        return f"json_quote({column})"

    def csv(self, cells: Sequence[Cell], rows: str, where: str = "TRUE", /, **params: Any) -> Iterator[Piece]:
        # One statement for each piece, all in one transaction: each row that a statement returns costs as
        # much as formatting three rows (docs/decisions/0022).
        line = " || ',' || ".join(_csv(cell) for cell in cells)
        sql = f"""
            SELECT max(source.id), count(*) FILTER (WHERE {where}),
                   CAST(string_agg({line} || char(10), '') FILTER (WHERE {where}) AS BLOB)
            FROM ({rows}) AS source
        """
        after = 0
        while True:
            _, found = self._fetch(sql, {**params, "after": after, "most": PIECE_ROWS}, names_wanted=False)
            [(last, count, data)] = found
            if last is None:
                return
            if count:
                yield Piece(count, data)
            after = last

    def new_ids(self, kind: str, count: int) -> range:
        last = self.one(int, migrations.TAKE_IDS, kind=kind, count=count)
        assert last is not None
        return range(last - count, last)


def _csv(cell: Cell) -> str:
    """SQL: a cell in the form of CSV."""
    text = f"""'"' || replace({cell.sql}, '"', '""') || '"'""" if cell.quoted else cell.sql
    return f"coalesce({text}, '')"


def _bound(value: datetime | list[Any] | Rows | Integers) -> Any:
    if isinstance(value, Integers):
        return apsw.carray(value.values, flags=apsw.SQLITE_CARRAY_INT64)
    if isinstance(value, datetime):
        return int(value.timestamp())
    if isinstance(value, list):
        return msgspec.json.encode(value).decode()
    return msgspec.json.encode(list(zip(*value.columns.values(), strict=True))).decode()
