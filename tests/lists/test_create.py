from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rollbook import lists
from rollbook.accounts import Account
from rollbook.db import Database
from rollbook.errors import AlreadyExists, Invalid
from rollbook.lists import ContactList, NewList


def test_a_new_list_is_empty_and_not_the_default(db: Database, alice: Account) -> None:
    made = db.write(lists.create, alice.account_id, NewList("Customers", "who bought"))
    assert (made.name, made.description, made.is_default) == ("Customers", "who bought", False)
    assert (made.items, made.stop_list_count) == (0, 0)
    assert abs(datetime.now(UTC) - made.created_at) < timedelta(minutes=1)
    assert db.read(lists.get, alice.account_id, made.id) == made


def test_a_name_is_unique_in_its_account_only(db: Database, alice: Account, bob: Account) -> None:
    db.write(lists.create, alice.account_id, NewList("Customers"))
    with pytest.raises(AlreadyExists, match="'Customers'"):
        db.write(lists.create, alice.account_id, NewList("Customers"))
    assert db.write(lists.create, bob.account_id, NewList("Customers")).name == "Customers"


def test_many_are_created_with_a_fixed_number_of_statements(db: Database, alice: Account) -> None:
    for count in (2, 200):
        before = db.statements_run
        news = [NewList(f"{count} {number}") for number in range(count)]
        outcomes = db.write(lists.create_many, alice.account_id, news)
        assert [outcome.name for outcome in outcomes if isinstance(outcome, ContactList)] == [
            new.name for new in news
        ]
        assert db.statements_run - before <= 2


@pytest.mark.parametrize(
    ("name", "description", "fields"),
    [
        ("ab", None, ["name"]),
        ("x" * 51, None, ["name"]),
        ("abc\0", None, ["name"]),
        ("abc", "x" * 256, ["description"]),
        ("abc", "\0", ["description"]),
        ("", "x" * 256, ["name", "description"]),
    ],
)
def test_what_breaks_a_rule_is_named_field_by_field(
    name: str, description: str | None, fields: list[str]
) -> None:
    with pytest.raises(Invalid) as raised:
        NewList(name, description)
    assert [problem.field for problem in raised.value.problems] == fields


def test_texts_are_kept_in_their_normal_form() -> None:
    new = NewList("  Cafe\u0301 ", "e\u0301")
    assert (new.name, new.description) == ("Caf\u00e9", "\u00e9")
    assert NewList("\u00fc" * 50).name == "\u00fc" * 50
    assert NewList("u\u0308" * 50).name == "\u00fc" * 50
