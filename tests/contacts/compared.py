"""Accounts beside their models: a step is done to both, and both are compared."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import numpy as np
from hypothesis.stateful import RuleBasedStateMachine

from rollbook import accounts, contact_search, contacts, counts, fields, lists, stop_list, upserts, verify
from rollbook.contacts import NewContact
from rollbook.db import Database, Transaction
from rollbook.errors import AlreadyExists, NotFound, RollbookError, UnknownIds
from rollbook.imports import merge
from rollbook.imports.spec import ImportSpec
from rollbook.lists import Stats
from rollbook.search import Criterion, Page, PageRequest, Search
from tests.model import WHEN, Book, Look, Refused, Wanted


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
    whole = PageRequest(limit=500)
    found_lists = lists.find(tx, account_id, Search(page=whole)).rows
    return _Everything(
        found_lists,
        [lists.stats(tx, account_id, each.id) for each in found_lists],
        contact_search.find(tx, account_id, Search(page=whole)).rows,
        fields.all(tx, account_id),
        stop_list.find(tx, account_id, Search(page=whole)).rows,
        verify.recount(tx, account_id),
        sum(_found_in_list(tx, account_id, list_id) for list_id in deleted),
    )


def _found_in_list(tx: Transaction, account_id: int, list_id: int) -> int:
    """How much searches find in a list."""
    found = stop_list.find(tx, account_id, Search(), list_id=list_id).total
    for sort in ("id", "phone"):
        search = Search((Criterion("group_id", "=", str(list_id)),), sort)
        page = contact_search.find(tx, account_id, search)
        found += page.total + len(page.rows)
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


def merged(
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


class Compared(RuleBasedStateMachine):
    """Three accounts of one database, Alice's, her sandbox and Bob's, each beside a model of it."""

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
        if isinstance(value, Page):
            return {"rows": self.plain(value.rows, found), "total": value.total, "next": value.next}
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
        for where in (
            PageRequest(limit),
            PageRequest(limit, 1),
            PageRequest(limit, 3),
            PageRequest(limit, after=after),
        ):
            look = Look(tuple(told), sort, descending, limit, where.offset, where.after)
            yield look, Search(tuple(Criterion(*each) for each in told), sort, descending, where)
