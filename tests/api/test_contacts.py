"""Contacts on the wire, as wire.md sections 4 and 6 have them, and the upsert beyond it."""

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
    LIST_KEYS,
    PHONE,
    counts,
    made_contact,
    made_field,
    made_list,
    paged,
    stopped,
    upserted,
)
from tests.conftest import Live


def test_a_new_contact_is_answered_exactly(api: httpx.Client) -> None:
    row, field = made_list(api, "Customers"), made_field(api, "City")
    answer = api.post(
        "/api/contacts",
        json={"phone": PHONE + 1, "groups": [row["id"]], "fields": [{"id": field["id"], "value": "Kyiv"}]},
    )
    assert answer.status_code == 201
    assert answer.headers["Content-Type"] == "application/json"
    assert list(answer.json()) == ["data"]
    data = answer.json()["data"]
    assert list(data) == CONTACT_KEYS
    assert [list(each) for each in data["groups"]] == [LIST_KEYS]
    assert 0 < data["id"] < 2**53
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", data["created_at"])
    assert data == {
        "id": data["id"],
        "phone": PHONE + 1,
        "fields": {str(field["id"]): "Kyiv"},
        "groups": [row | {"items": 1}],
        "hlr_status": "unknown",
        "hlr_last_check": None,
        "created_at": data["created_at"],
    }
    assert api.get(f"/api/contacts/{data['id']}").json() == {"data": data}


def test_a_bare_contact_has_empty_lists(api: httpx.Client) -> None:
    bare: list[dict[str, Any]] = [{}, {"groups": None, "fields": None}, {"groups": [], "fields": []}]
    for number, more in enumerate(bare):
        contact = made_contact(api, number, **more)
        assert (contact["groups"], contact["fields"]) == ([], [])


@pytest.mark.parametrize(
    "written",
    [
        PHONE + 1,
        "380000000001",
        "+380000000001",
        " +380 (00) 000-00.01 ",
        "(380) 00 000 00 01",
        "38-00-00-00-00-01",
    ],
)
def test_a_phone_may_be_written_in_several_ways(api: httpx.Client, written: object) -> None:
    answer = api.post("/api/contacts", json={"phone": written})
    assert (answer.status_code, answer.json()["data"]["phone"]) == (201, PHONE + 1)
    taken = api.post("/api/contacts", json={"phone": f"+{PHONE + 1}"})
    assert taken.status_code == 422
    assert taken.json() == {"message": "Phone number is already exist in contact book", "errors": []}


def test_the_contacts_of_a_list_count_at_once(api: httpx.Client) -> None:
    stopped(api, 1, types=("sms", "viber"))
    stopped(api, 2, types=("rcs", "whatsapp"))
    row = made_list(api, "abc")["id"]
    for number in range(4):
        contact = made_contact(api, number, groups=[row, row, str(row)])
        shown = [(each["items"], each["stop_list_count"]) for each in contact["groups"]]
        assert shown == [(number + 1, 1 if number else 0)]
    assert counts(api, row) == (4, 1)


def test_a_change_adds_and_sets_and_never_removes(api: httpx.Client) -> None:
    lists = [made_list(api, f"list {number}")["id"] for number in range(3)]
    city, visits = made_field(api, "City")["id"], made_field(api, "Visits", "number")["id"]
    both = [{"id": city, "value": "Kyiv"}, {"id": visits, "value": "1"}]
    contact = made_contact(api, 1, groups=lists[:2], fields=both)
    path = f"/api/contacts/{contact['id']}"
    for body in (
        {},
        {"phone": PHONE + 1},
        {"phone": PHONE + 1, "groups": [], "fields": []},
        {"groups": None, "fields": None},
        {"groups": lists[:1], "fields": both[:1]},
    ):
        answer = api.put(path, json=body)
        assert (answer.status_code, answer.json()["data"]) == (200, contact)
    joined = api.put(path, json={"groups": [lists[2]]}).json()["data"]
    assert [each["id"] for each in joined["groups"]] == lists[::-1]
    assert [each["items"] for each in joined["groups"]] == [1, 1, 1]
    for empty in (None, "", "  "):
        api.put(path, json={"fields": [{"id": city, "value": "Lviv"}]})
        cleared = api.put(path, json={"fields": [{"id": city, "value": empty}]}).json()["data"]
        assert cleared["fields"] == {str(visits): "1"}
    missing = api.put(path, json={"fields": [{"id": visits}]}).json()["data"]
    assert missing == joined | {"fields": []}
    assert api.get(path).json()["data"] == missing


def test_a_changed_phone_takes_its_lists_along_and_every_count_follows(api: httpx.Client) -> None:
    stopped(api, 2, types=("viber",))
    stopped(api, 3, types=("rcs",))
    one, two = made_list(api, "one")["id"], made_list(api, "two")["id"]
    contact = made_contact(api, 1, groups=[one, two])
    path = f"/api/contacts/{contact['id']}"
    for number, stop_list_count in ((2, 1), (3, 0), (2, 1), (2, 1), (1, 0)):
        data = api.put(path, json={"phone": PHONE + number}).json()["data"]
        assert data["phone"] == PHONE + number
        assert [each["stop_list_count"] for each in data["groups"]] == [stop_list_count] * 2
        assert counts(api, one) == counts(api, two) == (1, stop_list_count)
    made_contact(api, 5, groups=[one])
    taken = api.put(path, json={"phone": PHONE + 5, "groups": [one]})
    assert taken.json() == {"message": "Phone number is already exist in contact book", "errors": []}
    assert api.get("/api/stoplist").json()["total"] == 2


def test_a_deleted_contact_leaves_its_lists_and_stays_stopped(api: httpx.Client) -> None:
    row = made_list(api, "abc")["id"]
    contact = made_contact(api, 1, groups=[row])
    stopped(api, 1)
    assert counts(api, row) == (1, 1)
    gone = api.delete(f"/api/contacts/{contact['id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    for method in ("GET", "DELETE"):
        answer = api.request(method, f"/api/contacts/{contact['id']}")
        assert (answer.status_code, answer.json()) == (422, {"message": "Invalid contact id", "errors": []})
    assert counts(api, row) == (0, 0)
    assert api.get("/api/stoplist").json()["total"] == 1
    again = made_contact(api, 1, groups=[row])
    assert again["id"] != contact["id"]
    assert counts(api, row) == (1, 1)


def test_a_deleted_list_disappears_from_its_contacts(api: httpx.Client) -> None:
    one, two = made_list(api, "one")["id"], made_list(api, "two")["id"]
    contact = made_contact(api, 1, groups=[one, two])
    api.delete(f"/api/groups/{one}")
    path = f"/api/contacts/{contact['id']}"
    assert [each["id"] for each in api.get(path).json()["data"]["groups"]] == [two]
    for query in (f"groups[]={one}", f"groups[]={one}&groups[]={two}"):
        total = api.get(f"/api/contacts?{query}").json()["total"]
        assert total == query.count("&")
    found = api.get(f"/api/contacts/search?search[field]=group_id&search[value]={one}").json()
    assert (found["data"], found["meta"]["page"]["total"]) == ([], 0)


def test_the_index_has_20_contacts_newest_first_and_pages_add_up(api: httpx.Client) -> None:
    results = upserted(api, [{"phone": PHONE + number} for number in range(40, 0, -1)])["results"]
    newest = sorted((each["id"] for each in results), reverse=True)
    whole = api.get("/api/contacts").json()
    assert list(whole) == ["data", "total", "next"]
    assert [row["id"] for row in whole["data"]] == newest[:20]
    assert (whole["total"], whole["next"]) == (40, newest[19])
    for after in (True, False):
        pages = list(paged(api, "/api/contacts", after=after))
        assert [row["id"] for page in pages for row in page["data"]] == newest
        assert [len(page["data"]) for page in pages] == [15, 15, 10]
        assert {page["total"] for page in pages} == {40}
    beyond = api.get("/api/contacts?page[offset]=1000").json()
    assert beyond == {"data": [], "total": 40, "next": None}
    assert len(api.get("/api/contacts?page[limit]=500").json()["data"]) == 40
    exact = api.get("/api/contacts?page[limit]=20&page[offset]=20").json()
    assert (len(exact["data"]), exact["next"]) == (20, None)


def test_the_contacts_of_any_of_some_lists_come_once(api: httpx.Client) -> None:
    lists = [made_list(api, f"list {number}")["id"] for number in range(4)]
    members = {number: [lists[place] for place in range(3) if number & (1 << place)] for number in range(64)}
    items = [{"phone": PHONE + number, "groups": groups} for number, groups in members.items()]
    ids = {each["phone"] - PHONE: each["id"] for each in upserted(api, items)["results"]}
    for chosen in range(1, 16):
        wanted = {lists[place] for place in range(4) if chosen & (1 << place)}
        newest = sorted((ids[n] for n, groups in members.items() if wanted & set(groups)), reverse=True)
        for after in (True, False):
            pages = list(paged(api, "/api/contacts", after=after, params={"groups[]": sorted(wanted)}))
            assert [row["id"] for page in pages for row in page["data"]] == newest
            assert {page["total"] for page in pages} == {len(newest)}
    unknown = api.get("/api/contacts?groups[]=999999999").json()
    assert unknown == {"data": [], "total": 0, "next": None}


def test_contacts_are_deleted_by_id_and_by_list(api: httpx.Client) -> None:
    one, two = made_list(api, "one")["id"], made_list(api, "two")["id"]
    items = [{"phone": PHONE + number, "groups": [(one, two)[number % 2]]} for number in range(8)]
    items += [{"phone": PHONE + 10}, {"phone": PHONE + 11}]
    ids = [each["id"] for each in upserted(api, items)["results"]]
    stopped(api, *range(10))

    def left() -> list[int]:
        return sorted(row["id"] for row in api.get("/api/contacts").json()["data"])

    path = "/api/contacts/delete"
    gone = api.post(f"{path}?contact_ids[]={ids[0]}&contact_ids[]={ids[0]}&contact_ids[]=999999999")
    assert (gone.status_code, gone.content, left()) == (204, b"", ids[1:])
    assert counts(api, one) == (3, 3)
    assert api.post(path, json={"contact_ids": [ids[2]]}).status_code == 204
    assert left() == [ids[1], *ids[3:]]
    both = api.post(f"{path}?contact_ids[]={ids[8]}", json={"group_ids": [two]})
    assert (both.status_code, left()) == (204, [ids[4], ids[6], ids[9]])
    assert (counts(api, one), counts(api, two)) == ((2, 2), (0, 0))
    assert api.post(f"{path}?group_ids[0]={one}&group_ids[1]=999999999").status_code == 204
    assert left() == [ids[9]]
    assert api.get("/api/groups").json()["total"] == 2
    assert api.get("/api/stoplist").json()["total"] == 10
    assert api.post(f"{path}?group_ids[]={one}").status_code == 204


def test_the_same_field_twice_keeps_the_last(api: httpx.Client) -> None:
    field = made_field(api, "City")["id"]
    twice = [{"id": field, "value": "first"}, {"id": str(field), "value": "last"}]
    contact = made_contact(api, 1, fields=twice)
    assert contact["fields"] == {str(field): "last"}
    assert made_contact(api, 2, fields=[*twice, {"id": field, "value": None}])["fields"] == []


# --- search ---------------------------------------------------------------------------------------

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


# --- upsert ---------------------------------------------------------------------------------------


def test_an_upsert_tells_what_became_of_each(api: httpx.Client) -> None:
    row = made_list(api, "abc")["id"]
    text, number = made_field(api, "City")["id"], made_field(api, "Visits", "number")["id"]
    kept = made_contact(api, 1, groups=[row], fields=[{"id": number, "value": "7"}])
    old = made_contact(api, 2)
    answer = api.post(
        "/api/contacts/upsert",
        json={
            "contacts": [
                {"phone": PHONE + 1, "groups": [row], "fields": [{"id": number, "value": "007.0"}]},
                {"phone": f"+{PHONE + 2}", "groups": [{"id": row, "default": False}], "reference": "row 2"},
                {"phone": PHONE + 3, "fields": [{"id": text, "value": "Kyiv"}], "reference": 3},
                {"phone": PHONE + 3, "reference": ""},
                {"phone": "12", "reference": "x" * 300},
                {"phone": True, "reference": "true"},
                {"reference": "no phone"},
                {"phone": PHONE + 4, "groups": [999_999_999], "reference": "list"},
                {"phone": PHONE + 5, "fields": [{"id": 999_999_999, "value": "x"}]},
                {"phone": PHONE + 6, "fields": [{"id": number, "value": "many"}]},
                {"phone": PHONE + 7, "groups": "abc", "reference": {}},
                5,
                {"phone": PHONE + 8},
            ]
        },
    )
    assert answer.status_code == 200
    assert list(answer.json()) == ["data"]
    data = answer.json()["data"]
    assert list(data) == ["created", "updated", "unchanged", "invalid", "results"]
    assert (data["created"], data["updated"], data["unchanged"], data["invalid"]) == (2, 1, 1, 9)
    results = data["results"]
    assert {tuple(each) for each in results} == {("index", "result", "id", "phone", "reference", "reason")}
    assert [each["index"] for each in results] == list(range(13))
    told = ["unchanged", "updated", "created", *["invalid"] * 9, "created"]
    assert [each["result"] for each in results] == told
    assert [each["id"] for each in results[:2]] == [kept["id"], old["id"]]
    assert [each["id"] for each in results[3:12]] == [None] * 9
    assert [each["phone"] for each in results] == [
        PHONE + 1, PHONE + 2, PHONE + 3, PHONE + 3, None, None, None, PHONE + 4, PHONE + 5, PHONE + 6, None,
        None, PHONE + 8,
    ]  # fmt: skip
    assert [each["reference"] for each in results] == [
        None, "row 2", "3", "", "x" * 255, "true", "no phone", "list", None, None, None, None, None,
    ]  # fmt: skip
    reasons = [each["reason"] for each in results]
    assert [reasons[place] for place in (0, 1, 2, 12)] == [None] * 4
    expected = [
        "already", "9 to 15 digits", "whole number", "required", "list 999999999", "field 999999999",
        "must be a number", "groups", "must be a JSON object",
    ]  # fmt: skip
    for reason, part in zip(reasons[3:12], expected, strict=True):
        assert part in reason
        assert reason.endswith(".")
    phones = {row["phone"] for row in api.get("/api/contacts").json()["data"]}
    assert phones == {PHONE + number for number in (1, 2, 3, 8)}
    assert counts(api, row) == (2, 0)
    again = upserted(api, [{"phone": PHONE + 3, "fields": [{"id": text, "value": ""}]}, {"phone": PHONE + 8}])
    assert [each["result"] for each in again["results"]] == ["updated", "unchanged"]


def test_an_upsert_stops_whom_the_stop_list_has(api: httpx.Client) -> None:
    stopped(api, 1, 2)
    row = made_list(api, "abc")["id"]
    upserted(api, [{"phone": PHONE + number, "groups": [row]} for number in range(4)])
    assert counts(api, row) == (4, 2)


def test_10000_contacts_are_upserted_at_once_and_not_one_more(api: httpx.Client) -> None:
    row, field = made_list(api, "abc")["id"], made_field(api, "City")["id"]
    items: list[dict[str, Any]] = [
        {
            "phone": f"+{PHONE + number}",
            "groups": [{"id": row, "default": False}],
            "fields": [{"id": field, "value": f"city {number}"}],
            "reference": f"row {number} of a file with a long name",
        }
        for number in range(10_001)
    ]
    answer = api.post("/api/contacts/upsert", json={"contacts": items})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["contacts"]
    assert api.get("/api/contacts").json()["total"] == 0
    answer = api.post("/api/contacts/upsert", json={"contacts": items[:-1]})
    assert len(answer.request.content) > 1_048_576
    data = answer.json()["data"]
    assert (data["created"], len(data["results"])) == (10_000, 10_000)
    assert data["results"][9_999]["reference"] == items[9_999]["reference"]
    assert counts(api, row) == (10_000, 0)
    found = api.get(f"/api/contacts/search?search[field]={field}&search[value]=city 9999").json()
    assert [each["phone"] for each in found["data"]] == [PHONE + 9_999]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b'{"contacts":[{"phone":"12"},{"phone":380000000001,"groups":["x"],"x":"\xff"}]}', 400),
        (b'{"contacts":[{"phone":"12"},{"phone":380000000001,"groups":["x"],"x":1e999}]}', 400),
        (b'{"contacts":[{"phone":"12"},{"phone":380000000001,"groups":["x"],"x":"\\u00ff"}]}', 200),
        (b'{"contacts":[{"phone":"12"},{"phone":380000000001,"x":"\\ud800"}]}', 400),
        (b'{"contacts":[{"phone":"12"},{"phone":' + b"3" * 5_000 + b"}]}", 400),
        (b'{"contacts":[{"phone":"12"},{"phone":380000000001,"x":' + b"[" * 100_000 + b"}]}", 400),
    ],
)
def test_an_item_of_broken_json_is_refused_in_order(api: httpx.Client, content: bytes, status: int) -> None:
    answer = api.post("/api/contacts/upsert", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    if status == 400:
        assert answer.json()["message"].startswith("The JSON is malformed: ")
        where = " of contacts[1])" if b"333" in content else "deeply" if b"[[[" in content else "(byte "
        assert where in answer.json()["message"]
    else:
        assert [each["result"] for each in answer.json()["data"]["results"]] == ["invalid"] * 2
    assert api.get("/api/contacts").json()["total"] == 0
