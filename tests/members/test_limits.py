"""What a call costs does not grow with what it is about, and no contact is in more than a hundred lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from rollbook import contact_search, contacts, fields, lists, members, stop_list, upserts, verify
from rollbook.accounts import Account
from rollbook.contacts import ContactChange, NewContact
from rollbook.db import Database
from rollbook.errors import LimitExceeded, UnknownIds
from rollbook.fields import NewField
from rollbook.lists import NewList
from rollbook.members import LISTS_MAX
from rollbook.search import Criterion, PageRequest, Search

FIRST_PHONE = 380_000_000_001
OTHER_PHONE = 380_000_900_009
MANY = 200


def new_lists(db: Database, account_id: int, how_many: int, name: str = "list") -> list[int]:
    news = [NewList(f"{name} {number}") for number in range(how_many)]
    made = db.write(lists.create_many, account_id, news)
    return [each.id for each in made if isinstance(each, lists.ContactList)]


@dataclass
class Book:
    """An account with four lists, a field, and contacts in the first two lists, half of them stopped."""

    db: Database
    account_id: int
    list_ids: list[int]
    field_id: int
    contact_ids: list[int]

    def some(self, size: int) -> list[int]:
        """Others for two than for many, so that the one call takes nothing from the other."""
        return self.contact_ids[:2] if size == 2 else self.contact_ids[2:]

    def new(self, size: int, *, first: int = FIRST_PHONE) -> list[NewContact]:
        some, values = tuple(self.list_ids[1:3]), {self.field_id: "Kyiv"}
        return [NewContact(phone, some, values) for phone in range(first, first + size)]


@pytest.fixture
def book(db: Database, alice: Account) -> Book:
    account_id = alice.account_id
    list_ids = new_lists(db, account_id, 4)
    field_id = db.write(fields.create, account_id, NewField("City", "text")).id
    phones = range(FIRST_PHONE, FIRST_PHONE + 2 + MANY)
    db.write(stop_list.add, account_id, phones=phones[::2], channels=["sms"])
    news = [NewContact(phone, tuple(list_ids[:2]), {field_id: "Lviv"}) for phone in phones]
    made = db.write(upserts.upsert_many, account_id, news)
    contact_ids = [each.id for each in made if isinstance(each, upserts.Outcome)]
    return Book(db, account_id, list_ids, field_id, contact_ids)


def create_many(book: Book, size: int) -> int:
    news = book.new(size, first=FIRST_PHONE + 1_000 * size)
    made = book.db.write(contacts.create_many, book.account_id, news)
    return sum(isinstance(each, contacts.Contact) for each in made)


def get_many(book: Book, size: int) -> int:
    return len(book.db.read(contacts.get_many, book.account_id, book.contact_ids[:size]))


def find(book: Book, size: int) -> int:
    wanted = Search((Criterion("phone", "like", "380"),), "phone", page=PageRequest(limit=size))
    return len(book.db.read(contact_search.find, book.account_id, wanted).rows)


def find_by_list(book: Book, size: int) -> int:
    wanted = Search((Criterion("group_id", "=", str(book.list_ids[0])),), page=PageRequest(limit=size))
    return len(book.db.read(contact_search.find, book.account_id, wanted).rows)


def find_by_value(book: Book, size: int) -> int:
    wanted = Search((Criterion(str(book.field_id), "like", "lv"),), page=PageRequest(limit=size))
    return len(book.db.read(contact_search.find, book.account_id, wanted).rows)


def of_lists(book: Book, size: int) -> int:
    page = PageRequest(limit=size)
    return len(book.db.read(contact_search.of_lists, book.account_id, book.list_ids, page).rows)


def attach(book: Book, size: int) -> int:
    some, of = book.some(size), book.list_ids[2:]
    book.db.write(members.attach, book.account_id, contact_ids=some, list_ids=of)
    return book.db.read(lists.stats, book.account_id, of[1]).items - (2 if size == MANY else 0)


def detach(book: Book, size: int) -> int:
    some, of = book.some(size), book.list_ids[:1]
    before = book.db.read(lists.stats, book.account_id, of[0]).items
    book.db.write(members.detach, book.account_id, contact_ids=some, list_ids=of)
    return before - book.db.read(lists.stats, book.account_id, of[0]).items


def stop(book: Book, size: int) -> int:
    """Half of them are stopped already, on another channel."""
    phones = range(FIRST_PHONE, FIRST_PHONE + size)
    return len(book.db.write(stop_list.add, book.account_id, phones=phones, channels=["viber"]))


def unstop(book: Book, size: int) -> int:
    """Of half of them a channel is left."""
    phones = range(FIRST_PHONE + 5_000 * size, FIRST_PHONE + 5_001 * size)
    half = phones[: size // 2]
    rows = book.db.write(stop_list.add, book.account_id, phones=phones, channels=["rcs"])
    book.db.write(stop_list.add, book.account_id, phones=half, channels=["sms"])
    book.db.write(stop_list.remove, book.account_id, ids=[row.id for row in rows], channels=["rcs"])
    left = book.db.read(stop_list.find, book.account_id, Search(page=PageRequest(limit=500))).rows
    return size if sum(row.phone in phones for row in left) == size // 2 else 0


def upsert_many(book: Book, size: int) -> int:
    """Half of them are in the book already."""
    news = book.new(size // 2) + book.new(size // 2, first=FIRST_PHONE + 2_000 * size)
    made = book.db.write(upserts.upsert_many, book.account_id, news)
    return sum(isinstance(each, upserts.Outcome) for each in made)


def add_phones(book: Book, size: int) -> int:
    phones = [*range(FIRST_PHONE, FIRST_PHONE + size // 2)]
    phones += range(FIRST_PHONE + 3_000 * size, FIRST_PHONE + 3_000 * size + size // 2)
    return len(book.db.write(upserts.add_phones, book.account_id, book.list_ids[3], phones))


def delete_many(book: Book, size: int) -> int:
    return book.db.write(contacts.delete_many, book.account_id, contact_ids=book.some(size))


def delete_many_of_a_list(book: Book, size: int) -> int:
    [list_id] = new_lists(book.db, book.account_id, 1, f"of {size}")
    phones = range(FIRST_PHONE + 4_000 * size, FIRST_PHONE + 4_001 * size)
    book.db.write(upserts.add_phones, book.account_id, list_id, phones)
    return book.db.write(contacts.delete_many, book.account_id, list_ids=[list_id])


CALLS: list[Callable[[Book, int], int]] = [
    create_many,
    get_many,
    find,
    find_by_list,
    find_by_value,
    of_lists,
    attach,
    detach,
    stop,
    unstop,
    upsert_many,
    add_phones,
    delete_many,
    delete_many_of_a_list,
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_two_hundred_take_as_many_statements_as_two(book: Book, call: Callable[[Book, int], int]) -> None:
    ids_are_taken_in_blocks(book)
    statements = []
    for size in (2, MANY):
        before = book.db.statements_run
        assert call(book, size) == size
        statements.append(book.db.statements_run - before)
    assert statements[0] == statements[1]
    assert statements[0] <= 25
    assert book.db.read(verify.recount, book.account_id) == []


def ids_are_taken_in_blocks(book: Book) -> None:
    """On PostgreSQL the first ids of a process are a statement of their own, however many are wanted."""
    for table in ("contact", "stop_list", "contact_list"):
        book.db.write(lambda tx, table: len(tx.new_ids(table, 1)), table)


def in_lists(book: Book, how_many: int) -> tuple[int, list[int]]:
    """A contact in that many new lists, and as many lists again that it is not in."""
    all_lists = new_lists(book.db, book.account_id, 2 * how_many, "full")
    new = NewContact(380_000_900_001, tuple(all_lists[:how_many]))
    return book.db.write(contacts.create, book.account_id, new).id, all_lists


def lists_of(book: Book, contact_id: int) -> list[int]:
    return [each.id for each in book.db.read(contacts.get, book.account_id, contact_id).lists]


def test_a_contact_may_be_in_a_hundred_lists(book: Book) -> None:
    contact_id, all_lists = in_lists(book, LISTS_MAX)
    assert lists_of(book, contact_id) == sorted(all_lists[:LISTS_MAX], reverse=True)
    assert book.db.read(verify.recount, book.account_id) == []


def by_attach(book: Book, contact_id: int, list_ids: Sequence[int]) -> None:
    """Together with a contact that is in no list, or a few."""
    [other] = book.db.write(upserts.upsert_many, book.account_id, [NewContact(OTHER_PHONE)])
    assert isinstance(other, upserts.Outcome)
    both = [other.id, contact_id]
    book.db.write(members.attach, book.account_id, contact_ids=both, list_ids=list_ids)


def by_update(book: Book, contact_id: int, list_ids: Sequence[int]) -> None:
    change = ContactChange(380_000_900_002, tuple(list_ids), {book.field_id: "Odesa"})
    book.db.write(contacts.update, book.account_id, contact_id, change)


def by_upsert(book: Book, contact_id: int, list_ids: Sequence[int]) -> None:
    phone = book.db.read(contacts.get, book.account_id, contact_id).phone
    new = NewContact(phone, tuple(list_ids), {book.field_id: "Odesa"})
    [outcome] = book.db.write(upserts.upsert_many, book.account_id, [new])
    if isinstance(outcome, Exception):
        raise outcome


def by_phone(book: Book, contact_id: int, list_ids: Sequence[int]) -> None:
    phone = book.db.read(contacts.get, book.account_id, contact_id).phone
    [outcome] = book.db.write(upserts.add_phones, book.account_id, list_ids[-1], [phone])
    if isinstance(outcome, Exception):
        raise outcome


WAYS_IN: list[Callable[[Book, int, Sequence[int]], None]] = [by_attach, by_update, by_upsert, by_phone]


@pytest.mark.parametrize("put", WAYS_IN, ids=lambda way: way.__name__)
def test_a_contact_in_a_hundred_lists_gets_no_other_and_nothing_changes(
    book: Book, put: Callable[[Book, int, Sequence[int]], None]
) -> None:
    contact_id, all_lists = in_lists(book, LISTS_MAX)
    before = book.db.read(contacts.get, book.account_id, contact_id)
    with pytest.raises(LimitExceeded, match="100 lists"):
        put(book, contact_id, [*all_lists[:3], all_lists[LISTS_MAX]])
    assert book.db.read(contacts.get, book.account_id, contact_id) == before
    found = book.db.read(
        contact_search.find, book.account_id, Search((Criterion("phone", "=", str(OTHER_PHONE)),))
    )
    assert all(not each.lists for each in found.rows)
    assert book.db.read(verify.recount, book.account_id) == []


@pytest.mark.parametrize("put", WAYS_IN, ids=lambda way: way.__name__)
def test_a_contact_in_a_hundred_lists_may_be_put_into_those_again(
    book: Book, put: Callable[[Book, int, Sequence[int]], None]
) -> None:
    contact_id, all_lists = in_lists(book, LISTS_MAX)
    put(book, contact_id, all_lists[:LISTS_MAX])
    assert len(lists_of(book, contact_id)) == LISTS_MAX
    assert book.db.read(verify.recount, book.account_id) == []


@pytest.mark.parametrize("put", WAYS_IN, ids=lambda way: way.__name__)
def test_a_list_that_was_left_or_deleted_makes_room_for_another(
    book: Book, put: Callable[[Book, int, Sequence[int]], None]
) -> None:
    contact_id, all_lists = in_lists(book, LISTS_MAX)
    book.db.write(lists.delete, book.account_id, all_lists[0])
    put(book, contact_id, [all_lists[LISTS_MAX]])
    book.db.write(members.detach, book.account_id, contact_ids=[contact_id], list_ids=[all_lists[1]])
    put(book, contact_id, [all_lists[LISTS_MAX + 1]])
    assert len(lists_of(book, contact_id)) == LISTS_MAX
    assert book.db.read(verify.recount, book.account_id) == []


def test_leftovers_of_a_deleted_list_take_no_room(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollbook.leftovers.CHUNK_ROWS", 0)
    contact_id, all_lists = in_lists(book, LISTS_MAX)
    for list_id in all_lists[:4]:
        book.db.write(lists.delete, book.account_id, list_id)
    for way, list_id in zip(WAYS_IN, all_lists[LISTS_MAX:], strict=False):
        way(book, contact_id, [list_id])
    assert len(lists_of(book, contact_id)) == LISTS_MAX
    with pytest.raises(LimitExceeded):
        by_attach(book, contact_id, [all_lists[-1]])


@pytest.mark.parametrize("make", [contacts.create_many, upserts.upsert_many], ids=["create", "upsert"])
def test_a_new_contact_cannot_begin_in_more_than_a_hundred_lists(
    book: Book,
    make: Callable[..., list[object]],
) -> None:
    many = tuple(new_lists(book.db, book.account_id, LISTS_MAX + 1, "many"))
    news = [
        NewContact(380_000_900_001, many),
        NewContact(380_000_900_002, many[:LISTS_MAX] * 2),  # the same ones twice are no more
    ]
    refused, made = book.db.write(make, book.account_id, news)
    assert isinstance(refused, LimitExceeded)
    assert not isinstance(made, Exception)
    assert book.db.read(verify.recount, book.account_id) == []


def test_unknown_ids_are_all_named_and_nothing_changes(book: Book, bob: Account) -> None:
    [theirs] = new_lists(book.db, bob.account_id, 1)
    other = book.db.write(contacts.create, bob.account_id, NewContact(FIRST_PHONE)).id
    for call in (members.attach, members.detach):
        with pytest.raises(UnknownIds) as refused:
            book.db.write(
                call,
                book.account_id,
                contact_ids=[999_999_999, book.contact_ids[0], other],
                list_ids=[theirs, book.list_ids[2], book.list_ids[0]],
            )
        assert refused.value.ids == {"contact": [other, 999_999_999], "list": [theirs]}
        assert lists_of(book, book.contact_ids[0]) == [book.list_ids[1], book.list_ids[0]]
    assert book.db.read(contacts.get, bob.account_id, other).lists == ()
