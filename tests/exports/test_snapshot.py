"""An export is the book at one moment, whatever happens while it is written."""

from __future__ import annotations

import io
import threading
from typing import Any

import pytest

from rollbook import contacts, exports, lists, members, stop_list
from rollbook.accounts import Account
from rollbook.audience import Audience
from rollbook.contacts import Contact, NewContact
from rollbook.db import Database, EngineLimits, open_database
from rollbook.exports import Export
from rollbook.lists import NewList

PHONE = 380_000_000_000
ROWS = 400


def book(db: Database, account_id: int) -> tuple[int, list[int]]:
    """A list of so many contacts."""
    news = [NewContact(PHONE + number) for number in range(ROWS)]
    made = db.write(contacts.create_many, account_id, news)
    ids = [each.id for each in made if isinstance(each, Contact)]
    list_id = db.write(lists.create, account_id, NewList("Customers")).id
    for first in range(0, ROWS, members.CONTACTS_AT_ONCE_MAX):
        some = ids[first : first + members.CONTACTS_AT_ONCE_MAX]
        db.write(members.attach, account_id, contact_ids=some, list_ids=[list_id])
    return list_id, ids


@pytest.mark.parametrize("what", ["the book", "a list", "who is reachable"])
def test_what_changes_meanwhile_is_not_in_it(
    db: Database, alice: Account, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for engine in ("sqlite", "postgres"):
        monkeypatch.setattr(f"rollbook.db.{engine}_transaction.PIECE_ROWS", 50)
    list_id, ids = book(db, alice.account_id)
    wanted = {
        "the book": Audience(),
        "a list": Audience(lists=(list_id,)),
        "who is reachable": Audience(lists=(list_id,), reachable=("sms",)),
    }[what]
    before, during = io.BytesIO(), io.BytesIO()
    exports.write(db, alice.account_id, Export(audience=wanted), before)
    changed: list[int] = []

    def told(rows: int) -> None:
        """After each piece: delete some that come later, stop others, add new ones."""
        last = ids.pop()
        db.write(contacts.delete, alice.account_id, last)
        db.write(stop_list.add, alice.account_id, phones=[PHONE + 300 + len(changed)], channels=["sms"])
        db.write(contacts.create, alice.account_id, NewContact(PHONE + 1000 + rows, (list_id,)))
        changed.append(rows)

    exports.write(db, alice.account_id, Export(audience=wanted), during, told)
    assert len(changed) == ROWS // 50
    assert during.getvalue() == before.getvalue()
    after = io.BytesIO()
    exports.write(db, alice.account_id, Export(audience=wanted), after)
    assert after.getvalue() != before.getvalue()


def test_two_exports_at_a_time_with_a_writer_beside_them(db: Database, alice: Account) -> None:
    """Each is some state in which the list had its 400 contacts or more, never a mixture."""
    list_id, _ = book(db, alice.account_id)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():  # pairs, each in one transaction
            number += 2
            news = [NewContact(PHONE + 5000 + number + extra, (list_id,)) for extra in (0, 1)]
            db.write(contacts.create_many, alice.account_id, news)

    writer = threading.Thread(target=write)
    writer.start()
    found: list[Any] = []

    def export() -> None:
        for _ in range(5):
            out = io.BytesIO()
            wanted = Export(audience=Audience(lists=(list_id,)), columns=("phone",))
            found.append(exports.write(db, alice.account_id, wanted, out))

    exporters = [threading.Thread(target=export) for _ in range(2)]
    for each in exporters:
        each.start()
    for each in exporters:
        each.join()
    stop.set()
    writer.join()
    assert len(found) == 10
    assert all(rows >= ROWS and rows % 2 == 0 for rows in found)


def test_a_statement_of_an_export_may_take_longer_than_those_of_the_service(url: str, db: Database) -> None:
    impatient = open_database(url, EngineLimits(statement_timeout_seconds=0.05))
    try:
        with impatient.long_read() as tx:
            if impatient.engine == "postgresql":
                tx.run("SELECT pg_sleep(0.2)")
            assert tx.one(int, "SELECT count(*) FROM account") == 0
    finally:
        impatient.close()


def test_an_export_changes_nothing(db: Database, alice: Account) -> None:
    with pytest.raises(Exception, match=r"read-?only"), db.long_read() as tx:
        tx.run("UPDATE account SET contacts = 7")
