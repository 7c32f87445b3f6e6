"""Every writer and every search of the address book, in any order, against a plain-Python model.

`STATEFUL_EXAMPLES=5000 .venv/bin/pytest tests/contacts/test_any_order.py` looks harder than usual.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, cast

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rollbook import (
    accounts,
    contact_search,
    contacts,
    counts,
    fields,
    leftovers,
    lists,
    members,
    stop_list,
    upserts,
    verify,
)
from rollbook.channels import mask_of
from rollbook.contacts import ContactChange, NewContact
from rollbook.db import Database, Transaction
from rollbook.errors import AlreadyExists, NotFound, RollbookError, UnknownIds
from rollbook.fields import FieldChange, NewField
from rollbook.imports import merge
from rollbook.imports.spec import ImportSpec
from rollbook.lists import ListChange, NewList, Stats
from rollbook.search import Criterion, Page, Search
from tests.model import CHANNELS, WHEN, Book, Field, Look, Refused, Wanted, kept

EXAMPLES = int(os.environ.get("STATEFUL_EXAMPLES", "200"))
STEPS = 25
CHUNK_ROWS = 2
"""Of leftovers: so few that lists of three leave some."""

PHONES = [380_000_000_001 + number for number in range(12)]
LIST_NAMES = ["Customers", "customers", "Staff", "\u041f\u043e\u043a\u0443\u043f\u0446\u0456", "VIP 100%"]
FIELD_NAMES = ["City", "Age", "Born", "Note"]
TEXTS = [
    "", "  ", "Kyiv", "kyiv", "Stra\u00dfe", "STRASSE", "12", "012.50", "-3", "-0", "9", "2022-04-28", "2022-04-28 00:00:00",
    "2022-04-28T14:21:16+02:00", "50%_off",
]  # fmt: skip

which_account = st.sampled_from([0, 0, 0, 0, 0, 1, 1, 2])
nth = st.integers(0, 63)
"""Picks an id: most of the time one of the account, else any that was ever made, or one that never was."""
nths = st.lists(nth, min_size=1, max_size=4)
phone = st.sampled_from(PHONES)
phones = st.lists(phone, min_size=1, max_size=5)
channel_sets = st.sampled_from(
    [names for size in range(1, 5) for names in itertools.combinations(CHANNELS, size)]
)
text = st.none() | st.sampled_from(TEXTS)
description = st.sampled_from([None, "those who pay", "those who do not"])
some_values = st.lists(st.tuples(nth, text), max_size=2)
some_lists = st.lists(nth, max_size=3)
a_contact = st.tuples(phone, some_lists, some_values)
comparison = st.sampled_from(["=", ">", ">=", "<", "<="])
some_digits = st.sampled_from(["380000000001", "38", "1", "12", "00000001", "7"])
a_phone_criterion = st.tuples(st.just("phone"), st.sampled_from(["like", "="]), st.none(), some_digits)
a_criterion = st.one_of(
    st.tuples(st.just("id"), comparison, nth, st.none()),
    a_phone_criterion,
    st.tuples(
        st.just("created_at"), comparison, st.none(), st.sampled_from(["2000-01-01", "now", "2199-12-31"])
    ),
)
a_contact_criterion = st.one_of(
    a_criterion,
    st.tuples(st.just("group_id"), st.just("="), nth, st.none()),
    st.tuples(st.just("field"), st.sampled_from(["like", "=", "<", ">="]), nth, st.sampled_from(TEXTS)),
)
a_stop_criterion = a_criterion | st.tuples(
    st.just("type"), st.just("="), st.none(), st.sampled_from(CHANNELS)
)
a_list_criterion = st.one_of(
    st.tuples(st.just("id"), comparison, nth, st.none()),
    st.tuples(st.just("items"), comparison, st.none(), st.sampled_from("01234")),
    st.tuples(
        st.just("name"), st.sampled_from(["like", "="]), st.none(), st.sampled_from([*LIST_NAMES, "s"])
    ),
    a_phone_criterion,
    a_phone_criterion,
)
a_page = st.tuples(st.integers(1, 3), nth)
"""How many rows, and the row of the keyset page; `looks` makes several pages of it."""


class _Everything(msgspec.Struct):
    """An account as its readers show it."""

    lists: Sequence[lists.ContactList]
    stats: Sequence[Stats]
    contacts: Sequence[contacts.Contact]
    fields: Sequence[fields.Field]
    stops: Sequence[stop_list.Stop]
    drift: Sequence[verify.Drift]
    found_in_deleted_lists: int


class _Fact(msgspec.Struct):
    """Something that is in a table."""

    account_id: int
    noun: str
    id: int
    other: int
    counts: str


_FACTS = {
    "list": ("contact_list", "id", "0", " || ' ' || ".join(f"CAST({name} AS TEXT)" for name in counts.LIST_COUNTS)),
    "contact": ("contact", "id", "phone", "CAST(stop_mask AS TEXT)"),
    "member": ("membership", "list_id", "contact_id", "''"),
    "value": ("field_value", "field_id", "contact_id", "value"),
    "field": ("contact_field", "id", "0", "name"),
    "stop": ("stop_list", "id", "phone", "CAST(mask AS TEXT)"),
    "leftover": ("leftover", "id", "0", "kind"),
    "account": ("account", "0", "0", " || ' ' || ".join(f"CAST({name} AS TEXT)" for name in counts.ACCOUNT_COUNTS)),
}  # fmt: skip


def _everything(tx: Transaction, account_id: int, *, deleted: Sequence[int]) -> _Everything:
    whole = Page(limit=500)
    found_lists = lists.find(tx, account_id, Search(page=whole)).lists
    return _Everything(
        found_lists,
        [lists.stats(tx, account_id, each.id) for each in found_lists],
        contact_search.find(tx, account_id, Search(page=whole)).contacts,
        fields.all(tx, account_id),
        stop_list.find(tx, account_id, Search(page=whole)).stops,
        verify.recount(tx, account_id),
        sum(_found_in_list(tx, account_id, list_id) for list_id in deleted),
    )


def _found_in_list(tx: Transaction, account_id: int, list_id: int) -> int:
    """How much searches find in a list."""
    found = stop_list.find(tx, account_id, Search(), list_id=list_id).total
    for sort in ("id", "phone"):
        search = Search((Criterion("group_id", "=", str(list_id)),), sort)
        page = contact_search.find(tx, account_id, search)
        found += page.total + len(page.contacts)
    return found


def _facts(tx: Transaction, account_ids: Sequence[int]) -> list[_Fact]:
    among = ", ".join(map(str, account_ids))
    return tx.all(
        _Fact,
        " UNION ALL ".join(
            f"SELECT account_id, '{noun}' AS noun, {id} AS id, {other} AS other, {kept} AS counts "
            f"FROM {table} WHERE account_id IN ({among})"
            for noun, (table, id, other, kept) in _FACTS.items()
        ),
    )


def _state(
    tx: Transaction, account_ids: Sequence[int], shown: Sequence[int]
) -> tuple[list[_Fact], list[_Everything]]:
    """What the tables have of some accounts, and what readers show of `shown`: of one snapshot."""
    facts = _facts(tx, account_ids)
    left = [fact for fact in facts if (fact.noun, fact.counts) == ("leftover", "list")]
    return facts, [
        _everything(
            tx,
            account_id,
            deleted=[fact.id for fact in left if fact.account_id == account_id],
        )
        for account_id in shown
    ]


_KINDS = {
    lists.ContactList: "list",
    contacts.Contact: "contact",
    upserts.Outcome: "contact",
    fields.Field: "field",
    stop_list.Stop: "stop",
    stop_list.Step: "stop",
}
_names = itertools.count(1)


def _merged(
    tx: Transaction,
    account_id: int,
    list_id: int,
    phones: list[int],
    used: list[tuple[int, fields.Type]],
    values: list[str | None],
) -> list[upserts.Outcome]:
    """What an import does with a piece of its stage; what became of each phone."""
    accounts.lock(tx, account_id)
    lists.get(tx, account_id, list_id)
    goal = merge.goal(ImportSpec(list=list_id), list_id, [merge.Used(*each) for each in used])
    staged = merge.Staged(0, np.array(phones, np.int64), [values] if used else [])
    planned = merge.plan(tx, account_id, goal, staged)
    merge.apply(tx, account_id, goal, staged, planned)
    touched = set(planned.joining.tolist()) | {contact_id for contact_id, _, _ in planned.changed}
    outcomes = []
    for place, phone in enumerate(phones):
        sql = "SELECT id FROM contact WHERE account_id = :account_id AND phone = :phone"
        contact_id = tx.one(int, sql, account_id=account_id, phone=phone)
        assert contact_id is not None
        result: Literal["created", "updated", "unchanged"] = (
            "created" if place in planned.new else "updated" if contact_id in touched else "unchanged"
        )
        outcomes.append(upserts.Outcome(contact_id, result))
    counted = planned.counted
    told = Counter(outcome.result for outcome in outcomes)
    assert (counted.created, counted.updated, counted.unchanged) == (
        told["created"],
        told["updated"],
        told["unchanged"],
    )
    return outcomes


class AnyOrder(RuleBasedStateMachine):
    """Three accounts of one database: Alice's, her sandbox, Bob's."""

    def __init__(self, db: Database) -> None:
        super().__init__()
        self.db = db
        self.started = datetime.now(UTC).replace(microsecond=0)
        self.alice = f"alice {os.getpid()} {next(_names)}"
        alice = db.write(accounts.create, name=self.alice)
        bob = db.write(accounts.create, name=f"bob of {self.alice}")
        self.ids = [alice.account_id, alice.sandbox_id, bob.account_id]
        self.born: dict[tuple[str, int], datetime] = {}
        self.ever: dict[str, list[int]] = {"list": [], "contact": [], "field": [], "stop": []}
        self.books = [Book(self.born) for _ in self.ids]

    # How a step goes

    def step(self, real: Callable[[], Any], predict: Callable[[Iterator[int]], Any], kind: str = "") -> None:
        """Do it really, and in the model; compare the answers.

        Args:
            predict: given the ids that the answer has, and that are new.
            kind: of what the call may make.
        """
        found: list[tuple[str, int]] = []
        try:
            answer = self.plain(real(), found)
        except RollbookError as error:
            answer = self.plain(error, found)
        new = iter(
            [
                id
                for found_kind, id in dict.fromkeys(found)
                if found_kind == kind and id not in self.ever[kind]
            ]
        )
        try:
            expected = predict(itertools.chain(new, itertools.repeat(-1)))
        except Refused as refused:
            expected = refused.what
        assert answer == expected
        assert next(new, None) is None
        for found_kind, id in found:
            if id not in self.ever[found_kind]:
                self.ever[found_kind].append(id)

    def plain(self, value: Any, found: list[tuple[str, int]]) -> Any:
        """A value in the form that the model has; `found` gets the kind and id of each thing in it."""
        if isinstance(value, msgspec.Struct):
            kind = _KINDS.get(type(value))
            shown = msgspec.structs.asdict(value)
            if kind is not None and shown["id"] is not None:
                found.append((kind, shown["id"]))
                if "created_at" in shown:
                    shown["created_at"] = self.when(kind, shown["id"], shown["created_at"])
            return {name: self.plain(each, found) for name, each in shown.items()}
        if isinstance(value, UnknownIds):
            return "UnknownIds", value.ids
        if isinstance(value, (AlreadyExists, NotFound)):
            return type(value).__name__, value.noun
        if isinstance(value, RollbookError):
            return (type(value).__name__,)
        if isinstance(value, Mapping):
            return dict(value)
        if isinstance(value, Sequence) and not isinstance(value, str) and not isinstance(value, tuple):
            return [self.plain(each, found) for each in value]
        return [] if value == () else value

    def when(self, kind: str, id: int, shown: datetime) -> str | datetime:
        if (kind, id) not in self.born and self.started <= shown <= datetime.now(UTC):
            self.born[kind, id] = shown
        return WHEN if self.born.get((kind, id)) == shown else shown

    def look(self, real: Callable[[], Any], expected: Callable[[], Any]) -> None:
        """A step that reads, and makes nothing."""
        self.step(real, lambda _: expected())

    def check(self, *touched: int) -> None:
        """The tables have what the model has, of every account; and so do the readers and
        a recount of those `touched`."""
        facts, shown = self.db.read(_state, self.ids, [self.ids[a] for a in touched])
        assert [self.plain(each, []) for each in shown] == [self.books[a].everything() for a in touched]
        left = {(fact.account_id, fact.counts, fact.id) for fact in facts if fact.noun == "leftover"}
        there = sorted(
            (self.ids.index(fact.account_id), fact.noun, fact.id, fact.other, fact.counts)
            for fact in facts
            if (fact.account_id, {"member": "list", "value": "field"}.get(fact.noun), fact.id) not in left
        )
        assert there == sorted((a, *fact) for a, book in enumerate(self.books) for fact in book.facts())

    def pick(self, account: int, kind: str, n: int) -> int:
        book = self.books[account]
        own: list[int] = {
            "list": list(book.lists),
            "contact": list(book.people),
            "field": list(book.fields),
            "stop": [row.id for row in book.stops.values()],
        }[kind]
        if own and n % 8 != 7:
            return own[n % len(own)]
        ever = self.ever[kind]
        return ever[n // 8 % len(ever)] if ever and n != 63 else 999_999_999

    def pick_all(self, account: int, kind: str, numbers: Sequence[int]) -> list[int]:
        return [self.pick(account, kind, n) for n in numbers]

    def wanted(
        self, account: int, phone: int | None, some: Sequence[int], values: Sequence[tuple[int, str | None]]
    ) -> Wanted:
        chosen = {self.pick(account, "field", n): value for n, value in values}
        return Wanted(phone, tuple(self.pick_all(account, "list", some)), tuple(chosen.items()))

    def new(self, wanted: Wanted) -> NewContact:
        assert wanted.phone is not None
        return NewContact(wanted.phone, wanted.list_ids, dict(wanted.values))

    def looks(
        self,
        account: int,
        kind: str,
        criteria: Sequence[tuple[str, str, int | None, str | None]],
        sort: str,
        descending: bool,
        page: tuple[int, int],
    ) -> Iterator[tuple[Look, Search]]:
        """A search for the model and the same for the core: the first pages by offset, and one by keyset."""
        told = []
        for name, operator, n, value in criteria:
            picked = {"id": kind, "group_id": "list", "field": "field"}.get(name)
            if n is not None and picked is not None:
                id = str(self.pick(account, picked, n))
                name, value = (id, value) if name == "field" else (name, id)
            if value == "now":
                value = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
            assert value is not None
            told.append((name, operator, value))
        limit, n = page
        after = self.pick(account, kind, n)
        for where in (Page(limit), Page(limit, 1), Page(limit, 3), Page(limit, after=after)):
            look = Look(tuple(told), sort, descending, limit, where.offset, where.after)
            yield look, Search(tuple(Criterion(*each) for each in told), sort, descending, where)

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
        for _, text in zip(ordered, texts, strict=False):
            try:
                values.append(kept(book.fields[field_id].type, text) if field_id is not None else None)
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
            lambda: self.db.write(_merged, self.ids[a], list_id, ordered, used, values), predict, "contact"
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
        left = self.db.read(leftovers.first)
        assert left is not None
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

        self.step(lambda: self.db.write(accounts.wipe_sandbox, name=name), predict)
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
        while (left := self.db.read(leftovers.first)) is not None:
            self.db.write(leftovers.remove_some, left.account_id, left)
        for book in self.books:
            book.leftovers.clear()
        self.check(0, 1, 2)


_MEMBERS_LEFT = "SELECT count(*) FROM membership WHERE account_id = :account_id AND list_id = :id"
_VALUES_LEFT = "SELECT count(*) FROM field_value WHERE account_id = :account_id AND field_id = :id"


def _rows_left(tx: Transaction, left: leftovers.Leftover) -> int:
    sql = _MEMBERS_LEFT if left.kind == "list" else _VALUES_LEFT
    return tx.one(int, sql, account_id=left.account_id, id=left.id) or 0


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
