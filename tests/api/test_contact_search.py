"""The search of contacts on the wire, as wire.md section 6 has it."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import httpx
import pytest

from tests.calls import (
    CONTACT_KEYS,
    PHONE,
    made_field,
    made_list,
    paged,
    upserted,
)
from tests.conftest import Live

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
TEXTS = [
    "Kyiv",
    "kyiv",
    "KYIV 100%",
    "a_b",
    "axb",
    "\u00c4rger \U0001f4de",
    "\u00e4rger",
    "stra\u00dfe",
    None,
]
NUMBERS = ["-100", "-10.5", "-10", "-0.05", "0", "0.5", "7", "10", "12345678901234567", None]
DATES = ["0999-12-31", "2022-04-28", "2022-04-28 00:00:01", "2022-04-29", "9999-12-31 23:59:59", None]


class Known(NamedTuple):
    """A contact of the model."""

    id: int
    phone: int
    lists: tuple[int, ...]
    text: str | None
    number: str | None
    date: str | None


def newest(ids: Iterable[int]) -> list[int]:
    return sorted(ids, reverse=True)


class Searched(NamedTuple):
    """An account with contacts, and what is known of them."""

    api: httpx.Client
    lists: list[int]
    fields: dict[str, int]
    contacts: list[Known]

    def found(self, *criteria: tuple[object, str, object], **more: object) -> list[int]:
        """Ids that the service finds, of all pages."""
        params: dict[str, Any] = dict(more)
        for number, (field, wanted, value) in enumerate(criteria):
            parts = {"field": field, "operator": wanted, "value": value}
            params |= {f"search_fields[{number}][{part}]": each for part, each in parts.items()}
        pages = list(paged(self.api, "/api/contacts/search", after=True, limit=20, params=params))
        ids = [row["id"] for page in pages for row in page["data"]]
        assert {page["meta"]["page"]["total"] for page in pages} == {len(ids)}
        return ids


@pytest.fixture(scope="module")
def book(live: Live) -> Iterator[Searched]:
    """45 contacts with values of every kind."""
    with live.client(live.new_key()) as api:
        fields = {type: made_field(api, type, type)["id"] for type in ("text", "number", "date")}
        lists = [made_list(api, f"list {number}")["id"] for number in range(3)]
        known, items = [], []
        for number in range(45):
            each = Known(
                0,
                PHONE + number * 37 % 45 * 1001,
                tuple(id for place, id in enumerate(lists) if number % (place + 2) == 0),
                TEXTS[number % len(TEXTS)],
                NUMBERS[number % len(NUMBERS)],
                DATES[number % len(DATES)],
            )
            values = {"text": each.text, "number": each.number, "date": each.date}
            pairs = [{"id": fields[type], "value": value} for type, value in values.items()]
            items.append({"phone": each.phone, "groups": each.lists, "fields": pairs})
            known.append(each)
        results = upserted(api, items)["results"]
        contacts = [each._replace(id=row["id"]) for each, row in zip(known, results, strict=True)]
        yield Searched(api, lists, fields, contacts)


def test_a_search_without_criteria_finds_50_contacts_a_page(book: Searched) -> None:
    answer = book.api.get("/api/contacts/search").json()
    assert list(answer) == ["data", "meta"]
    assert list(answer["data"][0]) == CONTACT_KEYS
    assert answer["meta"] == {"page": {"total": 45, "limit": 50, "offset": 0, "next": None}}
    assert [row["id"] for row in answer["data"]] == newest(row.id for row in book.contacts)


@pytest.mark.parametrize("sign", COMPARE)
def test_ids_and_dates_of_creation_are_compared(book: Searched, sign: str) -> None:
    for each in (book.contacts[0], book.contacts[20], book.contacts[-1]):
        for value in (each.id, f" {each.id} ", f"+{each.id}"):
            assert book.found(("id", sign, value)) == newest(
                row.id for row in book.contacts if COMPARE[sign](row.id, each.id)
            )
    assert bool(book.found(("created_at", sign, "2020-01-01"))) is COMPARE[sign](1, 0)
    assert bool(book.found(("date", sign, "2999-01-01T00:00:00Z"))) is COMPARE[sign](0, 1)


def test_phones_are_found_whole_or_in_part(book: Searched) -> None:
    for each in book.contacts[::9]:
        for value in (each.phone, f"+{each.phone}", f"+380 ({str(each.phone)[3:]})"):
            assert book.found(("phone", "=", value)) == [each.id]
    for part in ("001", "+380", "38 00", "0-0-1", "38000000", "999", ""):
        digits = re.sub(r"\D", "", part)
        assert book.found(("phone", "like", part)) == newest(
            row.id for row in book.contacts if digits in str(row.phone)
        )
    assert book.found(("phone", "=", "1")) == []


def test_contacts_of_a_list_are_found(book: Searched) -> None:
    one, two = book.lists[:2]
    assert book.found(("group_id", "=", one)) == newest(row.id for row in book.contacts if one in row.lists)
    both = book.found(("group_id", "=", one), ("group_id", "=", two))
    assert both == newest(row.id for row in book.contacts if {one, two} <= set(row.lists))
    assert book.found(("group_id", "=", one), ("group_id", "=", 999_999_999)) == []
    assert book.found(("group_id", "=", 999_999_999), ("group_id", "=", one)) == []


@pytest.mark.parametrize(
    "part",
    ["kyiv", "KYIV", "%", "_", "0%", "a_b", "\u00c4", "\u00e4RGER", "\U0001f4de", "SS", "\u1e9e", " ", "zz"],
)
def test_a_text_field_holds_a_part_in_any_case(book: Searched, part: str) -> None:
    found = book.found((book.fields["text"], "like", part))
    assert found == newest(
        row.id for row in book.contacts if row.text is not None and part.casefold() in row.text.casefold()
    )


@pytest.mark.parametrize("text", [text for text in TEXTS if text])
def test_a_text_field_equals_a_text_exactly(book: Searched, text: str) -> None:
    found = book.found((str(book.fields["text"]), "=", text))
    assert found == newest(row.id for row in book.contacts if row.text == text)
    decomposed = text.replace("\u00c4", "A\u0308").replace("\u00e4", "a\u0308")
    assert book.found((book.fields["text"], "=", decomposed)) == found


@pytest.mark.parametrize("sign", COMPARE)
def test_a_number_field_is_compared_by_value(book: Searched, sign: str) -> None:
    for value in (
        "-100", "-99.9", "-10.50", "-0.05", "-0", "0.0", "+00.5", ".6", "007", "12345678901234566",
        "12345678901234567.0", "99999999999999999999",
    ):  # fmt: skip
        found = book.found((book.fields["number"], sign, value))
        assert found == newest(
            row.id
            for row in book.contacts
            if row.number is not None and COMPARE[sign](Decimal(row.number), Decimal(value))
        ), value


@pytest.mark.parametrize("sign", COMPARE)
def test_a_date_field_is_compared_by_moment(book: Searched, sign: str) -> None:
    moments = {
        "0001-01-01": "0001-01-01",
        "0999-12-31": "0999-12-31",
        "2022-04-28": "2022-04-28",
        "2022-04-28T00:00:00Z": "2022-04-28",
        "2022-04-28 03:00:00+03:00": "2022-04-28",
        "2022-04-28 00:00:01": "2022-04-28 00:00:01",
        "2022-04-28 23:59": "2022-04-28 23:59:00",
        "9999-12-31": "9999-12-31",
    }
    for value, meant in moments.items():
        found = book.found((book.fields["date"], sign, value))
        assert found == newest(
            row.id
            for row in book.contacts
            if (row.date is not None and COMPARE[sign](row.date.ljust(19, "\0"), meant.ljust(19, "\0")))
        ), value


def test_all_criteria_must_hold(book: Searched) -> None:
    one = book.lists[0]
    found = book.found(
        ("group_id", "=", one),
        (book.fields["number"], ">", "-11"),
        (book.fields["text"], "like", "k"),
        ("phone", "like", "00"),
        (book.fields["date"], "<", "9000-01-01"),
        ("id", ">", book.contacts[5].id),
    )
    wanted = newest(
        row.id
        for row in book.contacts
        if (
            one in row.lists
            and row.number is not None
            and Decimal(row.number) > -11
            and "k" in (row.text or "").lower()
            and (row.date or "9999") < "9000"
            and row.id > book.contacts[5].id
        )
    )
    assert found == wanted


def test_30_criteria_may_be_given(book: Searched) -> None:
    kyiv = book.found((book.fields["text"], "=", "Kyiv"))
    assert book.found(*[(book.fields["text"], "=", "Kyiv")] * 29, ("group_id", "=", book.lists[0])) == newest(
        row.id for row in book.contacts if row.id in kyiv and book.lists[0] in row.lists
    )


@pytest.mark.parametrize("way", ["asc", "desc", "ASC", "Desc"])
@pytest.mark.parametrize("sort", ["id", "phone"])
def test_a_search_is_sorted_and_paged_both_ways(book: Searched, sort: str, way: str) -> None:
    criteria: list[tuple[tuple[object, str, object], ...]] = [
        (),
        (("group_id", "=", book.lists[0]),),
        (("group_id", "=", book.lists[2]), ("phone", "like", "0")),
        ((book.fields["text"], "like", "k"),),
    ]
    for each in criteria:
        found = book.found(*each, sort=sort, way=way)
        assert sorted(found, reverse=True) == book.found(*each)
        values = {row.id: getattr(row, sort) for row in book.contacts}
        assert found == sorted(found, key=values.__getitem__, reverse=way.lower() == "desc")


def test_a_sort_without_a_way_ascends(book: Searched) -> None:
    phones = [row["phone"] for row in book.api.get("/api/contacts/search?sort=phone").json()["data"]]
    assert phones == sorted(phones)


def test_meta_echoes_the_first_criterion(book: Searched) -> None:
    field = book.fields["number"]
    answer = book.api.get(
        f"/api/contacts/search?search[field]={field}&search[operator]=>&search[value]=007"
        "&search_fields[0][field]=id&search_fields[0][value]=1&page[limit]=15&page[offset]=15"
    ).json()
    assert answer["meta"] == {
        "page": {"total": 0, "limit": 15, "offset": 15, "next": None},
        "search": {"field": str(field), "operator": ">", "value": "007"},
    }


def test_another_accounts_field_cannot_be_searched_by(api: httpx.Client, book: Searched) -> None:
    field = book.fields["text"]
    own = {row["id"] for row in api.get("/api/contacts/fields").json()["data"]}
    assert field not in own
    answer = api.get(f"/api/contacts/search?search[field]={field}&search[value]=Kyiv")
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["search[field]"]
