"""No route asks the database more often because there is more to answer or more to do."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any, NamedTuple, cast

import msgspec
import pytest

from rollbook import fields, lists, stop_list, upserts
from rollbook.accounts import Account
from rollbook.api.app import ROUTES
from rollbook.api.gate import Gate
from rollbook.api.wire import Call, Options
from rollbook.contacts import NewContact
from rollbook.db import Database
from rollbook.fields import NewField
from rollbook.lists import NewList
from tests.calls import PHONE

COUNT = 300
BY = {(route.method, route.path): route for route in ROUTES}


class Book(NamedTuple):
    """An account with 300 contacts in 50 lists, each with 5 values, and 300 rows of the stop list."""

    db: Database
    account_id: int
    contacts: list[int]
    lists: list[int]
    fields: list[int]
    stops: list[int]

    def statements(
        self,
        method: str,
        path: str,
        body: object = None,
        id: int = 0,
        params: Mapping[str, object] | None = None,
    ) -> int:
        """How many statements a call runs."""
        route = BY[method, path]
        query = {
            name: [str(each) for each in value] if isinstance(value, list) else str(value)
            for name, value in (params or {}).items()
        }
        call = Call(cast("Gate", None), Options(), self.account_id, 1, id, query, False, False)
        if route.body:
            work = route.handler(call, route.body.read(msgspec.json.encode(body or {})))
        else:
            work = route.handler(call)
        before = self.db.statements_run
        run = self.db.write if work.writes else self.db.read
        answer = work.show(run(work.fn, self.account_id, *work.args))
        assert answer is None or msgspec.json.encode(answer)
        return self.db.statements_run - before


@pytest.fixture
def book(db: Database, alice: Account) -> Book:
    id = alice.account_id
    list_ids = [
        made.id
        for made in db.write(lists.create_many, id, [NewList(f"list {number}") for number in range(50)])
        if isinstance(made, lists.ContactList)
    ]
    field_ids = [db.write(fields.create, id, NewField(f"field {number}", "text")).id for number in range(5)]
    news = [
        NewContact(PHONE + number, tuple(list_ids), dict.fromkeys(field_ids, f"v {number}"))
        for number in range(COUNT)
    ]
    made = db.write(upserts.upsert_many, id, news)
    ids = [outcome.id for outcome in made if isinstance(outcome, upserts.Outcome)]
    phones = [PHONE + number for number in range(COUNT)]

    def stop(tx: Any) -> list[stop_list.Stop]:
        return stop_list.add(tx, id, phones=phones, channels=["sms"])

    stops = [row.id for row in db.write(stop)]
    return Book(db, id, ids, list_ids, field_ids, stops)


def test_a_page_takes_as_many_statements_whatever_its_size(book: Book) -> None:
    field = book.fields[0]
    search, stops = "/api/contacts/search", "/api/stoplist/search"
    reads: list[tuple[str, dict[str, object], int]] = [
        ("/api/groups", {}, 2),
        ("/api/groups/search", {"search[field]": "phone", "search[value]": PHONE}, 2),
        ("/api/contacts", {}, 6),
        ("/api/contacts", {"groups[]": book.lists[:1]}, 7),
        ("/api/contacts", {"groups[]": book.lists}, 7),
        (search, {}, 6),
        (search, {"search[field]": "phone", "search[operator]": "like", "search[value]": "380"}, 6),
        (search, {"search[field]": "group_id", "search[value]": book.lists[0], "sort": "phone"}, 6),
        (search, {"search[field]": field, "search[operator]": "like", "search[value]": "v"}, 7),
        ("/api/stoplist", {}, 2),
        ("/api/stoplist", {"type": "sms"}, 2),
        (stops, {"search[field]": "phone", "search[operator]": "like", "search[value]": "380"}, 2),
        (stops, {"contact_group_id": book.lists[0]}, 4),
    ]
    for path, params, most in reads:
        took = {
            book.statements("GET", path, params=params | {"page[limit]": limit, "page[offset]": offset})
            for limit, offset in ((15, 0), (500, 0), (15, 30))
        }
        assert len(took) == 1, (path, params, took)
        assert max(took) <= most, (path, params, took)
    assert book.statements("GET", "/api/contacts/{id}", id=book.contacts[0]) <= 4
    assert book.statements("GET", "/api/contacts/fields") == 1
    assert book.statements("GET", "/api/groups/{id}", id=book.lists[0]) == 1
    assert book.statements("GET", "/api/groups/{id}/stats", id=book.lists[0]) == 1


def test_a_batch_takes_as_many_statements_whatever_its_size(book: Book) -> None:
    def values(text: str) -> list[dict[str, object]]:
        return [{"id": field, "value": text} for field in book.fields]

    def new(start: int, count: int) -> list[dict[str, object]]:
        return [
            {"phone": PHONE + start + number, "groups": book.lists, "fields": values(str(number))}
            for number in range(count)
        ]

    def phones(start: int, count: int) -> list[int]:
        return [PHONE + start + number for number in range(count)]

    def stops_of(start: int, count: int) -> list[dict[str, object]]:
        return [{"phone": phone, "channels": ["sms"]} for phone in phones(start, count)]

    ids, groups, channels = book.contacts, book.lists, ["sms", "viber", "rcs", "whatsapp"]
    calls: list[tuple[str, object, int]] = [
        ("/api/groups/detach", {"contacts": ids[:1], "groups": groups[:1]}, 0),
        ("/api/groups/detach", {"contacts": ids[100:], "groups": groups}, 0),
        ("/api/groups/attach", {"contacts": ids[:1], "groups": groups[:1]}, 0),
        ("/api/groups/attach", {"contacts": ids[100:], "groups": groups}, 0),
        ("/api/contacts/upsert", {"contacts": new(1_000, 1)}, 0),
        ("/api/contacts/upsert", {"contacts": new(2_000, 500)}, 0),
        ("/api/groups/{id}/contacts", {"phones": phones(5_000, 1)}, groups[0]),
        ("/api/groups/{id}/contacts", {"phones": phones(6_000, 500)}, groups[0]),
        ("/api/stoplist/attach", {"phones": phones(7_000, 1), "types": ["sms"]}, 0),
        ("/api/stoplist/attach", {"phones": phones(8_000, 500), "types": channels}, 0),
        ("/api/stoplist/detach", {"ids": book.stops[:1], "types": ["sms"]}, 0),
        ("/api/stoplist/detach", {"ids": book.stops[100:], "types": channels}, 0),
        ("/api/stops", {"stops": stops_of(9_000, 1)}, 0),
        ("/api/stops", {"stops": stops_of(10_000, 500)}, 0),
        ("/api/stops/release", {"stops": stops_of(7_000, 1)}, 0),
        ("/api/stops/release", {"stops": stops_of(8_000, 500)}, 0),
        ("/api/contacts/delete", {"contact_ids": ids[:1]}, 0),
        ("/api/contacts/delete", {"contact_ids": ids[1:]}, 0),
        ("/api/contacts/fields/delete", {"ids": book.fields[:1]}, 0),
        ("/api/contacts/fields/delete", {"ids": book.fields[1:]}, 0),
    ]
    for path, both in groupby(calls, key=lambda each: each[0]):
        one, many = (book.statements("POST", path, body, id) for _, body, id in both)
        assert one == many, path
        assert many <= 16, path
