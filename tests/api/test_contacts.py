"""Contacts on the wire, as wire.md section 4 has them."""

from __future__ import annotations

import re
from typing import Any

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
