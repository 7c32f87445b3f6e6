"""Every writer and every search of the address book, in any order, against a plain-Python model.

`STATEFUL_EXAMPLES=5000 .venv/bin/pytest tests/contacts/test_any_order.py` looks harder than usual.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal, cast

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from rollbook import (
    contact_search,
    contacts,
    fields,
    leftovers,
    lists,
    members,
    sandbox,
    stop_list,
    upserts,
)
from rollbook.channels import mask_of
from rollbook.contacts import ContactChange
from rollbook.db import Database, Transaction
from rollbook.fields import FieldChange, NewField
from rollbook.lists import ListChange, NewList
from tests.contacts.compared import Compared, merged
from tests.contacts.drawn import (
    FIELD_NAMES,
    LIST_NAMES,
    a_contact,
    a_contact_criterion,
    a_list_criterion,
    a_page,
    a_stop_criterion,
    channel_sets,
    description,
    nth,
    nths,
    phone,
    phones,
    some_lists,
    some_values,
    text,
    which_account,
)
from tests.length import sized
from tests.model import Field, Refused, Wanted, kept

EXAMPLES = sized(60, 200, "STATEFUL_EXAMPLES")
STEPS = 25
CHUNK_ROWS = 2
"""Of leftovers: so few that lists of three leave some."""


class AnyOrder(Compared):
    """Every writer and every search, as steps."""

    # Rules: lists

    @initialize(some=st.lists(a_contact, min_size=4, max_size=8), stopped=phones, channels=channel_sets)
    def begin(self, some: Any, stopped: list[int], channels: tuple[str, ...]) -> None:
        """Something to work with, in the first account."""
        for name in LIST_NAMES[:2]:
            self.create_list(0, name, None, False)
        self.create_field(0, FIELD_NAMES[0], "text", None, True)
        self.create_field(0, FIELD_NAMES[1], "number", None, True)
        self.create_field(0, FIELD_NAMES[2], "date", None, True)
        self.upsert(0, some)
        self.stop(0, stopped, channels)

    @rule(a=which_account, name=st.sampled_from(LIST_NAMES), about=description, default=st.booleans())
    def create_list(self, a: int, name: str, about: str | None, default: bool) -> None:
        self.step(
            lambda: self.db.write(lists.create, self.ids[a], NewList(name, about, default)),
            lambda ids: self.books[a].create_list(name, about, default, ids),
            "list",
        )
        self.check(a)

    @rule(
        a=which_account,
        n=nth,
        change=st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from(LIST_NAMES),
                "description": description,
                "is_default": st.booleans(),
            },
        ),
    )
    def update_list(self, a: int, n: int, change: dict[str, Any]) -> None:
        id = self.pick(a, "list", n)
        self.step(
            lambda: self.db.write(lists.update, self.ids[a], id, ListChange(**change)),
            lambda _: self.books[a].update_list(id, change),
        )
        self.check(a)

    @rule(a=which_account, n=nth)
    def delete_list(self, a: int, n: int) -> None:
        id = self.pick(a, "list", n)
        self.step(
            lambda: self.db.write(lists.delete, self.ids[a], id),
            lambda _: self.books[a].delete_list(id, chunk_rows=CHUNK_ROWS),
        )
        self.check(a)

    # Rules: contacts

    @rule(a=which_account, contact=a_contact)
    def create_contact(self, a: int, contact: Any) -> None:
        wanted = self.wanted(a, *contact)
        self.step(
            lambda: self.db.write(contacts.create, self.ids[a], self.new(wanted)),
            lambda ids: self.books[a].create_contact(wanted, ids),
            "contact",
        )
        self.check(a)

    @rule(a=which_account, some=st.lists(a_contact, min_size=1, max_size=5))
    def create_contacts(self, a: int, some: Any) -> None:
        wanted = [self.wanted(a, *each) for each in some]
        self.step(
            lambda: self.db.write(contacts.create_many, self.ids[a], [self.new(each) for each in wanted]),
            lambda ids: self.books[a].create_contacts(wanted, ids),
            "contact",
        )
        self.check(a)

    @rule(a=which_account, n=nth, phone=st.none() | phone, some=some_lists, values=some_values)
    def update_contact(self, a: int, n: int, phone: int | None, some: Any, values: Any) -> None:
        id, wanted = self.pick(a, "contact", n), self.wanted(a, phone, some, values)
        change = ContactChange(
            msgspec.UNSET if phone is None else phone, wanted.list_ids, dict(wanted.values)
        )
        self.step(
            lambda: self.db.write(contacts.update, self.ids[a], id, change),
            lambda _: self.books[a].update_contact(id, wanted),
        )
        self.check(a)

    @rule(a=which_account, n=nth, phone=phone)
    def change_phone(self, a: int, n: int, phone: int) -> None:
        self.update_contact(a, n, phone, [], [])

    @rule(a=which_account, n=nth)
    def delete_contact(self, a: int, n: int) -> None:
        id = self.pick(a, "contact", n)
        self.step(
            lambda: self.db.write(contacts.delete, self.ids[a], id),
            lambda _: self.books[a].delete_contact(id),
        )
        self.check(a)

    @rule(a=which_account, n=nth, some=some_lists)
    def delete_contact_and_create_it_again(self, a: int, n: int, some: list[int]) -> None:
        there = self.books[a].people.get(self.pick(a, "contact", n))
        self.delete_contact(a, n)
        if there is not None:
            self.create_contact(a, (there.phone, some, []))

    @rule(a=which_account, some=st.lists(nth, max_size=3), of=st.lists(nth, max_size=2))
    def delete_contacts(self, a: int, some: list[int], of: list[int]) -> None:
        contact_ids, list_ids = self.pick_all(a, "contact", some), self.pick_all(a, "list", of)
        self.step(
            lambda: self.db.write(
                contacts.delete_many, self.ids[a], contact_ids=contact_ids, list_ids=list_ids
            ),
            lambda _: self.books[a].delete_contacts(contact_ids, list_ids),
        )
        self.check(a)

    @rule(a=which_account, some=st.lists(a_contact, min_size=1, max_size=6))
    def upsert(self, a: int, some: Any) -> None:
        wanted = [self.wanted(a, *each) for each in some]
        self.step(
            lambda: self.db.write(upserts.upsert_many, self.ids[a], [self.new(each) for each in wanted]),
            lambda ids: self.books[a].upsert(wanted, ids),
            "contact",
        )
        self.check(a)

    @rule(a=which_account, n=nth, phones=phones)
    def add_phones(self, a: int, n: int, phones: list[int]) -> None:
        id = self.pick(a, "list", n)
        self.step(
            lambda: self.db.write(upserts.add_phones, self.ids[a], id, phones),
            lambda ids: self.books[a].add_phones(id, phones, ids),
            "contact",
        )
        self.check(a)

    @rule(a=which_account, n=nth, phones=phones, of=nth, texts=st.lists(text, min_size=5, max_size=5))
    def merge_an_import(self, a: int, n: int, phones: list[int], of: int, texts: list[str | None]) -> None:
        """Sorted phones, each once, as an import merges them; with values of one field if there is one."""
        list_id, book = self.pick(a, "list", n), self.books[a]
        field_id = list(book.fields)[of % len(book.fields)] if book.fields else None
        ordered = sorted(set(phones))
        values: list[str | None] = []
        for _, given in zip(ordered, texts, strict=False):
            try:
                values.append(kept(book.fields[field_id].type, given) if field_id is not None else None)
            except ValueError:
                values.append(None)
        wanted = [
            Wanted(phone, (list_id,), ((field_id, value),) if field_id is not None and value else ())
            for phone, value in zip(ordered, values, strict=True)
        ]

        def predict(ids: Iterator[int]) -> Any:
            if list_id not in book.lists:
                raise Refused("NotFound", "list")
            return book.upsert(wanted, ids)

        used = [(field_id, cast("fields.Type", book.fields[field_id].type))] if field_id is not None else []
        self.step(
            lambda: self.db.write(merged, self.ids[a], list_id, ordered, used, values), predict, "contact"
        )
        self.check(a)

    # Rules: members

    @rule(a=which_account, some=nths, of=nths)
    def attach(self, a: int, some: list[int], of: list[int]) -> None:
        contact_ids, list_ids = self.pick_all(a, "contact", some), self.pick_all(a, "list", of)
        self.step(
            lambda: self.db.write(members.attach, self.ids[a], contact_ids=contact_ids, list_ids=list_ids),
            lambda _: self.books[a].attach(contact_ids, list_ids),
        )
        self.check(a)

    @rule(a=which_account, some=nths, of=nths)
    def detach(self, a: int, some: list[int], of: list[int]) -> None:
        contact_ids, list_ids = self.pick_all(a, "contact", some), self.pick_all(a, "list", of)
        self.step(
            lambda: self.db.write(members.detach, self.ids[a], contact_ids=contact_ids, list_ids=list_ids),
            lambda _: self.books[a].detach(contact_ids, list_ids),
        )
        self.check(a)

    # Rules: stops

    @rule(a=which_account, phones=phones, channels=channel_sets)
    def stop(self, a: int, phones: list[int], channels: tuple[str, ...]) -> None:
        self.step(
            lambda: self.db.write(stop_list.add, self.ids[a], phones=phones, channels=channels),
            lambda ids: self.books[a].stop(phones, channels, ids),
            "stop",
        )
        self.check(a)

    @rule(a=which_account, some=nths, channels=channel_sets)
    def unstop(self, a: int, some: list[int], channels: tuple[str, ...]) -> None:
        ids = self.pick_all(a, "stop", some)
        self.step(
            lambda: self.db.write(stop_list.remove, self.ids[a], ids=ids, channels=channels),
            lambda _: self.books[a].unstop(ids, channels),
        )
        self.check(a)

    @rule(a=which_account, some=st.lists(st.tuples(phone, channel_sets), min_size=1, max_size=6))
    def stop_each(self, a: int, some: list[tuple[int, tuple[str, ...]]]) -> None:
        wanted = [stop_list.Wanted(phone, mask_of(names)) for phone, names in some]
        self.step(
            lambda: self.db.write(stop_list.add_each, self.ids[a], wanted),
            lambda ids: self.books[a].stop_each(some, ids),
            "stop",
        )
        self.check(a)

    @rule(a=which_account, some=st.lists(st.tuples(phone, channel_sets), min_size=1, max_size=6))
    def release_each(self, a: int, some: list[tuple[int, tuple[str, ...]]]) -> None:
        wanted = [stop_list.Wanted(phone, mask_of(names)) for phone, names in some]
        self.step(
            lambda: self.db.write(stop_list.remove_each, self.ids[a], wanted),
            lambda _: self.books[a].release_each(some),
        )
        self.check(a)

    # Rules: fields

    @rule(
        a=which_account,
        name=st.sampled_from(FIELD_NAMES),
        type=st.sampled_from(["text", "number", "date"]),
        about=description,
        visible=st.booleans(),
    )
    def create_field(
        self, a: int, name: str, type: Literal["text", "number", "date"], about: str | None, visible: bool
    ) -> None:
        self.step(
            lambda: self.db.write(fields.create, self.ids[a], NewField(name, type, about, visible)),
            lambda ids: self.books[a].create_field(Field(name, type, about, visible), ids),
            "field",
        )
        self.check(a)

    @rule(
        a=which_account,
        n=nth,
        change=st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from(FIELD_NAMES),
                "description": description,
                "is_visible": st.booleans(),
            },
        ),
    )
    def update_field(self, a: int, n: int, change: dict[str, Any]) -> None:
        id = self.pick(a, "field", n)
        self.step(
            lambda: self.db.write(fields.update, self.ids[a], id, FieldChange(**change)),
            lambda _: self.books[a].update_field(id, change),
        )
        self.check(a)

    @rule(a=which_account, some=nths)
    def delete_fields(self, a: int, some: list[int]) -> None:
        ids = self.pick_all(a, "field", some)
        self.step(
            lambda: self.db.write(fields.delete, self.ids[a], ids),
            lambda _: self.books[a].delete_fields(ids),
        )
        self.check(a)

    # Rules: what works in the background, and the sandbox

    @precondition(lambda self: any(book.leftovers for book in self.books))
    @rule()
    def remove_some_leftovers(self) -> None:
        left = self.db.read(leftovers.some)[0]
        book = self.books[self.ids.index(left.account_id)]
        assert (left.kind, left.id) in book.leftovers
        before = self.db.read(_rows_left, left)
        more = self.db.write(leftovers.remove_some, left.account_id, left)
        after = self.db.read(_rows_left, left)
        assert (after, more) == (max(0, before - CHUNK_ROWS), before > 0)
        if not more:
            book.leftovers.remove((left.kind, left.id))
        self.check(self.books.index(book))

    @precondition(lambda self: self.books[1].lists or self.books[1].people or self.books[1].stops)
    @rule(a=st.sampled_from([0, 0, 2, 3]))
    def wipe_sandbox(self, a: int) -> None:
        name = self.alice if a == 0 else f"bob of {self.alice}" if a == 2 else "nobody"

        def predict(_: Iterator[int]) -> int:
            if a == 3:
                raise Refused("NotFound", "account")
            return self.books[1].wipe() if a == 0 else 0

        self.step(lambda: self.db.write(sandbox.wipe, name=name), predict)
        self.check(1)

    # Rules: what is asked. It changes nothing, so the state is not compared again.

    @rule(
        a=which_account,
        criteria=st.lists(a_contact_criterion, max_size=2),
        sort=st.sampled_from(["id", "phone"]),
        descending=st.booleans(),
        page=a_page,
    )
    def find_contacts(self, a: int, criteria: Any, sort: str, descending: bool, page: Any) -> None:
        for look, search in self.looks(a, "contact", criteria, sort, descending, page):
            self.look(
                partial(self.db.read, contact_search.find, self.ids[a], search),
                partial(self.books[a].find_contacts, look),
            )

    @rule(a=which_account, some=st.lists(nth, min_size=2, max_size=4), page=a_page)
    def contacts_of_lists(self, a: int, some: list[int], page: Any) -> None:
        ids = self.pick_all(a, "list", some)
        for look, search in self.looks(a, "contact", (), "id", True, page):
            self.look(
                partial(self.db.read, contact_search.of_lists, self.ids[a], ids, search.page),
                partial(self.books[a].of_lists, ids, look),
            )

    @rule(
        a=which_account,
        criteria=st.lists(a_stop_criterion, max_size=2),
        sort=st.sampled_from(["id", "phone"]),
        descending=st.booleans(),
        page=a_page,
        n=st.none() | nth,
    )
    def find_stops(
        self, a: int, criteria: Any, sort: str, descending: bool, page: Any, n: int | None
    ) -> None:
        id = self.pick(a, "list", n) if n is not None else None
        for look, search in self.looks(a, "stop", criteria, sort, descending, page):
            self.look(
                partial(self.db.read, stop_list.find, self.ids[a], search, list_id=id),
                partial(self.books[a].find_stops, look, id),
            )

    @rule(
        a=which_account,
        criteria=st.lists(a_list_criterion, max_size=2),
        sort=st.sampled_from(["id", "name", "items"]),
        descending=st.booleans(),
        page=a_page,
    )
    def find_lists(self, a: int, criteria: Any, sort: str, descending: bool, page: Any) -> None:
        for look, search in self.looks(a, "list", criteria, sort, descending, page):
            self.look(
                partial(self.db.read, lists.find, self.ids[a], search),
                partial(self.books[a].find_lists, look),
            )

    @rule(a=which_account, some=nths)
    def get(self, a: int, some: list[int]) -> None:
        book, account_id = self.books[a], self.ids[a]
        contact_ids, list_ids = self.pick_all(a, "contact", some), self.pick_all(a, "list", some)
        self.step(
            lambda: self.db.read(contacts.get, account_id, contact_ids[0]),
            lambda _: book.show_contact(contact_ids[0]),
        )
        self.step(
            lambda: self.db.read(contacts.get_many, account_id, contact_ids),
            lambda _: [book.show_contact(id) for id in contact_ids if id in book.people],
        )
        self.step(
            lambda: self.db.read(lists.get, account_id, list_ids[0]), lambda _: book.show_list(list_ids[0])
        )
        self.step(
            lambda: self.db.read(lists.stats, account_id, list_ids[0]), lambda _: book.stats(list_ids[0])
        )

    def teardown(self) -> None:
        """Once all leftovers are removed, nothing is in the tables but what can be seen."""
        while some := self.db.read(leftovers.some):
            self.db.write(leftovers.remove_some, some[0].account_id, some[0])
        for book in self.books:
            book.leftovers.clear()
        self.check(0, 1, 2)


_MEMBERS_LEFT = "SELECT count(*) FROM membership WHERE account_id = :account_id AND list_id = :id"
_VALUES_LEFT = "SELECT count(*) FROM field_value WHERE account_id = :account_id AND field_id = :id"


def _rows_left(tx: Transaction, left: leftovers.Leftover) -> int:
    sql = _MEMBERS_LEFT if left.kind == "list" else _VALUES_LEFT
    return tx.one(int, sql, account_id=left.account_id, id=left.id) or 0


@pytest.mark.sized
@pytest.mark.timeout(60 + 5 * EXAMPLES)
def test_whatever_happens_in_any_order_every_answer_and_count_is_right(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "CHUNK_ROWS", CHUNK_ROWS)
    run_state_machine_as_test(
        cast("type[AnyOrder]", partial(AnyOrder, db)),  # a factory is as good as a class
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=False,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
