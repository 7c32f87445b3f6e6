"""A recount sees whatever is wrong, and mends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rollbook import contacts, fields, leftovers, lists, sandbox, stop_list, verify
from rollbook.accounts import Account
from rollbook.contacts import NewContact
from rollbook.counts import ACCOUNT_COUNTS, LIST_COUNTS
from rollbook.db import Database, Transaction
from rollbook.fields import NewField
from rollbook.lists import NewList
from rollbook.verify import Drift

STOPPED, FREE, VIBER = 380_000_000_001, 380_000_000_002, 380_000_000_003
NOWHERE = 999_999_999


class Book:
    """Two accounts with the same things in them; one of them gets broken."""

    def __init__(self, db: Database, account: Account) -> None:
        self.db = db
        self.account_id = account.account_id
        self.list_id: int = db.write(lists.create, self.account_id, NewList("Customers")).id
        self.empty_id: int = db.write(lists.create, self.account_id, NewList("Nobody")).id
        self.field_id = db.write(fields.create, self.account_id, NewField("City", "text")).id
        db.write(stop_list.add, self.account_id, phones=[STOPPED], channels=["sms", "rcs"])
        db.write(stop_list.add, self.account_id, phones=[VIBER], channels=["viber", "whatsapp"])
        news = [
            NewContact(phone, (self.list_id,), {self.field_id: "Kyiv"}) for phone in (STOPPED, FREE, VIBER)
        ]
        made = db.write(contacts.create_many, self.account_id, news)
        self.contact_id = next(each.id for each in made if isinstance(each, contacts.Contact))

    def run(self, sql: str, **params: Any) -> None:
        params |= {"account_id": self.account_id}
        self.db.write(lambda tx: tx.run(sql, **params))

    def recount(self) -> list[Drift]:
        return self.db.read(verify.recount, self.account_id)

    def state(self) -> list[str]:
        """Every row of the account, as text."""
        return self.db.read(_rows, self.account_id)


_COLUMNS = {
    "account": ["account_id", *ACCOUNT_COUNTS],
    "contact_list": ["id", *LIST_COUNTS],
    "contact": ["id", "phone", "stop_mask"],
    "membership": ["list_id", "contact_id"],
    "field_value": ["contact_id", "field_id", "value"],
    "stop_list": ["id", "phone", "mask"],
    "leftover": ["id", "kind"],
}


def _rows(tx: Transaction, account_id: int) -> list[str]:
    found = []
    for table, columns in _COLUMNS.items():
        shown = " || ' ' || ".join(f"CAST({column} AS TEXT)" for column in columns)
        sql = f"SELECT '{table} ' || {shown} AS shown FROM {table} WHERE account_id = :account_id"
        found += tx.all(str, sql, account_id=account_id)
    return sorted(found)


@pytest.fixture
def book(db: Database, alice: Account) -> Book:
    return Book(db, alice)


@pytest.fixture
def other(db: Database, bob: Account) -> Book:
    return Book(db, bob)


def test_what_is_right_is_left_alone(book: Book) -> None:
    before = book.state()
    assert book.recount() == []
    assert book.db.write(verify.fix, book.account_id) == []
    assert book.state() == before


@pytest.mark.parametrize("count", LIST_COUNTS)
def test_a_wrong_count_of_a_list_is_reported_and_mended(book: Book, other: Book, count: str) -> None:
    before, others = book.state(), other.state()
    right = getattr(book.db.read(lists.stats, book.account_id, book.list_id), count)
    for list_id, name, actual in ((book.list_id, "Customers", right), (book.empty_id, "Nobody", 0)):
        for by in (1, -1, 1000):
            book.run(
                f"UPDATE contact_list SET {count} = {count} + :by WHERE account_id = :account_id AND id = :id",
                by=by,
                id=list_id,
            )
            drift = [Drift(list_id, name, count, actual + by, actual)]
            assert book.recount() == drift
            assert other.recount() == []
            assert book.db.write(verify.fix, other.account_id) == []
            assert book.db.write(verify.fix, book.account_id) == drift
            assert book.recount() == []
            assert (book.state(), other.state()) == (before, others)


@pytest.mark.parametrize("count", ACCOUNT_COUNTS)
def test_a_wrong_count_of_an_account_is_reported_and_mended(book: Book, other: Book, count: str) -> None:
    before, others = book.state(), other.state()
    right = {"contacts": 3, "stops": 2}.get(count, 1)
    for by in (1, -1, 1000):
        book.run(f"UPDATE account SET {count} = {count} + :by WHERE account_id = :account_id", by=by)
        assert book.recount() == [Drift(0, "", count, right + by, right)]
        assert book.db.write(verify.fix, other.account_id) == []
        assert book.db.write(verify.fix, book.account_id) == [Drift(0, "", count, right + by, right)]
        assert book.recount() == []
        assert (book.state(), other.state()) == (before, others)


_STRAY = "contacts with other stops than the stop list"


def test_a_contact_with_other_stops_than_the_stop_list_is_reported_and_mended(
    book: Book, other: Book
) -> None:
    before, others = book.state(), other.state()
    wrong = [(STOPPED, 0), (STOPPED, 1), (STOPPED, 15), (FREE, 1), (FREE, 4), (VIBER, 2), (VIBER, 8)]
    for phone, mask in wrong:
        book.run(
            "UPDATE contact SET stop_mask = :mask WHERE account_id = :account_id AND phone = :phone",
            mask=mask,
            phone=phone,
        )
        drift = book.recount()
        assert Drift(0, "", _STRAY, 1, 0) in drift
        assert other.recount() == []
        assert book.db.write(verify.fix, book.account_id) == drift
        assert book.recount() == []
        assert (book.state(), other.state()) == (before, others)


def test_a_mask_that_drifted_together_with_its_counts_is_mended_too(book: Book) -> None:
    """As a writer that forgot the stop list would leave it: list counts agree with the wrong masks."""
    before = book.state()
    book.run("UPDATE contact SET stop_mask = 0 WHERE account_id = :account_id")
    zeros = ", ".join(f"{count} = 0" for count in LIST_COUNTS if count != "items")
    book.run(f"UPDATE contact_list SET {zeros} WHERE account_id = :account_id")
    assert Drift(0, "", _STRAY, 2, 0) in book.recount()
    book.db.write(verify.fix, book.account_id)
    assert book.recount() == []
    assert book.state() == before


_MEMBER = (
    "INSERT INTO membership (account_id, list_id, contact_id) VALUES (:account_id, :list_id, :contact_id)"
)
_VALUE = (
    "INSERT INTO field_value (account_id, contact_id, field_id, value, search_key) "
    "VALUES (:account_id, :contact_id, :field_id, 'Lviv', 'lviv')"
)


def member_without_a_contact(book: Book) -> None:
    book.run(_MEMBER, list_id=book.list_id, contact_id=NOWHERE)


def member_without_a_list(book: Book) -> None:
    book.run(_MEMBER, list_id=NOWHERE, contact_id=book.contact_id)


def value_without_a_contact(book: Book) -> None:
    book.run(_VALUE, contact_id=NOWHERE, field_id=book.field_id)


def value_without_a_field(book: Book) -> None:
    book.run(_VALUE, contact_id=book.contact_id, field_id=NOWHERE)


@pytest.mark.parametrize(
    ("orphan", "reported"),
    [
        (member_without_a_contact, "members without a contact"),
        (member_without_a_list, "members without a list"),
        (value_without_a_contact, "values without a contact"),
        (value_without_a_field, "values without a field"),
    ],
)
def test_rows_that_hang_on_nothing_are_reported_and_removed(
    book: Book, other: Book, orphan: Callable[[Book], None], reported: str
) -> None:
    before, others = book.state(), other.state()
    orphan(book)
    assert book.recount() == [Drift(0, "", reported, 1, 0)]
    assert other.recount() == []
    assert book.db.write(verify.fix, book.account_id) == [Drift(0, "", reported, 1, 0)]
    assert book.recount() == []
    assert (book.state(), other.state()) == (before, others)


@pytest.mark.parametrize("facts", ["membership", "contact", "stop_list", "field_value", "contact_field"])
def test_counts_follow_when_facts_are_lost(book: Book, other: Book, facts: str) -> None:
    others = other.state()
    book.run(f"DELETE FROM {facts} WHERE account_id = :account_id")
    drift = book.recount()
    assert bool(drift) == (facts != "field_value")  # a contact may well have no value
    assert book.db.write(verify.fix, book.account_id) == drift
    assert book.recount() == []
    stats = book.db.read(lists.stats, book.account_id, book.list_id)
    assert stats.items == (0 if facts in ("membership", "contact") else 3)
    assert stats.stop_list_count == (2 if facts in ("field_value", "contact_field") else 0)
    assert other.state() == others


def test_everything_wrong_at_once_is_mended_at_once(book: Book, other: Book) -> None:
    before, others = book.state(), other.state()
    for orphan in (
        member_without_a_contact,
        member_without_a_list,
        value_without_a_contact,
        value_without_a_field,
    ):
        orphan(book)
    book.run("UPDATE contact SET stop_mask = 15 - stop_mask WHERE account_id = :account_id")
    wrong = ", ".join(f"{count} = 77" for count in LIST_COUNTS)
    book.run(f"UPDATE contact_list SET {wrong} WHERE account_id = :account_id")
    wrong = ", ".join(f"{count} = 77" for count in ACCOUNT_COUNTS)
    book.run(f"UPDATE account SET {wrong} WHERE account_id = :account_id")
    drift = book.recount()
    assert {each.count for each in drift} == {
        *LIST_COUNTS,
        *ACCOUNT_COUNTS,
        _STRAY,
        "members without a contact",
        "members without a list",
        "values without a contact",
        "values without a field",
    }
    assert book.db.write(verify.fix, book.account_id) == drift
    assert book.recount() == []
    assert (book.state(), other.state()) == (before, others)


def test_leftovers_are_no_drift_and_are_not_taken_by_the_mending(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "CHUNK_ROWS", 2)
    book.db.write(lists.delete, book.account_id, book.list_id)
    book.db.write(fields.delete, book.account_id, [book.field_id])
    before = book.state()
    assert sum(row.startswith(("membership", "field_value")) for row in before) == 6
    assert book.recount() == []
    assert book.db.write(verify.fix, book.account_id) == []
    assert book.state() == before
    book.run("UPDATE account SET contacts = 77 WHERE account_id = :account_id")
    book.db.write(verify.fix, book.account_id)
    assert book.state() == before
    while left := book.db.read(leftovers.some):
        book.db.write(leftovers.remove_some, left[0].account_id, left[0])
        assert book.recount() == []
    assert not any(row.startswith(("membership", "field_value")) for row in book.state())


def test_a_wiped_sandbox_has_nothing_to_count(db: Database, alice: Account) -> None:
    trial = Book(db, Account(alice.sandbox_id, "", 0, alice.created_at))
    live = Book(db, alice)
    before = live.state()
    assert db.write(sandbox.wipe, name="alice") == 2
    assert trial.recount() == []
    assert trial.state() == [f"account {alice.sandbox_id} {' '.join('0' for _ in ACCOUNT_COUNTS)}"]
    assert live.state() == before
