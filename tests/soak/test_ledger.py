"""The ledger of the long run notices what it is there to notice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Live
from tests.soak.book import Book, Kept, differences, kept

PHONES = (380_000_000_001, 380_000_000_002)


def _kept() -> Kept:
    book = Book({*PHONES}, {"Customers": {*PHONES}}, {PHONES[0]: {"sms", "rcs"}})
    return Kept(book, book.counts())


def test_the_same_book_has_no_differences() -> None:
    assert differences(_kept().book.copy(), _kept()) == []


@pytest.mark.parametrize(
    ("happening", "said"),
    [
        (lambda has: has.book.stops.pop(PHONES[0]), "lost: stop"),
        (lambda has: has.book.stops[PHONES[0]].discard("rcs"), "lost: stop"),
        (lambda has: has.book.stop([PHONES[1]], ["viber"]), "not asked for: stop"),
        (lambda has: has.book.contacts.discard(PHONES[1]), "lost: contact"),
        (lambda has: has.book.contacts.add(380_000_000_009), "not asked for: contact"),
        (lambda has: has.book.members["Customers"].discard(PHONES[1]), "lost: member of Customers"),
        (lambda has: has.book.members.pop("Customers"), "lost: list"),
        (lambda has: has.counts.update(Customers=(2, 2)), "count of Customers"),
        (lambda has: has.doubled.append("contact 1"), "doubled: contact 1"),
    ],
    ids=["stop", "channel", "stranger", "contact", "made up", "member", "list", "count", "doubled"],
)
def test_what_is_lost_doubled_or_miscounted_is_said(happening: Callable[[Kept], object], said: str) -> None:
    must, has = _kept().book, _kept()
    happening(has)
    has.counts = {name: count for name, count in has.counts.items() if name in has.book.members}
    assert any(line.startswith(said) for line in differences(must, has))


def test_a_book_is_read_as_it_is(live: Live) -> None:
    with live.client(live.new_key()) as api:
        made = api.post("/api/groups", json={"name": "Customers"}).json()["data"]["id"]
        assert api.post(f"/api/groups/{made}/contacts", json={"phones": PHONES[:1]}).status_code == 200
        assert api.post("/api/contacts", json={"phone": PHONES[1]}).status_code == 201
        stops = {"phones": [PHONES[0], 380_000_000_009], "types": ["sms", "rcs"]}
        assert api.post("/api/stoplist/attach", json=stops).status_code == 200
        has = kept(api)
    channels = {"sms", "rcs"}
    must = Book({*PHONES}, {"Customers": {PHONES[0]}}, {PHONES[0]: channels, 380_000_000_009: channels})
    assert differences(must, has) == []
    assert has.counts == {"Customers": (1, 1)}
