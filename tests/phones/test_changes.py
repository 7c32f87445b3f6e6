"""Numbers whose plan changed: the old and the new form are one number, for files, the API and the stop list."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pyarrow as pa
import pytest

from rollbook import contacts, lists, phones, renumbering, stop_list, verify
from rollbook.accounts import Account
from rollbook.contacts import NewContact
from rollbook.db import Database, Transaction
from rollbook.lists import NewList
from rollbook.phones import changes
from rollbook.phones.changes import CHANGED_PLANS
from rollbook.phones.column import classify
from rollbook.search import Criterion, Search
from rollbook.stop_list import Wanted
from tests.cases.people import CASES

FORMS = [
    ("+52 1 55 1234 5678", "+52 55 1234 5678"),
    ("+55 11 8123 4567", "+55 11 98123 4567"),
    ("+55 21 6123 4567", "+55 21 96123 4567"),
    ("+57 1 234 5678", "+57 601 234 5678"),
    ("+84 128 123 4567", "+84 78 123 4567"),
    ("+84 162 123 4567", "+84 32 123 4567"),
    ("+225 07 12 34 56", "+225 07 07 12 34 56"),
    ("+225 44 12 34 56", "+225 05 44 12 34 56"),
    ("+225 02 12 34 56", "+225 01 02 12 34 56"),
    ("+229 97 12 34 56", "+229 01 97 12 34 56"),
]
"""Old and new, a line for each plan and kind of change."""

OLD, NEW = 551181234567, 5511981234567


@pytest.mark.parametrize(("old", "new"), FORMS)
def test_the_old_form_is_read_as_the_new_one(old: str, new: str) -> None:
    phone = phones.parse(new)
    assert phones.is_valid(phone)
    assert phones.parse(old) == phone
    assert phones.parse(old.replace(" ", "").removeprefix("+")) == phone
    assert classify(pa.array([old, new])).phone.tolist() == [phone, phone]
    assert int("".join(filter(str.isdigit, old))) in changes.old_forms(phone)


def test_every_plan_of_the_table_has_an_example_and_a_source() -> None:
    assert {int(code) for code in CHANGED_PLANS} == {52, 55, 57, 84, 225, 229}
    assert all(plan.source and plan.since for plan in CHANGED_PLANS.values())


@pytest.mark.parametrize(
    "text",
    [
        "+55 11 3123 4567",  # a fixed line, of 8 digits for ever
        "+54 11 5555 0132",  # a fixed line: only 15 or 9 makes a mobile phone of it
        "+52 55 1234 5678",
        "+57 310 123 4567",
        "+225 07 07 12 34 56",
        "+229 01 97 12 34 56",
        "+84 28 1234 5678",
    ],
)
def test_what_is_assigned_today_stays_as_it_is(text: str) -> None:
    digits = int("".join(filter(str.isdigit, text)))
    assert phones.parse(text) == digits
    assert classify(pa.array([text])).phone.tolist() == [digits]


def test_argentinas_15_is_the_9_of_today() -> None:
    assert phones.parse("+54 11 15 5555 0132") == phones.parse("+54 9 11 5555 0132")


def test_a_column_and_one_text_are_read_alike_in_every_old_range() -> None:
    texts = [
        f"+{phone}" for first, last in changes.old_ranges() for phone in (first, last, (first + last) // 2)
    ]
    found = classify(pa.array(texts))
    assert found.phone.tolist() == [phones.read(text, None).phone for text in texts]
    assert np.count_nonzero(found.valid) > len(texts) / 3


def test_old_forms_of_the_case_are_read_where_a_plan_has_them() -> None:
    lines = (CASES / "c11_plans.csv").read_text("utf-8").splitlines()
    read = {
        who: phones.read(text, "GB").phone for who, _, text in (line.partition(",") for line in lines[1:])
    }
    for country in ("CI", "BJ"):
        assert read[f"{country} old"] == read[f"{country} new"] > 0
    assert read["MX old mobile"] == read["MX new"] > 0
    assert read["BR 8 digits"] == read["BR 9 digits"] > 0
    assert read["AR with 15"] == read["AR with 9"] > 0
    assert [read[f"GB {way}"] for way in ("00", "+00", "(0)")] == [442079460019, 442079460020, 442079460021]


# What was stored before


def masks(db: Database, account_id: int) -> dict[int, int]:
    """The phones of contacts, and what they are stopped on."""

    def read(tx: Transaction, account_id: int) -> list[contacts.Row]:
        sql = "SELECT id, phone, stop_mask, created_at FROM contact WHERE account_id = :account_id"
        return tx.all(contacts.Row, sql, account_id=account_id)

    return {row.phone: row.stop_mask for row in db.read(read, account_id)}


def stopped(db: Database, account_id: int, phone: int, *channels: str) -> None:
    db.write(stop_list.add, account_id, phones=[phone], channels=channels)


def test_a_contact_in_the_old_form_gets_the_new_one_and_its_stop(db: Database, alice: Account) -> None:
    id = alice.account_id
    db.write(contacts.create, id, NewContact(OLD))
    stopped(db, id, NEW, "sms")
    assert masks(db, id) == {OLD: 1}
    renumbering.bring_up_to_date(db)
    assert masks(db, id) == {NEW: 1}


def test_a_stop_on_the_old_form_holds_for_a_contact_in_the_new_one(db: Database, alice: Account) -> None:
    id = alice.account_id
    stopped(db, id, OLD, "sms", "viber")
    db.write(contacts.create, id, NewContact(NEW))
    assert masks(db, id) == {NEW: 0}
    renumbering.bring_up_to_date(db)
    assert masks(db, id) == {NEW: 3}
    found = db.read(stop_list.find, id, Search((Criterion("phone", "=", "+55 11 8123 4567"),)))
    assert [stop.phone for stop in found.rows] == [NEW]


def test_a_stop_holds_for_both_where_both_are_contacts(db: Database, alice: Account) -> None:
    id = alice.account_id
    for phone in (OLD, NEW):
        db.write(contacts.create, id, NewContact(phone))
    renumbering.bring_up_to_date(db)
    assert masks(db, id) == {OLD: 0, NEW: 0}
    stopped(db, id, NEW, "sms")
    assert masks(db, id) == {OLD: 1, NEW: 1}
    db.write(stop_list.add_each, id, [Wanted(NEW, 2)])
    assert masks(db, id) == {OLD: 3, NEW: 3}


def test_what_was_stopped_in_one_form_is_stopped_in_both(db: Database, alice: Account) -> None:
    id = alice.account_id
    for phone in (OLD, NEW):
        db.write(contacts.create, id, NewContact(phone))
    stopped(db, id, OLD, "whatsapp")
    renumbering.bring_up_to_date(db)
    assert masks(db, id) == {OLD: 8, NEW: 8}
    renumbering.bring_up_to_date(db)
    assert masks(db, id) == {OLD: 8, NEW: 8}


def old_contacts(db: Database, account_id: int, *, in_both_forms: int) -> None:
    """Seven contacts in the old form in a list, of which every other is stopped, in one form or the other; of
    some there is a contact in the new form as well."""
    list_id = db.write(lists.create, account_id, NewList("old")).id
    for number in range(7):
        db.write(contacts.create, account_id, NewContact(OLD + number, list_ids=(list_id,)))
        if number < in_both_forms:
            db.write(contacts.create, account_id, NewContact(NEW + number, list_ids=(list_id,)))
        if number % 2 == 0:
            stopped(db, account_id, (OLD, NEW)[number % 4 // 2] + number, "sms", "rcs")


def test_accounts_are_renewed_in_chunks_and_taken_up_where_they_ended(
    db: Database, alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renumbering, "CHUNK_ROWS", 2)
    id = alice.account_id
    old_contacts(db, id, in_both_forms=3)
    expected = {NEW + number: 5 * (number % 2 == 0) for number in range(7)}
    expected |= {OLD + number: 5 * (number % 2 == 0) for number in range(3)}
    for steps in (1, 2, 3, 4):  # each start ends in the middle, with everything counted as it is
        for _ in islice(renumbering.chunks(db), steps):
            pass
        assert db.read(verify.recount, id) == []
    assert set(masks(db, id)) != set(expected)
    assert set(renumbering.chunks(db)) == {id}
    assert masks(db, id) == expected
    assert db.read(verify.recount, id) == []
    assert list(renumbering.chunks(db)) == []
