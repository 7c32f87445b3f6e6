"""One person's data is all that is kept of them, and nothing of anybody else."""

from __future__ import annotations

import msgspec
import pytest

from rollbook import contacts, fields, lists, stop_list
from rollbook.accounts import Account
from rollbook.contacts import NewContact
from rollbook.db import Database
from rollbook.errors import NotFound
from rollbook.exports import person
from rollbook.fields import NewField
from rollbook.lists import NewList

PHONE = 380_000_000_001


def test_everything_under_a_phone_comes_out(db: Database, alice: Account) -> None:
    account_id = alice.account_id
    city = db.write(fields.create, account_id, NewField("City", "text")).id
    note = db.write(fields.create, account_id, NewField("Note", "text", None, False)).id
    customers = db.write(lists.create, account_id, NewList("Customers"))
    db.write(lists.create, account_id, NewList("Others"))
    values = {city: "Kyiv", note: "hidden from lists of columns, but kept"}
    made = db.write(contacts.create, account_id, NewContact(PHONE, (customers.id,), values))
    db.write(contacts.create, account_id, NewContact(PHONE + 1, (), {city: "Lviv"}))
    [stop] = db.write(stop_list.add, account_id, phones=[PHONE], channels=["sms", "rcs"])
    found = db.read(person.of_phone, account_id, PHONE)
    assert found == db.read(person.of_contact, account_id, made.id)
    assert msgspec.to_builtins(found, builtin_types=()) | {"exported_at": ""} == {
        "phone": PHONE,
        "exported_at": "",
        "contact": {
            "id": made.id,
            "created_at": f"{made.created_at:%Y-%m-%dT%H:%M:%S}Z",
            "fields": {"City": "Kyiv", "Note": "hidden from lists of columns, but kept"},
            "lists": [{"id": customers.id, "name": "Customers"}],
        },
        "stop_list": {
            "id": stop.id,
            "channels": ["sms", "rcs"],
            "created_at": f"{stop.created_at:%Y-%m-%dT%H:%M:%S}Z",
        },
    }


def test_who_is_only_on_the_stop_list_or_only_in_the_book_is_found_too(db: Database, alice: Account) -> None:
    db.write(stop_list.add, alice.account_id, phones=[PHONE], channels=["viber"])
    found = db.read(person.of_phone, alice.account_id, PHONE)
    assert found.contact is None
    assert found.stop_list is not None
    assert found.stop_list.channels == ["viber"]
    db.write(contacts.create, alice.account_id, NewContact(PHONE + 1))
    found = db.read(person.of_phone, alice.account_id, PHONE + 1)
    assert found.contact is not None
    assert found.stop_list is None


def test_a_stranger_is_nobody(db: Database, alice: Account, bob: Account) -> None:
    made = db.write(contacts.create, bob.account_id, NewContact(PHONE))
    with pytest.raises(NotFound, match=f"There is no contact or stop with the phone {PHONE}"):
        db.read(person.of_phone, alice.account_id, PHONE)
    with pytest.raises(NotFound):
        db.read(person.of_contact, alice.account_id, made.id)
