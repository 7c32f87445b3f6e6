"""What the engines would silently do differently, each alike on both."""

from __future__ import annotations

from array import array
from datetime import UTC, datetime

import msgspec
import pytest

from rollbook.db import Database, Integers, Rows, Taken, Transaction
from rollbook.db.transaction import STATEMENTS_KNOWN_MAX
from rollbook.errors import Unavailable


class Pair(msgspec.Struct, frozen=True):
    id: int
    name: str | None


class Fact(msgspec.Struct, frozen=True):
    is_true: bool
    at: datetime
    maybe: bool | None = None


@pytest.fixture
def table(db: Database) -> Database:
    """A table of three pairs, made through a migration's words."""
    from rollbook.db import migrations

    words = migrations.SQLITE if db.engine == "sqlite" else migrations.POSTGRESQL
    create = "CREATE TABLE pair (id {bigint} PRIMARY KEY, name {text}, flag {boolean}, at {bigint})"
    db.write(lambda tx: tx.run(migrations._filled(create, words)))
    db.write(insert, [(1, "Anna"), (2, "anna"), (3, None), (4, "\u00c4nna_%")])
    return db


def insert(tx: Transaction, pairs: list[tuple[int, str | None]]) -> list[int]:
    return tx.all(
        int,
        f"""
        INSERT INTO pair (id, name) SELECT new.id, new.name
        FROM {tx.rows("new", id="bigint", name="text")} WHERE TRUE
        ON CONFLICT (id) DO NOTHING RETURNING id
        """,
        new=Rows(id=[pair[0] for pair in pairs], name=[pair[1] for pair in pairs]),
    )


def test_rows_come_by_name_in_any_order(table: Database) -> None:
    forward = table.read(lambda tx: tx.all(Pair, "SELECT id, name FROM pair ORDER BY id"))
    backward = table.read(lambda tx: tx.all(Pair, "SELECT name, id FROM pair ORDER BY id"))
    assert forward == backward
    assert forward[2] == Pair(3, None)


def test_a_column_without_a_field_is_an_error(table: Database) -> None:
    with pytest.raises(TypeError, match="Pair has no field for the column"):
        table.read(lambda tx: tx.all(Pair, "SELECT id, name, 1 AS extra FROM pair"))


def test_booleans_and_moments_come_as_what_they_are(table: Database) -> None:
    moment = datetime(2022, 4, 28, 14, 21, 16, tzinfo=UTC)
    table.write(
        lambda tx: tx.run("UPDATE pair SET flag = :flag, at = :at WHERE id = 1", flag=True, at=moment)
    )
    for columns in ("flag AS is_true, at", "at, flag AS is_true", "flag AS is_true, at, NULL AS maybe"):
        found = table.read(
            lambda tx, columns: tx.one(Fact, f"SELECT {columns} FROM pair WHERE id = 1"), columns
        )
        assert found is not None
        assert found == Fact(True, moment)
        assert found.is_true is True


def test_text_is_compared_by_code_point(table: Database) -> None:
    ordered = table.read(lambda tx: tx.all(str, "SELECT name FROM pair WHERE name IS NOT NULL ORDER BY name"))
    assert ordered == sorted(ordered) == ["Anna", "anna", "\u00c4nna_%"]


def test_contains_is_to_the_letter(table: Database) -> None:
    def having(needle: str) -> list[int]:
        return table.read(
            lambda tx: tx.all(
                int, f"SELECT id FROM pair WHERE {tx.contains('name', 'needle')} ORDER BY id", needle=needle
            )
        )

    assert having("nna") == [1, 2, 4]
    assert having("A") == [1]
    assert having("_%") == [4]
    assert having("%") == [4]


def test_any_of_takes_a_list_an_empty_one_too(table: Database) -> None:
    def among(ids: list[int]) -> list[int]:
        sql = "SELECT id FROM pair WHERE {} ORDER BY id"
        return table.read(lambda tx: tx.all(int, sql.format(tx.any_of("id", "ids")), ids=ids))

    assert among([3, 1, 99, 1]) == [1, 3]
    assert among([]) == []


def test_rows_insert_and_say_which_won(table: Database) -> None:
    assert sorted(table.write(insert, [(4, "x"), (5, "y"), (5, "z"), (6, None)])) == [5, 6]
    assert table.read(lambda tx: tx.one(str, "SELECT name FROM pair WHERE id = 5")) == "y"


AWKWARD = [
    "",
    "NULL",
    "null",
    '"',
    "\\",
    '\\"',
    "{a,b}",
    "a,b",
    " x ",
    "\n\t",
    "%s %(x)s :x",
    "\u00e9\U0001f4de",
    "\\u0041",
    None,
]


def test_rows_carry_every_text_unchanged(table: Database) -> None:
    pairs = [(100 + number, text) for number, text in enumerate(AWKWARD)]
    assert len(table.write(insert, pairs)) == len(AWKWARD)
    found = table.read(lambda tx: tx.all(Pair, "SELECT id, name FROM pair WHERE id >= 100 ORDER BY id"))
    assert [(pair.id, pair.name) for pair in found] == pairs


def test_rows_carry_booleans_and_large_numbers(table: Database) -> None:
    wide = Rows(id=[2**53, -(2**62)], flag=[True, False])
    sql = "UPDATE pair SET flag = new.flag FROM {} WHERE pair.id = 1 AND new.id = :wanted"
    for wanted, flag in ((2**53, True), (-(2**62), False)):
        table.write(
            lambda tx, wanted: tx.run(
                sql.format(tx.rows("new", id="bigint", flag="boolean")), new=wide, wanted=wanted
            ),
            wanted,
        )
        assert bool(table.read(lambda tx: tx.one(int, "SELECT flag FROM pair WHERE id = 1"))) is flag


def test_a_refused_unique_key_is_taken(table: Database) -> None:
    with pytest.raises(Taken):
        table.write(lambda tx: tx.run("INSERT INTO pair (id) VALUES (1)"))
    assert table.read(lambda tx: tx.one(int, "SELECT count(*) FROM pair")) == 4


def test_a_part_that_raises_is_undone_alone(table: Database) -> None:
    def work(tx: Transaction) -> None:
        insert(tx, [(10, "kept")])

        def fail() -> None:
            with tx.part():
                insert(tx, [(11, "undone")])
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        with tx.part():
            insert(tx, [(12, "kept")])

    table.write(work)
    assert table.read(lambda tx: tx.all(int, "SELECT id FROM pair WHERE id >= 10 ORDER BY id")) == [10, 12]


def test_a_write_that_raises_changes_nothing(table: Database) -> None:
    def work(tx: Transaction) -> None:
        insert(tx, [(10, "x")])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        table.write(work)
    assert table.read(lambda tx: tx.one(int, "SELECT count(*) FROM pair")) == 4


def test_a_read_is_one_snapshot(table: Database) -> None:
    def count_twice(tx: Transaction) -> tuple[int | None, int | None]:
        first = tx.one(int, "SELECT count(*) FROM pair")
        table.write(insert, [(50, "meanwhile")])
        return first, tx.one(int, "SELECT count(*) FROM pair")

    assert table.read(count_twice) == (4, 4)
    assert table.read(lambda tx: tx.one(int, "SELECT count(*) FROM pair")) == 5


def test_ids_are_never_given_twice(db: Database) -> None:
    taken: list[int] = []
    for count in (1, 3, 1500, 1):
        taken += db.write(lambda tx, count: tx.new_ids("thing", count), count)
    assert len(set(taken)) == 1505
    assert taken == sorted(taken)
    assert taken[0] == 1
    assert list(db.write(lambda tx: tx.new_ids("other", 2))) == [1, 2]


def test_what_is_remembered_of_statements_is_bounded(db: Database) -> None:
    def many(tx: Transaction) -> None:
        for number in range(STATEMENTS_KNOWN_MAX + 10):
            assert tx.one(int, f"SELECT {number} AS n WHERE :one = 1", one=1) == number

    db.read(many)
    assert len(db.builders) <= STATEMENTS_KNOWN_MAX


def test_a_statement_that_is_wrong_is_not_blamed_on_the_server(db: Database) -> None:
    for run in (db.read, db.write):
        with pytest.raises(Exception, match="nothing") as raised:
            run(lambda tx: tx.run("SELECT * FROM nothing"))
        assert not isinstance(raised.value, Unavailable)
    assert db.read(lambda tx: tx.one(int, "SELECT 1")) == 1


def test_arguments_may_be_named(db: Database) -> None:
    def add(tx: Transaction, a: int, *, b: int) -> int:
        return a + b

    assert db.write(add, 1, b=2) == 3
    assert db.read(add, 1, b=2) == 3


def test_after_close_work_is_refused(db: Database) -> None:
    db.write(lambda tx: None)
    db.read(lambda tx: None)
    db.close()
    for run in (db.read, db.write):
        with pytest.raises(Unavailable):
            run(lambda tx: None)
    db.close()


def test_an_array_of_integers_is_a_table_that_counts_its_places(db: Database) -> None:
    numbers = array("q", [7, -(2**63), 2**63 - 1, 0, 7])
    rows = db.read(
        lambda tx: tx.all(
            Placed,
            f"SELECT place, value FROM {tx.integers('numbers')} ORDER BY place",
            numbers=Integers(numbers),
        )
    )
    assert [(row.place, row.value) for row in rows] == list(enumerate(numbers, 1))


class Placed(msgspec.Struct):
    place: int
    value: int
