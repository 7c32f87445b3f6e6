from __future__ import annotations

import pytest

from rollbook import lists
from rollbook.accounts import Account
from rollbook.db import Database
from rollbook.errors import Invalid, NotFound
from rollbook.lists import NewList
from rollbook.search import Criterion, PageRequest, Search


def test_a_page_takes_two_statements_whatever_its_size(db: Database, alice: Account) -> None:
    news = [NewList(f"list {number}") for number in range(300)]
    db.write(lists.create_many, alice.account_id, news)
    for limit in (1, 300):
        before = db.statements_run
        found = db.read(
            lists.find,
            alice.account_id,
            Search((Criterion("name", "like", "list"),), "name", False, PageRequest(limit=limit)),
        )
        assert (len(found.rows), found.total) == (limit, 300)
        assert db.statements_run - before == 2


def test_many_are_looked_up_with_one_statement(db: Database, alice: Account, bob: Account) -> None:
    mine = db.write(lists.create, alice.account_id, NewList("mine"))
    other = db.write(lists.create, bob.account_id, NewList("other"))
    before = db.statements_run
    found = db.read(lists.get_many, alice.account_id, [other.id, mine.id, 999, mine.id])
    assert db.statements_run - before == 1
    assert found[1] == found[3] == mine
    assert isinstance(found[0], NotFound)
    assert isinstance(found[2], NotFound)


def test_keyset_paging_goes_on_where_a_deleted_row_was(db: Database, alice: Account) -> None:
    ids = [db.write(lists.create, alice.account_id, NewList(f"list {n}")).id for n in range(5)]
    db.write(lists.delete, alice.account_id, ids[2])
    after = Search(page=PageRequest(after=ids[2]))
    assert [row.id for row in db.read(lists.find, alice.account_id, after).rows] == ids[1::-1]
    by_name = Search(sort="name", page=PageRequest(after=ids[2]))
    with pytest.raises(Invalid, match=r"page\[after\]"):
        db.read(lists.find, alice.account_id, by_name)
