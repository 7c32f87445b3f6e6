"""The upsert of contacts, which goes beyond wire.md."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.calls import (
    PHONE,
    counts,
    made_contact,
    made_field,
    made_list,
    stopped,
    upserted,
)


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
