"""Who is in which list, on the wire, as wire.md section 3 has it, and the two calls beyond it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.calls import LIST_KEYS, PHONE, counts, made_contact, made_list, stopped, upserted


def members(api: httpx.Client, list_id: int) -> list[int]:
    """Ids of a list's contacts, newest first."""
    found = api.get(f"/api/contacts?groups[]={list_id}&page[limit]=500").json()
    assert found["total"] == len(found["data"])
    return [row["id"] for row in found["data"]]


def call(api: httpx.Client, verb: str, contacts: list[Any], groups: list[Any]) -> httpx.Response:
    return api.post(f"/api/groups/{verb}", json={"contacts": contacts, "groups": groups})


def done(api: httpx.Client, verb: str, contacts: list[Any], groups: list[Any]) -> None:
    answer = call(api, verb, contacts, groups)
    assert (answer.status_code, answer.content) == (200, b"{}"), answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Content-Length"] == "2"


def new_contacts(api: httpx.Client, count: int) -> list[int]:
    results = upserted(api, [{"phone": PHONE + number} for number in range(count)])["results"]
    return [each["id"] for each in results]


def test_every_contact_goes_into_and_out_of_every_list(api: httpx.Client) -> None:
    one, two, three = (made_list(api, name)["id"] for name in ("one", "two", "three"))
    ids = new_contacts(api, 5)
    stopped(api, 0, 1)
    done(api, "attach", ids[:3], [one, two])
    assert members(api, one) == members(api, two) == ids[2::-1]
    assert (counts(api, one), counts(api, two), counts(api, three)) == ((3, 2), (3, 2), (0, 0))
    done(api, "attach", [*ids[1:4], ids[1], str(ids[1])], [two, three, two])
    assert (counts(api, two), counts(api, three)) == ((4, 2), (3, 1))
    done(api, "attach", ids[1:4], [two, three])
    assert (counts(api, two), counts(api, three)) == ((4, 2), (3, 1))
    done(api, "detach", [ids[1], ids[4]], [one, two])
    assert (members(api, one), members(api, two)) == ([ids[2], ids[0]], [ids[3], ids[2], ids[0]])
    assert (counts(api, one), counts(api, two), counts(api, three)) == ((2, 1), (3, 1), (3, 1))
    done(api, "detach", [ids[4], ids[1]], [one, two, one])
    assert (counts(api, one), counts(api, two), counts(api, three)) == ((2, 1), (3, 1), (3, 1))
    shown = api.get(f"/api/contacts/{ids[2]}").json()["data"]["groups"]
    assert [list(each) for each in shown] == [LIST_KEYS] * 3
    assert [(each["id"], each["items"]) for each in shown] == [(three, 3), (two, 3), (one, 2)]
    assert api.get("/api/contacts").json()["total"] == 5


def test_200_contacts_go_into_100_lists_at_once(api: httpx.Client) -> None:
    ids = new_contacts(api, 200)
    stopped(api, *range(7))
    lists = [made_list(api, f"list {number}")["id"] for number in range(100)]
    done(api, "attach", ids, lists)
    rows = api.get("/api/groups?page[limit]=500").json()["data"]
    assert {(row["items"], row["stop_list_count"]) for row in rows} == {(200, 7)}
    done(api, "detach", ids[:199], lists[:99])
    rows = api.get("/api/groups?page[limit]=500").json()["data"]
    assert {row["id"]: (row["items"], row["stop_list_count"]) for row in rows} == {
        id: (1, 0) if id in lists[:99] else (200, 7) for id in lists
    }


@pytest.mark.parametrize("verb", ["attach", "detach"])
def test_unknown_ids_fail_the_whole_call_and_are_named(api: httpx.Client, verb: str) -> None:
    one, two = made_list(api, "one")["id"], made_list(api, "two")["id"]
    ids = new_contacts(api, 4)
    done(api, "attach", ids[:2], [one])
    api.delete(f"/api/groups/{two}")
    api.delete(f"/api/contacts/{ids[3]}")
    for contacts, groups, named in (
        ([ids[0], ids[3], 999_999, ids[1]], [one], {"contacts": (ids[3], 999_999)}),
        (ids[:2], [one, two, 888_888], {"groups": (two, 888_888)}),
        ([999_999], [888_888, one], {"contacts": (999_999,), "groups": (888_888,)}),
    ):
        answer = call(api, verb, contacts, groups)
        assert answer.status_code == 422
        told = answer.json()
        assert told["message"] == "The given data was invalid."
        assert [error["field"] for error in told["errors"]] == list(named)
        for error in told["errors"]:
            for id in named[error["field"]]:
                assert str(id) in error["message"]
            assert str(one) not in error["message"].split()
        assert members(api, one) == [ids[1], ids[0]]


def test_a_contact_is_in_100_lists_at_most(api: httpx.Client) -> None:
    lists = [made_list(api, f"list {number}")["id"] for number in range(101)]
    full = made_contact(api, 1, groups=lists[:100])
    part = made_contact(api, 2, groups=lists[:50])
    assert len(full["groups"]) == 100
    full = api.get(f"/api/contacts/{full['id']}").json()["data"]
    done(api, "attach", [full["id"]], lists[:100])
    assert api.put(f"/api/contacts/{full['id']}", json={"groups": lists[:100]}).status_code == 200
    again = upserted(api, [{"phone": full["phone"], "groups": lists[50:100]}])
    assert again["unchanged"] == 1
    for answer in (
        call(api, "attach", [part["id"], full["id"]], [lists[100]]),
        api.put(f"/api/contacts/{full['id']}", json={"groups": [lists[100]], "phone": PHONE + 3}),
        api.put(f"/api/contacts/{part['id']}", json={"groups": lists}),
        api.post("/api/contacts", json={"phone": PHONE + 3, "groups": lists}),
    ):
        assert answer.status_code == 422, answer.text
        assert "100" in answer.text
    items = [
        {"phone": full["phone"], "groups": [lists[0], lists[100]]},
        {"phone": part["phone"], "groups": lists[1:101]},
        {"phone": PHONE + 3, "groups": lists},
    ]
    results = upserted(api, items)["results"]
    assert [each["result"] for each in results] == ["invalid"] * 3
    assert all("100" in each["reason"] for each in results)
    assert api.get(f"/api/contacts/{full['id']}").json()["data"] == full
    assert api.get(f"/api/contacts/{part['id']}").json()["data"] == part
    assert (counts(api, lists[100]), counts(api, lists[0])) == ((0, 0), (2, 0))
    assert api.get("/api/contacts").json()["total"] == 2
    done(api, "detach", [full["id"]], [lists[0]])
    done(api, "attach", [full["id"]], [lists[100]])
    api.delete(f"/api/groups/{lists[1]}")
    done(api, "attach", [full["id"], part["id"]], [lists[0]])


def test_lists_are_found_by_a_phone_and_by_items(api: httpx.Client) -> None:
    lists = [made_list(api, f"list {number}")["id"] for number in range(4)]
    upserted(
        api,
        [{"phone": PHONE + number, "groups": lists[: number % 4]} for number in range(8)],
    )
    items = {id: counts(api, id)[0] for id in lists}
    assert list(items.values()) == [6, 4, 2, 0]

    def found(field: str, operator: str, value: object, sort: str = "id") -> list[int]:
        params: dict[str, Any] = {
            "search[field]": field,
            "search[operator]": operator,
            "search[value]": value,
        }
        answer = api.get("/api/groups/search", params=params | {"sort": sort})
        return [row["id"] for row in answer.json()["data"]]

    for number in range(8):
        assert found("phone", "=", f"+{PHONE + number}") == lists[: number % 4]
    assert found("phone", "like", "0000003") == lists[:3]
    assert found("phone", "like", "38000") == lists[:3]
    assert found("phone", "=", PHONE + 77) == []
    assert found("items", ">=", 2) == lists[:3]
    assert found("items", "<", 2, "items") == lists[3:]
    assert found("items", "<=", 6, "items") == lists[::-1]
    by_items = api.get("/api/groups/search?sort=items&way=desc").json()["data"]
    assert [(row["id"], row["items"]) for row in by_items] == list(items.items())


def test_phones_are_put_into_a_list_and_become_contacts(api: httpx.Client) -> None:
    stopped(api, 3)
    row, other = made_list(api, "abc")["id"], made_list(api, "other")["id"]
    there = made_contact(api, 1, groups=[row])
    elsewhere = made_contact(api, 2, groups=[other])
    phones = [PHONE + 1, f"+{PHONE + 2}", "(380) 00 000-00-03", PHONE + 3, "12", PHONE + 4]
    answer = api.post(f"/api/groups/{row}/contacts", json={"phones": phones})
    assert answer.status_code == 200
    data = answer.json()["data"]
    assert list(data) == ["created", "updated", "unchanged", "invalid", "results"]
    assert [data[name] for name in ("created", "updated", "unchanged", "invalid")] == [2, 1, 1, 2]
    told = [(each["index"], each["result"], each["phone"]) for each in data["results"]]
    assert told == [
        (0, "unchanged", PHONE + 1),
        (1, "updated", PHONE + 2),
        (2, "created", PHONE + 3),
        (3, "invalid", PHONE + 3),
        (4, "invalid", None),
        (5, "created", PHONE + 4),
    ]
    assert [each["id"] for each in data["results"][:2]] == [there["id"], elsewhere["id"]]
    assert {each["reference"] for each in data["results"]} == {None}
    assert [each["reason"] is None for each in data["results"]] == [True] * 3 + [False] * 2 + [True]
    assert (counts(api, row), counts(api, other)) == ((4, 1), (1, 0))


def test_10000_phones_are_put_into_a_list_at_once(api: httpx.Client) -> None:
    row = made_list(api, "abc")["id"]
    phones = [f"+{PHONE + number}" for number in range(10_001)]
    refused = api.post(f"/api/groups/{row}/contacts", json={"phones": phones})
    assert [error["field"] for error in refused.json()["errors"]] == ["phones"]
    data = api.post(f"/api/groups/{row}/contacts", json={"phones": phones[:-1]}).json()["data"]
    assert (data["created"], len(data["results"])) == (10_000, 10_000)
    assert counts(api, row) == (10_000, 0)


def test_the_stats_of_a_list_are_exact_on_each_channel(api: httpx.Client) -> None:
    row = made_list(api, "abc")["id"]
    nothing = {name: {"stopped": 0, "reachable": 0} for name in ("sms", "viber", "rcs", "whatsapp")}
    empty = {"id": row, "items": 0, "stop_list_count": 0, "channels": nothing}
    answer = api.get(f"/api/groups/{row}/stats")
    assert (answer.status_code, answer.json()) == (200, {"data": empty})
    upserted(api, [{"phone": PHONE + number, "groups": [row]} for number in range(10)])
    stopped(api, 1, 2, 77, types=("sms",))
    stopped(api, 2, 3, types=("viber", "whatsapp"))
    [last] = stopped(api, 9, types=("rcs",))

    def stats() -> Any:
        data = api.get(f"/api/groups/{row}/stats").json()["data"]
        assert list(data) == ["id", "items", "stop_list_count", "channels"]
        assert list(data["channels"]) == ["sms", "viber", "rcs", "whatsapp"]
        assert (data["items"], data["stop_list_count"]) == counts(api, row)
        for each in data["channels"].values():
            assert each["stopped"] + each["reachable"] == data["items"]
        return data["items"], data["stop_list_count"], [each["stopped"] for each in data["channels"].values()]

    assert stats() == (10, 3, [2, 2, 1, 2])
    api.post("/api/stoplist/detach", json={"ids": [last["id"]], "types": ["rcs"]})
    assert stats() == (10, 3, [2, 2, 0, 2])
    found = api.get(f"/api/contacts/search?search[field]=phone&search[value]={PHONE + 2}").json()["data"]
    api.put(f"/api/contacts/{found[0]['id']}", json={"phone": PHONE + 50})
    assert stats() == (10, 2, [1, 1, 0, 1])
    api.put(f"/api/contacts/{found[0]['id']}", json={"phone": PHONE + 77})
    assert stats() == (10, 3, [2, 1, 0, 1])
    api.delete(f"/api/contacts/{found[0]['id']}")
    assert stats() == (9, 2, [1, 1, 0, 1])
    api.post(f"/api/contacts/delete?group_ids[]={row}")
    assert stats() == (0, 0, [0, 0, 0, 0])


def test_an_upsert_that_names_too_many_lists_changes_nothing(api: httpx.Client) -> None:
    lists = [made_list(api, f"list {number}")["id"] for number in range(11)]
    contacts = [{"phone": PHONE + number, "groups": lists} for number in range(10_000)]
    answer = api.post("/api/contacts/upsert", json={"contacts": contacts})
    assert (answer.status_code, answer.json()) == (
        422,
        {"message": "The contacts of one call may name at most 100000 lists together.", "errors": []},
    )
    assert api.get("/api/contacts").json()["total"] == 0
