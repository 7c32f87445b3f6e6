"""Contact fields on the wire, as wire.md section 4 has them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.calls import FIELD_KEYS, PHONE, made_contact, made_field, upserted


def test_a_new_field_is_answered_exactly(api: httpx.Client) -> None:
    answer = api.post("/api/contacts/fields", json={"name": "City", "type": "text", "description": "where"})
    assert answer.status_code == 201
    data = answer.json()["data"]
    assert list(answer.json()) == ["data"]
    assert list(data) == FIELD_KEYS
    assert 0 < data["id"] < 2**53
    assert data == {
        "id": data["id"],
        "name": "City",
        "type": "text",
        "description": "where",
        "is_visible": True,
    }
    assert api.get("/api/contacts/fields").json() == {"data": [data]}


def test_fields_come_oldest_first_all_at_once(api: httpx.Client) -> None:
    ids = [made_field(api, f"field {number}")["id"] for number in range(60)]
    assert [row["id"] for row in api.get("/api/contacts/fields").json()["data"]] == ids


def test_names_are_trimmed_normalized_and_compared_by_case(api: httpx.Client) -> None:
    assert made_field(api, "  City \n")["name"] == "City"
    assert made_field(api, "city")["name"] == "city"
    assert made_field(api, "Cafe\u0301")["name"] == "Caf\u00e9"
    assert made_field(api, "x" * 30)["name"] == "x" * 30
    assert made_field(api, "\U0001f4de")["name"] == "\U0001f4de"
    for taken in ("City ", "Caf\u00e9", "\U0001f4de"):
        answer = api.post("/api/contacts/fields", json={"name": taken, "type": "number"})
        assert answer.json() == {"message": "Contact field is already exists", "errors": []}


def test_an_empty_description_is_none(api: httpx.Client) -> None:
    assert made_field(api, "one", description="")["description"] is None
    assert made_field(api, "two", description=None)["description"] is None
    assert made_field(api, "three", description="x" * 255)["description"] == "x" * 255


def test_a_change_leaves_what_it_does_not_name(api: httpx.Client) -> None:
    field = made_field(api, "City", description="where", is_visible=False)
    path = f"/api/contacts/fields/{field['id']}"
    now: dict[str, Any] = dict(field)
    for change, shown in (
        ({}, {}),
        ({"type": "number"}, {}),
        ({"name": " Town "}, {"name": "Town"}),
        ({"name": "Town"}, {}),
        ({"description": "d"}, {"description": "d"}),
        ({"description": ""}, {"description": None}),
        ({"is_visible": True}, {"is_visible": True}),
        ({"is_visible": None, "name": "Town"}, {"name": "Town"}),
        ({"is_visiable": False}, {"is_visible": False}),
        ({"name": "City", "description": "where"}, {"name": "City", "description": "where"}),
    ):
        answer = api.patch(path, json=change)
        now |= shown
        assert (answer.status_code, answer.json()) == (200, {"data": now})
    assert api.get("/api/contacts/fields").json() == {"data": [field]}


def test_deleted_fields_take_their_values_along(api: httpx.Client) -> None:
    fields = [made_field(api, f"field {number}")["id"] for number in range(30)]
    kept = made_field(api, "kept")["id"]
    values = [{"id": id, "value": "x"} for id in [*fields, kept]]
    contact = made_contact(api, 1, fields=values)
    assert len(contact["fields"]) == 31
    gone = api.post("/api/contacts/fields/delete", json={"ids": [*fields[:-1], 999_999_999]})
    assert (gone.status_code, gone.content) == (204, b"")
    assert [row["id"] for row in api.get("/api/contacts/fields").json()["data"]] == [fields[-1], kept]
    shown = api.get(f"/api/contacts/{contact['id']}").json()["data"]
    assert shown["fields"] == {str(fields[-1]): "x", str(kept): "x"}
    search = api.get(f"/api/contacts/search?search[field]={fields[0]}&search[value]=x")
    assert search.status_code == 422
    unknown = api.put(f"/api/contacts/{contact['id']}", json={"fields": values[:1]})
    assert [error["field"] for error in unknown.json()["errors"]] == ["fields"]
    again = made_field(api, "field 0")
    assert again["id"] not in fields
    assert api.get(f"/api/contacts/{contact['id']}").json()["data"] == shown


CANONICAL: list[tuple[str, object, str]] = [
    ("text", "Kyiv", "Kyiv"),
    ("text", " Kyiv\n", " Kyiv\n"),
    ("text", "Cafe\u0301", "Caf\u00e9"),
    ("text", "x" * 255, "x" * 255),
    ("text", "\U0001f4de" * 255, "\U0001f4de" * 255),
    ("text", 5, "5"),
    ("text", 1.5, "1.5"),
    ("text", "%_\\'\";--", "%_\\'\";--"),
    ("number", 7, "7"),
    ("number", -0.5, "-0.5"),
    ("number", 1e21, "1000000000000000000000"),
    ("number", 1e-7, "0.0000001"),
    ("number", " 007.50 ", "7.5"),
    ("number", "-0", "0"),
    ("number", "-0.000", "0"),
    ("number", "+12", "12"),
    ("number", ".5", "0.5"),
    ("number", "9" * 30, "9" * 30),
    ("number", "0" * 100 + "1", "1"),
    ("number", 2**63, str(2**63)),
    ("date", "2022-04-28", "2022-04-28"),
    ("date", "2022-04-28 00:00:00", "2022-04-28"),
    ("date", "2022-04-28 14:21:16", "2022-04-28 14:21:16"),
    ("date", "2022-04-28T14:21", "2022-04-28 14:21:00"),
    ("date", "2022-04-28T14:21:16.999Z", "2022-04-28 14:21:16"),
    ("date", "2022-04-28T02:00:00+03:00", "2022-04-27 23:00:00"),
    ("date", "2022-04-28t03:00:00+03:00", "2022-04-28"),
    ("date", "0001-01-01", "0001-01-01"),
    ("date", "9999-12-31 23:59:59", "9999-12-31 23:59:59"),
    ("date", "2024-02-29", "2024-02-29"),
]

REFUSED: list[tuple[str, object]] = [
    ("text", "x" * 256),
    ("text", "nul\0"),
    ("number", "many"),
    ("number", "1,5"),
    ("number", "1e5"),
    ("number", "0x10"),
    ("number", "1 000"),
    ("number", "--1"),
    ("number", "."),
    ("number", "1."),
    ("number", "\u0661"),
    ("number", "Infinity"),
    ("number", "9" * 31),
    ("number", "0." + "0" * 30 + "1"),
    ("number", 1e300),
    ("number", "1\0"),
    ("date", "yesterday"),
    ("date", "2022-02-30"),
    ("date", "28.04.2022"),
    ("date", "2022-4-28"),
    ("date", "2022-04-28 25:00:00"),
    ("date", "10000-01-01"),
    ("date", "0000-01-01"),
    ("date", "0001-01-01T00:00:00+05:00"),
    ("date", "9999-12-31T23:59:59-05:00"),
    ("date", "2022-04-28 14:21:16 "[:-1] + "X"),
    ("date", 20220428),
]


def test_values_are_kept_in_their_canonical_form(api: httpx.Client) -> None:
    fields = {type: made_field(api, type, type)["id"] for type in ("text", "number", "date")}
    items = [
        {"phone": PHONE + number, "fields": [{"id": fields[type], "value": sent}]}
        for number, (type, sent, _) in enumerate(CANONICAL)
    ]
    results = upserted(api, items)["results"]
    assert [each["reason"] for each in results] == [None] * len(CANONICAL)
    for each, (type, sent, kept) in zip(results, CANONICAL, strict=True):
        row = api.get(f"/api/contacts/{each['id']}").json()["data"]
        assert row["fields"] == {str(fields[type]): kept}, sent
        by_value = api.get(
            "/api/contacts/search", params={"search[field]": fields[type], "search[value]": kept}
        ).json()
        assert each["id"] in [found["id"] for found in by_value["data"]], kept
    contact = api.get("/api/contacts/search?sort=id").json()["data"][0]
    for type, sent, kept in CANONICAL:
        body = {"fields": [{"id": fields[type], "value": sent}]}
        changed = api.put(f"/api/contacts/{contact['id']}", json=body).json()["data"]
        assert changed["fields"][str(fields[type])] == kept
    again = upserted(api, items[1:])
    assert again["unchanged"] == len(CANONICAL) - 1


def test_values_beyond_their_type_are_refused(api: httpx.Client) -> None:
    fields = {type: made_field(api, type, type)["id"] for type in ("text", "number", "date")}
    contact = made_contact(api, 1)
    for type, sent in REFUSED:
        values = [{"id": fields[type], "value": sent}]
        for method, path in (("POST", "/api/contacts"), ("PUT", f"/api/contacts/{contact['id']}")):
            answer = api.request(method, path, json={"phone": PHONE + 2, "fields": values})
            assert answer.status_code == 422, (sent, answer.text)
            told = answer.json()
            assert told["message"] == "The given data was invalid."
            assert [error["field"] for error in told["errors"]] == ["fields"], sent
            assert f"field {fields[type]} ({type})" in told["errors"][0]["message"]
    assert api.get("/api/contacts").json()["data"] == [contact]


def test_every_bad_value_is_named(api: httpx.Client) -> None:
    number, date = made_field(api, "Visits", "number")["id"], made_field(api, "Since", "date")["id"]
    values = [{"id": number, "value": "x"}, {"id": date, "value": "y"}, {"id": 999_999, "value": "z"}]
    answer = api.post("/api/contacts", json={"phone": PHONE, "fields": values, "groups": [888_888]})
    told = " ".join(error["message"] for error in answer.json()["errors"])
    for part in ("888888", "999999", "Visits", "Since"):
        assert part in told
    bad = api.post(
        "/api/contacts", json={"phone": PHONE, "fields": [{"id": 0, "value": "x"}], "groups": ["x"]}
    )
    assert {error["field"] for error in bad.json()["errors"]} == {"groups[0]", "fields[0]"}


@pytest.mark.parametrize("value", [True, [], {}, ["x"]])
def test_a_value_of_a_type_that_no_field_has_is_refused(api: httpx.Client, value: object) -> None:
    field = made_field(api, "City")["id"]
    answer = api.post("/api/contacts", json={"phone": PHONE, "fields": [{"id": field, "value": value}]})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["fields[0]"]
