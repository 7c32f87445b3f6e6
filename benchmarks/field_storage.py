"""Where the values of contacts' own fields live: three layouts, side by side (docs/decisions/0013).

`python -m benchmarks.field_storage [--contacts 1000000]` loads each layout on each engine into a
temporary database and prints the tables of the decision. A million contacts take 10 minutes and 5 GB of
memory.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import date, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import apsw
import psycopg

from benchmarks.engines import DURABLE, ENGINES
from benchmarks.report import machine
from rollbook.db.migrations import POSTGRESQL, SQLITE
from rollbook.fields import Canonical, Type, canonical
from tests.servers import Postgres

ACCOUNT, OTHER_ACCOUNT = 1, 2
TYPES: tuple[Type, ...] = ("text", "text", "number", "number", "date")
CITY, EMAIL, POINTS, AMOUNT, BIRTHDAY = range(1, len(TYPES) + 1)
"""Ids of the fields; those of the other account come behind them."""

CITIES = 200
PAGE = 50
ROUNDS = 7
"""Of each measurement, each with other values. One more, before, does not count."""

LOADED_AT_ONCE, REMOVED_AT_ONCE, CHANGED_AT_ONCE = 100_000, 10_000, 100
"""Contacts in one transaction."""

Rows = Iterable[Sequence[object]]


class Person(NamedTuple):
    """A contact, with its values by field."""

    account_id: int
    id: int
    values: dict[int, Canonical]

    def row(self) -> tuple[int, int, int]:
        return self.account_id, self.id, 380_500_000_000 + self.id * 7

    def json(self) -> str:
        return json.dumps({str(field): value.value for field, value in self.values.items()})


class Layout(NamedTuple):
    """A way to keep the values. `filled` replaces the words in braces; `;` parts statements.

    Args:
        searches: conditions on a contact, for `=`, `like`, a range of numbers, a range of dates.
        change: sets a contact's value in a field.
        remove: takes the values of a field from `REMOVED_AT_ONCE` contacts.
    """

    title: str
    create: str
    rows: Callable[[Sequence[Person]], Iterator[tuple[str, Rows]]]
    page: str
    searches: tuple[str, str, str, str]
    change: str
    remove: str


def _contact(column: str) -> str:
    return f"""
        CREATE TABLE contact (
            account_id {{bigint}} NOT NULL, id {{bigint}} NOT NULL, phone {{bigint}} NOT NULL, {column}
            PRIMARY KEY (account_id, id)
        ) {{hot}};
        CREATE UNIQUE INDEX contact_phone ON contact (account_id, phone);
    """


def _within(table: str, hint: str = "", equal: str = "") -> tuple[str, str, str, str]:
    """Searches of a table with keys; a key does not tell upper from lower case, so `equal` does."""
    begin = f"""
        contact.id IN (
            SELECT contact_id FROM {table} {hint}
            WHERE {table}.account_id = :account_id AND field_id = :field AND
    """
    between = f"{begin} search_key >= :low AND search_key < :high)"
    like = f"{begin} {{contains}}(search_key, :low) > 0)"
    return f"{begin} search_key = :low {equal})", like, between, between


def _plain(people: Sequence[Person]) -> Iterator[tuple[str, Rows]]:
    yield "contact", (each.row() for each in people)
    values = ((each, field, value) for each in people for field, value in each.values.items())
    yield "field_value", ((each.account_id, each.id, field, *value) for each, field, value in values)


SIDE_TABLE = Layout(
    "A side table",
    f"""
        {_contact("")}
        CREATE TABLE field_value (
            account_id {{bigint}} NOT NULL, contact_id {{bigint}} NOT NULL, field_id {{bigint}} NOT NULL,
            value {{text}} NOT NULL, search_key {{text}} NOT NULL,
            PRIMARY KEY (account_id, contact_id, field_id)
        ) {{hot}};
        CREATE INDEX field_value_search ON field_value (account_id, field_id, search_key, contact_id)
    """,
    _plain,
    f"""
        SELECT newest.id, newest.phone, field_id, value
        FROM (
            SELECT id, phone FROM contact WHERE account_id = :account_id ORDER BY id DESC LIMIT {PAGE}
        ) AS newest CROSS JOIN field_value
        WHERE account_id = :account_id AND contact_id = newest.id
    """,
    _within("field_value", "{indexed_by}", "AND value = :value"),
    """
        INSERT INTO field_value VALUES (:account_id, :id, :field, :value, :low)
        ON CONFLICT (account_id, contact_id, field_id)
        DO UPDATE SET value = excluded.value, search_key = excluded.search_key
    """,
    """
        DELETE FROM field_value WHERE account_id = :account_id AND field_id = :field AND contact_id IN (
            SELECT contact_id FROM field_value WHERE account_id = :account_id AND field_id = :field
            ORDER BY search_key, contact_id LIMIT :many
        )
    """,
)


def _json(people: Sequence[Person]) -> Iterator[tuple[str, Rows]]:
    yield "contact", ((*each.row(), each.json()) for each in people)


# SQLite has doubles only, so its range of numbers is fast here, but not exact.
JSON = Layout(
    "B JSON",
    _contact("fields {json} NOT NULL,") + "{gin}",
    _json,
    f"SELECT id, phone, fields FROM contact WHERE account_id = :account_id ORDER BY id DESC LIMIT {PAGE}",
    (
        "{has}",
        "{contains}({member}, :low_value) > 0",
        "CAST({member} AS {number}) >= CAST(:low_value AS {number})"
        " AND CAST({member} AS {number}) < CAST(:high_value AS {number})",
        "{member} >= :low_value AND {member} < :high_value",
    ),
    "UPDATE contact SET fields = {set} WHERE account_id = :account_id AND id = :id",
    """
        UPDATE contact SET fields = {removed}
        WHERE account_id = :account_id AND id > :behind AND id <= :upto
    """,
)


def _keys(people: Sequence[Person]) -> Iterator[tuple[str, Rows]]:
    yield from _json(people)
    values = ((each, field, value) for each in people for field, value in each.values.items())
    yield "field_key", sorted((each.account_id, field, value.key, each.id) for each, field, value in values)


KEY_EQUAL, KEY_LIKE, KEY_BETWEEN, _ = _within("field_key")
FIRST_KEYS = """
    FROM field_key WHERE account_id = :account_id AND field_id = :field AND (search_key, contact_id) <= (
        SELECT search_key, contact_id FROM field_key WHERE account_id = :account_id AND field_id = :field
        ORDER BY search_key, contact_id LIMIT 1 OFFSET :many - 1
    )
"""
HYBRID = Layout(
    "C JSON and keys",
    f"""
        {_contact("fields {json} NOT NULL,")}
        CREATE TABLE field_key (
            account_id {{bigint}} NOT NULL, field_id {{bigint}} NOT NULL, search_key {{text}} NOT NULL,
            contact_id {{bigint}} NOT NULL, PRIMARY KEY (account_id, field_id, search_key, contact_id)
        ) {{hot}}
    """,
    _keys,
    JSON.page,
    (f"{KEY_EQUAL} AND {{member}} = :value", KEY_LIKE, KEY_BETWEEN, KEY_BETWEEN),
    f"""
        SELECT {{member}} FROM contact WHERE account_id = :account_id AND id = :id; {JSON.change};
        UPDATE field_key SET search_key = :low
        WHERE account_id = :account_id AND field_id = :field AND search_key = :old AND contact_id = :id
    """,
    f"""
        UPDATE contact SET fields = {{removed}} WHERE account_id = :account_id
        AND id IN (SELECT contact_id {FIRST_KEYS}); DELETE {FIRST_KEYS}
    """,
)
LAYOUTS = (SIDE_TABLE, JSON, HYBRID)


class SqliteStore:
    """The load has a large cache, as a process of its own may; the rest runs as the service does."""

    words: ClassVar = {
        **SQLITE,
        "json": "TEXT",
        "number": "REAL",
        "gin": "",
        "contains": "instr",
        "indexed_by": "INDEXED BY field_value_search",
        "member": """contact.fields ->> '$."{field}"'""",
        "has": """contact.fields ->> '$."{field}"' = :value""",
        "set": """json_set(fields, '$."{field}"', :value)""",
        "removed": """json_remove(fields, '$."{field}"')""",
        "explain": "EXPLAIN QUERY PLAN",
    }

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = apsw.Connection(str(path))
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "cache_size = -262144"):
            self.run(f"PRAGMA {pragma}")

    def run(self, sql: str, **params: object) -> list[tuple[Any, ...]]:
        return list(self.connection.execute(sql, params))

    def load(self, table: str, rows: Rows) -> None:
        remaining = iter(rows)
        first = next(remaining)
        holes = ", ".join("?" * len(first))
        self.connection.executemany(f"INSERT INTO {table} VALUES ({holes})", chain([first], remaining))

    def transaction(self) -> AbstractContextManager[object]:
        return self.connection

    def settle(self) -> None:
        self.run("PRAGMA wal_checkpoint(TRUNCATE)")
        self.connection.close()
        self.connection = apsw.Connection(str(self.path))
        for pragma in ("synchronous = FULL", "wal_autocheckpoint = 4000"):
            self.run(f"PRAGMA {pragma}")

    def size(self) -> int:
        return self.path.stat().st_size


class PostgresStore:
    """Connected as the service is."""

    words: ClassVar = {
        **POSTGRESQL,
        "json": "jsonb",
        "number": "numeric",
        "gin": "CREATE INDEX contact_fields ON contact USING gin (fields jsonb_path_ops)",
        "contains": "strpos",
        "indexed_by": "",
        "member": "contact.fields ->> '{field}'",
        "has": "contact.fields @> jsonb_build_object('{field}', CAST(:value AS text))",
        "set": "jsonb_set(fields, ARRAY['{field}'], to_jsonb(CAST(:value AS text)))",
        "removed": "fields - '{field}'",
        "explain": "EXPLAIN ANALYZE",
    }

    def __init__(self, url: str) -> None:
        options = "-c plan_cache_mode=force_custom_plan"
        self.connection = psycopg.connect(url, autocommit=True, options=options)

    def run(self, sql: str, **params: object) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(re.sub(r":(\w+)", r"%(\1)s", sql).encode(), params or None)
        return cursor.fetchall() if cursor.description else []

    def load(self, table: str, rows: Rows) -> None:
        with self.connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN".encode()) as copy:
            for row in rows:
                copy.write_row(row)

    def transaction(self) -> AbstractContextManager[object]:
        return self.connection.transaction()

    def settle(self) -> None:
        self.run("VACUUM ANALYZE")
        self.run("CHECKPOINT")

    def size(self) -> int:
        return int(self.run("SELECT sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables")[0][0])


class Bench:
    """One layout on one engine."""

    def __init__(
        self, layout: Layout, store: SqliteStore | PostgresStore, known: Sequence[Person], *, plans: bool
    ) -> None:
        self.layout, self.store, self.known, self.plans = layout, store, known, plans
        self.contacts = sum(each.account_id == ACCOUNT for each in known)
        self.totals: list[int] = []
        """How many contacts each search found."""

    def run(self, sql: str, field: int = 0, **params: object) -> list[tuple[Any, ...]]:
        """Run statements; returns the rows of the last one."""
        text = re.sub(r"\{(?!field)(\w+)\}", lambda match: str(self.store.words[match[1]]), sql)
        rows: list[tuple[Any, ...]] = []
        for statement in text.replace("{field}", str(field)).split(";"):
            if statement.strip():
                rows = self.store.run(statement, **params, **({"field": field} if params else {}))
        return rows

    def load(self) -> list[float]:
        """Milliseconds for each `LOADED_AT_ONCE` contacts."""
        self.run(self.layout.create)
        if isinstance(self.store, PostgresStore):
            for [name] in self.store.run("SELECT relname FROM pg_stat_user_tables"):
                self.store.run(f"ALTER TABLE {name} ALTER COLUMN account_id SET STATISTICS 0")
        taken = []
        for start in range(0, len(self.known), LOADED_AT_ONCE):
            began = time.perf_counter()
            with self.store.transaction():
                for table, rows in self.layout.rows(self.known[start : start + LOADED_AT_ONCE]):
                    self.store.load(table, rows)
            taken.append((time.perf_counter() - began) * 1000)
        self.store.settle()
        return taken

    def page(self, _: int) -> None:
        rows = self.run(self.layout.page, account_id=ACCOUNT)
        if len(rows) == PAGE:  # psycopg has read the JSON already
            rows = [(row[0], *(json.loads(row[2]) if isinstance(row[2], str) else row[2])) for row in rows]
        assert sum(len(row) - 1 for row in rows) >= PAGE * len(TYPES)

    def search(self, number: int) -> Callable[[int], None]:
        """A page of what search `number` finds, and the total."""

        def search(round: int) -> None:
            _, field, kind, (low, high) = list(searches(self.known, round))[number]
            source = f"FROM contact WHERE account_id = :account_id AND {self.layout.searches[kind]}"
            params = {"value": low.value, "low": low.key, "high": high.key, "account_id": ACCOUNT}
            params |= {"low_value": low.value, "high_value": high.value}
            page = f"SELECT contact.id {source} ORDER BY contact.id DESC LIMIT {PAGE + 1}"
            found = self.run(page, field, **params)
            [(total,)] = self.run(f"SELECT count(*) {source}", field, **params)
            assert len(found) == min(total, PAGE + 1)
            self.totals.append(total)
            if self.plans and round == 0:
                for sql in (page, f"SELECT count(*) {source}"):
                    print(self.layout.title, *self.run(f"{{explain}} {sql}", field, **params), sep="\n")

        return search

    def change(self, round: int) -> None:
        with self.store.transaction():
            for number in range(CHANGED_AT_ONCE):
                person = self.known[(round * CHANGED_AT_ONCE + number) * 7919 % self.contacts]
                value, low = canonical("text", f"Eve.{number:08x}@example.net")
                params = {"id": person.id, "value": value, "low": low, "old": person.values[EMAIL].key}
                self.run(self.layout.change, EMAIL, account_id=ACCOUNT, **params)

    def remove(self, round: int) -> None:
        many = min(REMOVED_AT_ONCE, self.contacts // (ROUNDS + 1))
        ids = {"behind": round * many, "upto": (round + 1) * many}
        with self.store.transaction():
            self.run(self.layout.remove, AMOUNT, account_id=ACCOUNT, many=many, **ids)

    def everything(self) -> dict[str, str]:
        """What each thing took, in words."""
        loads = self.load()
        told = {
            "load 100,000 contacts": shown(loads[:-1] or loads),
            "load everything": f"{sum(loads) / 1000:.0f} s",
            "on disk": f"{self.store.size() / 1e6:,.0f} MB",
            "newest 50 contacts with their values": repeated(self.page),
        }
        for number, (title, *_) in enumerate(searches(self.known, 0)):
            told[title] = repeated(self.search(number))
        told["change one value"] = repeated(self.change, CHANGED_AT_ONCE)
        told["remove 10,000 values of a field"] = repeated(self.remove)
        return told


def searches(known: Sequence[Person], round: int) -> Iterator[tuple[str, int, int, list[Canonical]]]:
    """Title, field, place in `Layout.searches`, and from where to where."""
    email = known[len(known) // (round + 2)].values[EMAIL]
    yield "e-mail `=`, 1 found", EMAIL, 0, [email] * 2
    yield "city `=`, 1 of 200", CITY, 0, [canonical("text", f"City {round * 7:03}")] * 2
    amounts = [canonical("number", str(10**6 * round + more)) for more in (0, 10**5)]
    yield "number in a range, 1 of 100", AMOUNT, 2, amounts
    days = [canonical("date", str(date(2015 + round, 3, 1) + timedelta(more))) for more in (0, 36)]
    yield "date in a range, 1 of 100", BIRTHDAY, 3, days
    yield "e-mail `like`, 1 of 700", EMAIL, 1, [canonical("text", f"{round + 1:x}a{round + 5:x}")] * 2


def people(contacts: int) -> list[Person]:
    """The contacts of the account, and one fiftieth of that of another account."""
    chance = random.Random(1)
    made = []
    for id in range(1, contacts + contacts // 50 + 1):
        mine = id <= contacts
        texts = (
            f"City {chance.randrange(CITIES):03}",
            f"{chance.choice(('Anna', 'Ben', 'Carol', 'Dave'))}.{chance.getrandbits(32):08x}@example.org",
            str(chance.randint(0, 1000)),
            f"{chance.randrange(10**9) / 100:.2f}",
            str(date(2015, 1, 1) + timedelta(chance.randrange(3650))),
        )
        values = enumerate(map(canonical, TYPES, texts), 1 if mine else 1 + len(TYPES))
        made.append(Person(ACCOUNT if mine else OTHER_ACCOUNT, id, dict(values)))
    return made


def repeated(what: Callable[[int], None], parts: int = 1) -> str:
    taken = []
    for round in range(ROUNDS + 1):
        began = time.perf_counter()
        what(round)
        taken.append((time.perf_counter() - began) * 1000 / parts)
    return shown(taken[1:])


def shown(milliseconds: Sequence[float]) -> str:
    """Median, least and most."""
    found = statistics.median(milliseconds), min(milliseconds), max(milliseconds)
    digits = 0 if found[0] >= 100 else 1 if found[0] >= 10 else 2
    return "{} ms ({}-{})".format(*(f"{each:,.{digits}f}" for each in found))


@contextmanager
def fresh(engine: str) -> Iterator[SqliteStore | PostgresStore]:
    """A database that is gone afterwards."""
    if engine == "sqlite":
        folder = Path(tempfile.mkdtemp(prefix="rollbook-bench-", dir="/tmp"))
        try:
            yield SqliteStore(folder / "fields.db")
        finally:
            shutil.rmtree(folder)
    else:
        server = Postgres(*DURABLE)
        try:
            yield PostgresStore(server.create_database("fields"))
        finally:
            server.remove()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.field_storage")
    parser.add_argument("--contacts", type=int, default=1_000_000)
    parser.add_argument("--plans", action="store_true", help="print the plans of the searches too")
    parser.add_argument("--engine", choices=ENGINES, help="measure this one only")
    given = parser.parse_args()
    known = people(given.contacts)
    gc.freeze()
    print(machine())
    for engine in [given.engine] if given.engine else ENGINES:
        columns, totals = [], []
        for layout in LAYOUTS:
            with fresh(engine) as store:
                bench = Bench(layout, store, known, plans=given.plans)
                columns.append(bench.everything())
            totals.append(bench.totals)
        assert all(each == totals[0] for each in totals), "the layouts find different contacts"
        print(f"\n| {engine} | {' | '.join(layout.title for layout in LAYOUTS)} |")
        print("| --- " * (len(LAYOUTS) + 1) + "|")
        for name in columns[0]:
            print(f"| {name} | {' | '.join(told[name] for told in columns)} |", flush=True)


if __name__ == "__main__":
    main()
