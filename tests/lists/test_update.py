from __future__ import annotations

import pytest

from rollbook import lists, search
from rollbook.accounts import Account
from rollbook.db import Database
from rollbook.errors import AlreadyExists, NotFound
from rollbook.lists import ListChange, NewList


def test_what_is_absent_stays(db: Database, alice: Account) -> None:
    made = db.write(lists.create, alice.account_id, NewList("Customers", "who bought", True))
    changed = db.write(lists.update, alice.account_id, made.id, ListChange(name="Buyers"))
    assert (changed.name, changed.description, changed.is_default) == ("Buyers", "who bought", True)
    assert db.write(lists.update, alice.account_id, made.id, ListChange()) == changed
    assert db.write(lists.update, alice.account_id, made.id, ListChange(description=None)).description is None


def test_a_list_is_found_by_its_new_name_only(db: Database, alice: Account) -> None:
    made = db.write(lists.create, alice.account_id, NewList("Customers", "old text"))
    db.write(lists.update, alice.account_id, made.id, ListChange(name="Buyers", description="new"))
    for field, text, count in (("name", "CUST", 0), ("name", "BUY", 1), ("description", "old", 0)):
        criteria = (search.Criterion(field, "like", text),)
        assert db.read(lists.find, alice.account_id, search.Search(criteria)).total == count


def test_another_accounts_list_is_not_found(db: Database, alice: Account, bob: Account) -> None:
    made = db.write(lists.create, alice.account_id, NewList("Customers"))
    for change in (ListChange(name="Stolen"), ListChange(is_default=True), ListChange()):
        with pytest.raises(NotFound):
            db.write(lists.update, bob.account_id, made.id, change)
    with pytest.raises(NotFound):
        db.write(lists.delete, bob.account_id, made.id)
    assert db.read(lists.get, alice.account_id, made.id) == made


def test_a_taken_name_changes_nothing(db: Database, alice: Account) -> None:
    first = db.write(lists.create, alice.account_id, NewList("first", None, True))
    second = db.write(lists.create, alice.account_id, NewList("second"))
    with pytest.raises(AlreadyExists):
        db.write(lists.update, alice.account_id, second.id, ListChange(name="first", is_default=True))
    assert db.read(lists.get, alice.account_id, first.id) == first
    assert db.read(lists.get, alice.account_id, second.id) == second
