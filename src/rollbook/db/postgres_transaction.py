"""Statements on PostgreSQL: its own SQL, its parameters, and the settings of its planner."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import psycopg

from rollbook.db.base import Database
from rollbook.db.csv import PIECE_ROWS, Cell, Piece
from rollbook.db.postgres_connection import IdBlocks, percent, translated
from rollbook.db.rows import Integers, Rows
from rollbook.db.transaction import Transaction

LOOK_UPS = {
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
"""Planner settings of every session. Without statistics the planner assumes that an account is small, and
that reading all of it is cheap. A service looks up rows: tables are joined in the order in which they are
written, by index, and an index look-up costs less than anything else (docs/decisions/0018)."""

SETTINGS = LOOK_UPS | {"plan_cache_mode": "force_custom_plan"}
"""All planner settings of every session."""

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
"""The default values of the planner's settings."""

_JOINED = _USUAL | {"enable_nestloop": "off", "enable_hashagg": "off"}
"""Planner settings for joining whole tables. If the planner assumes that an account is small, it would look
up millions of rows or build hash tables that are too large; sorted indexes are merged
(docs/decisions/0022)."""


class PostgresTransaction(Transaction):
    """Statements on PostgreSQL."""

    def __init__(
        self, database: Database, connection: psycopg.Connection[tuple[Any, ...]], ids: IdBlocks
    ) -> None:
        super().__init__(database)
        self._database = database
        self._connection = connection
        self._ids = ids

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
                bound[name] = f"{{{str(value.values.tolist())[1:-1]}}}"  # a third of the time of `_array`
            elif isinstance(value, datetime):
                bound[name] = int(value.timestamp())
            else:
                bound[name] = value
        with translated(self._database):
            cursor = self._connection.execute(percent(sql), bound)
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
        self._plan(LOOK_UPS)

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
            translated(self._database),
            self._connection.cursor() as cursor,
            cursor.copy(percent(sql), {**params, "after": 0}) as copy,
        ):
            waiting = iter(copy)
            while lines := list(islice(waiting, PIECE_ROWS)):
                yield Piece(len(lines), b"".join(lines))

    def new_ids(self, kind: str, count: int) -> range:
        return self._ids.take(kind, count)


def _array(values: Sequence[Any]) -> str:
    """An array in the text form of PostgreSQL (its documentation, section 8.15.6).

    The driver's own conversion takes 13 times as long, while it blocks all threads. JSON is a little faster
    still, but then the planner does not know the number of rows.
    """
    elements = ",".join(["NULL" if value is None else _element(value) for value in values])
    return f"{{{elements}}}"


def _element(value: int | str) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)
