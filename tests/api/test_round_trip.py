"""What the service gives it takes back, in every form."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.calls import PHONE, made, made_contact, made_field, made_list

FORMS = ["object", "list"]


@pytest.fixture
def contact(api: httpx.Client) -> Any:
    """A contact with three fields and two lists."""
    lists = [made_list(api, name)["id"] for name in ("one", "two words")]
    values = {"text": "Kyiv", "number": "1.50", "date": "2024-02-29"}
    pairs = [{"id": made_field(api, name, name)["id"], "value": value} for name, value in values.items()]
    return made_contact(api, 1, groups=lists, fields=pairs)


@pytest.mark.parametrize("form", FORMS)
def test_a_contact_that_get_gave_is_accepted_by_put_and_post(
    api: httpx.Client, contact: Any, form: str
) -> None:
    path, prefer = f"/api/contacts/{contact['id']}", {"Prefer": f"fields={form}"}
    given = api.get(path, headers=prefer).json()["data"]
    assert isinstance(given["fields"], dict if form == "object" else list)
    answer = api.put(path, json=given, headers=prefer)
    assert (answer.status_code, answer.json()) == (200, {"data": given})
    assert api.delete(path).status_code == 204
    answer = api.post("/api/contacts", json=given, headers=prefer)
    assert answer.status_code == 201, answer.text
    again = answer.json()["data"]
    own = {"id": again["id"], "created_at": again["created_at"], "groups": again["groups"]}
    assert again == given | own
    assert [row["id"] for row in again["groups"]] == [row["id"] for row in given["groups"]]


@pytest.mark.parametrize("form", FORMS)
def test_a_contact_without_fields_and_lists_is_accepted(api: httpx.Client, form: str) -> None:
    row = made_contact(api, 2)
    path, prefer = f"/api/contacts/{row['id']}", {"Prefer": f"fields={form}"}
    given = api.get(path, headers=prefer).json()["data"]
    assert (given["fields"], given["groups"]) == ([], [])
    assert api.put(path, json=given, headers=prefer).json() == {"data": given}
    assert api.delete(path).status_code == 204
    assert made(api, "/api/contacts", given)["phone"] == PHONE + 2


def test_every_form_of_fields_sets_and_clears(api: httpx.Client, contact: Any) -> None:
    path = f"/api/contacts/{contact['id']}"
    text, number, _ = contact["fields"]
    for fields, expected in (
        ({text: "Lviv", number: 7}, {text: "Lviv", number: "7"}),
        ([{text: "Odesa"}, {number: "8"}], {text: "Odesa", number: "8"}),
        ([{"id": text, "value": "Dnipro"}, {number: 9}], {text: "Dnipro", number: "9"}),
        ([{text: "Poltava", number: 10}], {text: "Poltava", number: "10"}),
        ({text: None}, {number: "10"}),
        ([{number: ""}], {}),
        ({}, {}),
        ([], {}),
    ):
        answer = api.put(path, json={"fields": fields})
        assert answer.status_code == 200, answer.text
        shown = answer.json()["data"]["fields"]
        assert {id: shown.get(id) for id in (text, number) if id in shown} == expected, fields
    items = [{"phone": PHONE + 1, "fields": {text: "Kyiv"}}, {"phone": PHONE + 5, "fields": [{text: "Kyiv"}]}]
    data = made(api, "/api/contacts/upsert", {"contacts": items}, 200)
    assert [row["result"] for row in data["results"]] == ["updated", "created"]


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"City": "x"}, "fields[City]"),
        ({"1": {"value": "x"}}, "fields[1]"),
        ({"1": True}, "fields[1]"),
        ([{"1": ["x"]}], "fields[0]"),
        ([{"id": 1, "value": "x"}, {}], "fields[1]"),
        ([{"id": None}], "fields[0]"),
        ([["1", "x"]], "fields[0]"),
        ("x", "fields"),
    ],
    ids=str,
)
def test_fields_in_no_form_are_refused(api: httpx.Client, fields: Any, where: str) -> None:
    for more in ({}, {"groups": 5}):
        answer = api.post("/api/contacts", json={"phone": PHONE + 3, "fields": fields, **more})
        assert answer.status_code == 422
        named = [error["field"] for error in answer.json()["errors"]]
        assert named == ([where] if not more else ["groups", where if where == "fields" else named[1]])
    assert api.get("/api/contacts").json()["total"] == 0


def test_a_list_and_a_field_that_get_gave_are_accepted(api: httpx.Client) -> None:
    row = made_list(api, "abc", description="about", default=True)
    assert api.put(f"/api/groups/{row['id']}", json=row).json() == {"data": row}
    field = made_field(api, "City", is_visible=False)
    assert api.patch(f"/api/contacts/fields/{field['id']}", json=field).json() == {"data": field}


@pytest.mark.parametrize("value", [True, 1, "1", "true", False, 0, "0", "false"], ids=repr)
def test_a_boolean_in_every_spelling(api: httpx.Client, value: Any) -> None:
    meant = value in (True, "1", "true")
    assert made_list(api, "abc", default=value)["default"] is meant
    row = made_list(api, "other")
    answer = api.put(f"/api/groups/{row['id']}", json={"default": value})
    assert answer.json()["data"]["default"] is meant
    field = made_field(api, "City", is_visible=value)
    assert field["is_visible"] is meant
    for name in ("is_visible", "is_visiable"):
        answer = api.patch(f"/api/contacts/fields/{field['id']}", json={name: value})
        assert answer.json()["data"]["is_visible"] is meant


@pytest.mark.parametrize("value", ["2", 2, "yes", "", 1.0, []], ids=repr)
def test_what_is_no_boolean_is_refused(api: httpx.Client, value: Any) -> None:
    answer = api.post("/api/groups", json={"name": "abc", "default": value})
    told = [{"field": "default", "message": "The default must be true or false."}]
    assert (answer.status_code, answer.json()["errors"]) == (422, told)


@pytest.mark.parametrize("junk", [None, 1.5, True, [], {}, "x" * 300, 10**40], ids=lambda junk: str(junk)[:9])
def test_an_item_of_any_kind_is_one_invalid_item(api: httpx.Client, junk: Any) -> None:
    row = made_list(api, "abc")["id"]
    for path, body in (
        (f"/api/groups/{row}/contacts", {"phones": [PHONE + 1, junk, PHONE + 2]}),
        ("/api/contacts/upsert", {"contacts": [{"phone": PHONE + 3}, junk, {"phone": PHONE + 4}]}),
        ("/api/contacts/upsert", {"contacts": [{"phone": PHONE + 5}, {"phone": junk}, {"phone": PHONE + 6}]}),
    ):
        data = made(api, path, body, 200)
        assert [each["result"] for each in data["results"]] == ["created", "invalid", "created"], path
        assert data["results"][1]["reason"].endswith("."), path


def test_the_root_says_where_everything_is(api: httpx.Client) -> None:
    answer = httpx.get(api.base_url.copy_with(path="/"))
    assert answer.status_code == 200
    for link in ("documentation", "openapi", "health", "readiness", "metrics"):
        assert httpx.get(api.base_url.join(answer.json()[link])).status_code == 200
    assert httpx.head(api.base_url.copy_with(path="/")).status_code == 200
