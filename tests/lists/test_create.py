from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rollbook import lists
from rollbook.accounts import Account
from rollbook.db import Database
from rollbook.errors import AlreadyExists, Invalid
from rollbook.lists import NewList


def test_a_new_list_is_empty_and_not_the_default(db: Database, alice: Account) -> None:
    made = db.write(lists.create, alice.account_id, NewList("Customers", "who bought"))
    assert (made.name, made.description, made.is_default) == ("Customers", "who bought", False)
    assert (made.items, made.stop_list_count) == (0, 0)
    assert abs(datetime.now(UTC) - made.created_at) < timedelta(minutes=1)
    assert db.read(lists.get, alice.account_id, made.id) == made
