"""Whatever happens to a contact, a number that was stopped stays stopped, and every count says so."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from rollbook import (
    accounts,
    contact_search,
    contacts,
    fields,
    leftovers,
    lists,
    members,
    sandbox,
    stop_list,
    upserts,
    verify,
)
from rollbook.channels import CHANNELS, mask_of
from rollbook.contacts import ContactChange, NewContact
from rollbook.db import Database
from rollbook.errors import AlreadyExists
from rollbook.fields import NewField
from rollbook.lists import NewList
from rollbook.search import Criterion, Search
from rollbook.stop_list import Stop

PHONE, OTHER_PHONE = 380_000_000_001, 380_000_000_002
CHANNEL_SETS = [names for size in range(1, 5) for names in itertools.combinations(CHANNELS, size)]


@dataclass
class Book:
    """A contact in a list, with a value; beside it another contact in the same list."""

    db: Database
    name: str
    account_id: int
    list_id: int
    contact_id: int
    other_id: int
    field_id: int

    def stop(self, *channels: str, phone: int = PHONE) -> Stop:
        [stop] = self.db.write(stop_list.add, self.account_id, phones=[phone], channels=channels)
        return stop

    def unstop(self, stop_id: int, *channels: str) -> None:
        self.db.write(stop_list.remove, self.account_id, ids=[stop_id], channels=channels)

    def new_list(self, name: str = "Another") -> int:
        made: int = self.db.write(lists.create, self.account_id, NewList(name)).id
        return made


_names = itertools.count(1)


def new_book(db: Database) -> Book:
    name = f"account {next(_names)}"
    account_id = db.write(accounts.create, name=name).account_id
    list_id = db.write(lists.create, account_id, NewList("Customers")).id
    field_id = db.write(fields.create, account_id, NewField("City", "text")).id
    [one, other] = db.write(
        contacts.create_many,
        account_id,
        [NewContact(PHONE, (list_id,), {field_id: "Kyiv"}), NewContact(OTHER_PHONE, (list_id,))],
    )
    assert isinstance(one, contacts.Contact)
    assert isinstance(other, contacts.Contact)
    return Book(db, name, account_id, list_id, one.id, other.id, field_id)


@pytest.fixture
def book(db: Database) -> Book:
    return new_book(db)


def masks_of(book: Book) -> dict[int, int]:
    """The mask that each contact has, by its phone."""
    found = book.db.read(contact_search.find, book.account_id, Search()).rows
    rows = book.db.read(contacts.rows_of, book.account_id, [each.id for each in found])
    return {row.phone: row.stop_mask for row in rows}


def assert_is_stopped(book: Book, *channels: str) -> None:
    """`PHONE`, and no other, is stopped on just these channels, wherever one looks."""
    db, account_id, mask = book.db, book.account_id, mask_of(channels)
    stops = db.read(stop_list.find, account_id, Search()).rows
    assert [(stop.phone, stop.mask) for stop in stops] == ([(PHONE, mask)] if mask else [])
    masks = masks_of(book)
    assert all(kept == (mask if phone == PHONE else 0) for phone, kept in masks.items())
    for each in db.read(lists.find, account_id, Search()).rows:
        inside = db.read(contact_search.of_lists, account_id, [each.id], Search().page).rows
        there = sum(contact.phone == PHONE for contact in inside)
        stats = db.read(lists.stats, account_id, each.id)
        counted = there * bool({"sms", "viber"} & set(channels))
        assert (each.items, each.stop_list_count) == (len(inside), counted)
        assert (stats.items, stats.stop_list_count) == (len(inside), counted)
        for channel in CHANNELS:
            assert getattr(stats, f"{channel}_stopped") == there * (channel in channels)
        of_list = db.read(stop_list.find, account_id, Search(), list_id=each.id)
        assert (len(of_list.rows), of_list.total) == (there * bool(mask),) * 2
    for channel in CHANNELS:
        of_channel = db.read(stop_list.find, account_id, Search((Criterion("type", "=", channel),)))
        assert (len(of_channel.rows), of_channel.total) == ((channel in channels),) * 2
    assert db.read(verify.recount, account_id) == []


def deleted_and_created_again(book: Book) -> None:
    book.db.write(contacts.delete, book.account_id, book.contact_id)
    book.db.write(contacts.create, book.account_id, NewContact(PHONE, (book.list_id,)))


def deleted_and_created_again_without_lists(book: Book) -> None:
    book.db.write(contacts.delete, book.account_id, book.contact_id)
    book.db.write(contacts.create, book.account_id, NewContact(PHONE))


def deleted_and_created_again_beside_others(book: Book) -> None:
    book.db.write(contacts.delete, book.account_id, book.contact_id)
    new = [NewContact(380_000_000_003, (book.list_id,)), NewContact(PHONE, (book.list_id,))]
    book.db.write(contacts.create_many, book.account_id, new)


def phone_changed_away_and_back(book: Book) -> None:
    for phone in (380_000_000_003, PHONE):
        book.db.write(contacts.update, book.account_id, book.contact_id, ContactChange(phone))


def phone_changed_away(book: Book) -> None:
    book.db.write(contacts.update, book.account_id, book.contact_id, ContactChange(380_000_000_003))


def phone_given_to_another_contact(book: Book) -> None:
    phone_changed_away(book)
    book.db.write(contacts.update, book.account_id, book.other_id, ContactChange(PHONE))


def two_contacts_changed_phones(book: Book) -> None:
    phone_given_to_another_contact(book)
    book.db.write(contacts.update, book.account_id, book.contact_id, ContactChange(OTHER_PHONE))


def phone_changed_to_a_taken_one(book: Book) -> None:
    with pytest.raises(AlreadyExists):
        book.db.write(contacts.update, book.account_id, book.contact_id, ContactChange(OTHER_PHONE))


def list_deleted(book: Book) -> None:
    book.db.write(lists.delete, book.account_id, book.list_id)


def list_deleted_and_created_again(book: Book) -> None:
    list_deleted(book)
    list_id = book.new_list("Customers")
    book.db.write(members.attach, book.account_id, contact_ids=[book.contact_id], list_ids=[list_id])


def large_list_deleted_and_removed_in_chunks(book: Book) -> None:
    other = book.new_list()
    book.db.write(members.attach, book.account_id, contact_ids=[book.contact_id], list_ids=[other])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leftovers, "CHUNK_ROWS", 1)
        list_deleted(book)
        assert_is_stopped(book, *_channels(book))
        while left := book.db.read(leftovers.some):
            book.db.write(leftovers.remove_some, left[0].account_id, left[0])
            assert_is_stopped(book, *_channels(book))


def deleted_by_id(book: Book) -> None:
    book.db.write(contacts.delete_many, book.account_id, contact_ids=[book.contact_id])


def deleted_by_id_and_created_again(book: Book) -> None:
    deleted_by_id(book)
    book.db.write(contacts.create, book.account_id, NewContact(PHONE, (book.list_id,)))


def deleted_by_list(book: Book) -> None:
    book.db.write(contacts.delete_many, book.account_id, list_ids=[book.list_id])


def deleted_by_list_and_upserted(book: Book) -> None:
    deleted_by_list(book)
    upserted(book)


def deleted_by_list_and_added_by_phone(book: Book) -> None:
    deleted_by_list(book)
    added_by_phone(book)


def upserted(book: Book) -> None:
    new = [NewContact(PHONE, (book.list_id,)), NewContact(380_000_000_003, (book.list_id,))]
    book.db.write(upserts.upsert_many, book.account_id, new)


def upserted_into_another_list(book: Book) -> None:
    new = [NewContact(PHONE, (book.new_list(),)), NewContact(380_000_000_003, (book.list_id,))]
    book.db.write(upserts.upsert_many, book.account_id, new)


def added_by_phone(book: Book) -> None:
    phones = [380_000_000_003, PHONE]
    book.db.write(upserts.add_phones, book.account_id, book.list_id, phones)


def added_by_phone_to_another_list(book: Book) -> None:
    book.db.write(upserts.add_phones, book.account_id, book.new_list(), [PHONE])


def field_deleted(book: Book) -> None:
    book.db.write(fields.delete, book.account_id, [book.field_id])


def attached_to_another_list(book: Book) -> None:
    some = [book.contact_id, book.other_id]
    book.db.write(members.attach, book.account_id, contact_ids=some, list_ids=[book.list_id, book.new_list()])


def detached(book: Book) -> None:
    some = [book.contact_id, book.other_id]
    book.db.write(members.detach, book.account_id, contact_ids=some, list_ids=[book.list_id])


def detached_and_attached(book: Book) -> None:
    detached(book)
    book.db.write(members.attach, book.account_id, contact_ids=[book.contact_id], list_ids=[book.list_id])


def value_set_and_list_added(book: Book) -> None:
    change = ContactChange(list_ids=(book.new_list(),), values={book.field_id: "Lviv"})
    book.db.write(contacts.update, book.account_id, book.contact_id, change)


def same_phone_given_again(book: Book) -> None:
    book.db.write(contacts.update, book.account_id, book.contact_id, ContactChange(PHONE))


def stopped_again(book: Book) -> None:
    book.stop(_channels(book)[0])


def another_row_removed(book: Book) -> None:
    another = book.stop(*CHANNELS, phone=OTHER_PHONE)
    book.unstop(another.id, *CHANNELS)


def row_of_an_unknown_id_removed(book: Book) -> None:
    book.unstop(999_999_999, *CHANNELS)


def removed_in_another_account(book: Book) -> None:
    bob = book.db.write(accounts.create, name=f"bob of {book.name}")
    [stop] = book.db.read(stop_list.find, book.account_id, Search()).rows
    for account_id in (bob.account_id, bob.sandbox_id):
        book.db.write(stop_list.remove, account_id, ids=[stop.id], channels=list(CHANNELS))
        book.db.write(stop_list.add, account_id, phones=[PHONE], channels=["rcs"])
        mine = book.db.read(stop_list.find, account_id, Search()).rows
        book.db.write(stop_list.remove, account_id, ids=[mine[0].id], channels=["rcs"])


def sandbox_wiped(book: Book) -> None:
    book.db.write(sandbox.wipe, name=book.name)


def mended(book: Book) -> None:
    assert book.db.write(verify.fix, book.account_id) == []


HAPPENINGS: list[Callable[[Book], None]] = [
    deleted_and_created_again,
    deleted_and_created_again_without_lists,
    deleted_and_created_again_beside_others,
    phone_changed_away_and_back,
    phone_changed_away,
    phone_given_to_another_contact,
    two_contacts_changed_phones,
    phone_changed_to_a_taken_one,
    list_deleted,
    list_deleted_and_created_again,
    large_list_deleted_and_removed_in_chunks,
    deleted_by_id,
    deleted_by_id_and_created_again,
    deleted_by_list,
    deleted_by_list_and_upserted,
    deleted_by_list_and_added_by_phone,
    upserted,
    upserted_into_another_list,
    added_by_phone,
    added_by_phone_to_another_list,
    field_deleted,
    attached_to_another_list,
    detached,
    detached_and_attached,
    value_set_and_list_added,
    same_phone_given_again,
    stopped_again,
    another_row_removed,
    row_of_an_unknown_id_removed,
    removed_in_another_account,
    sandbox_wiped,
    mended,
]


def _channels(book: Book) -> list[str]:
    [stop] = book.db.read(stop_list.find, book.account_id, Search()).rows
    return [channel for channel, bit in CHANNELS.items() if stop.mask & bit]


@pytest.mark.parametrize("happening", HAPPENINGS, ids=lambda happening: happening.__name__)
def test_a_stopped_number_stays_stopped_when(db: Database, happening: Callable[[Book], None]) -> None:
    for channels in (("sms",), ("viber", "sms"), ("rcs",), tuple(CHANNELS)):
        book = new_book(db)
        row = book.stop(*channels)
        assert_is_stopped(book, *channels)
        happening(book)
        assert_is_stopped(book, *channels)
        [stop] = book.db.read(stop_list.find, book.account_id, Search()).rows
        assert stop == row  # the same row since the same day
        book.unstop(row.id, *channels)
        assert_is_stopped(book)


def test_a_number_that_is_no_contact_is_stopped_when_it_becomes_one(book: Book) -> None:
    for phone in (380_000_000_003, 380_000_000_004, 380_000_000_005, 380_000_000_006):
        book.stop("viber", phone=phone)
    book.db.write(contacts.create, book.account_id, NewContact(380_000_000_003, (book.list_id,)))
    book.db.write(upserts.upsert_many, book.account_id, [NewContact(380_000_000_004, (book.list_id,))])
    book.db.write(upserts.add_phones, book.account_id, book.list_id, [380_000_000_005])
    book.db.write(contacts.update, book.account_id, book.other_id, ContactChange(380_000_000_006))
    stats = book.db.read(lists.stats, book.account_id, book.list_id)
    assert (stats.items, stats.stop_list_count, stats.viber_stopped, stats.sms_stopped) == (5, 4, 4, 0)
    assert masks_of(book) == {
        PHONE: 0,
        380_000_000_003: CHANNELS["viber"],
        380_000_000_004: CHANNELS["viber"],
        380_000_000_005: CHANNELS["viber"],
        380_000_000_006: CHANNELS["viber"],
    }
    assert book.db.read(verify.recount, book.account_id) == []


@pytest.mark.parametrize("stopped", [("sms",), ("sms", "viber"), tuple(CHANNELS)], ids="+".join)
def test_only_the_named_channels_are_let_go(db: Database, stopped: tuple[str, ...]) -> None:
    for removed in CHANNEL_SETS:
        book = new_book(db)
        row = book.stop(*stopped)
        for _ in ("once", "again is fine"):
            book.unstop(row.id, *removed)
            assert_is_stopped(book, *(channel for channel in stopped if channel not in removed))


def test_channels_add_up_and_a_row_keeps_its_id_and_day(book: Book) -> None:
    first = book.stop("rcs")
    assert_is_stopped(book, "rcs")
    again = book.stop("sms")
    assert_is_stopped(book, "rcs", "sms")
    assert (again.id, again.created_at, again.mask) == (first.id, first.created_at, mask_of(["rcs", "sms"]))
    assert book.stop("viber", "sms").mask == mask_of(["rcs", "sms", "viber"])
    assert_is_stopped(book, "rcs", "sms", "viber")


def test_a_row_is_gone_with_its_last_channel_and_comes_back_as_another(book: Book) -> None:
    first = book.stop("sms", "rcs")
    book.unstop(first.id, "sms")
    assert_is_stopped(book, "rcs")
    book.unstop(first.id, "rcs")
    assert_is_stopped(book)
    second = book.stop("rcs")
    assert second.id != first.id
    book.unstop(first.id, *CHANNELS)  # the row that is gone
    assert_is_stopped(book, "rcs")
