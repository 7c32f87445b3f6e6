"""The calls of the API that tests of the wire make again and again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

PHONE = 380_000_000_000
"""Fictional: nothing below +380 00 is assigned. Add a number to it."""

SECRET = "secret name"
"""What all that `made_book` makes is called."""

LIST_KEYS = ["id", "name", "description", "default", "created_at", "items", "stop_list_count"]
CONTACT_KEYS = ["id", "phone", "fields", "groups", "hlr_status", "hlr_last_check", "created_at"]
FIELD_KEYS = ["id", "name", "type", "description", "is_visible"]
STOP_KEYS = [
    "id",
    "phone",
    "created_at",
    "sms_stoplist",
    "viber_stoplist",
    "rcs_stoplist",
    "whatsapp_stoplist",
]

BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/api/groups"): {"name": "intruder", "default": True},
    ("PUT", "/api/groups/{id}"): {"name": "intruder", "description": "was here", "default": True},
    ("POST", "/api/groups/attach"): {"contacts": ["{contact}"], "groups": ["{list}"]},
    ("POST", "/api/groups/detach"): {"contacts": ["{contact}"], "groups": ["{list}"]},
    ("POST", "/api/groups/{id}/contacts"): {"phones": [PHONE + 1, PHONE + 2]},
    ("POST", "/api/contacts"): {
        "phone": PHONE + 1,
        "groups": [{"id": "{list}"}],
        "fields": [{"id": "{field}", "value": "was here"}],
    },
    ("PUT", "/api/contacts/{id}"): {
        "phone": PHONE + 9,
        "groups": ["{list}"],
        "fields": [{"id": "{field}", "value": "was here"}],
    },
    ("POST", "/api/contacts/upsert"): {
        "contacts": [
            {"phone": PHONE + 1, "groups": ["{list}"]},
            {"phone": PHONE + 2, "fields": [{"id": "{field}", "value": "was here"}]},
            {"phone": PHONE + 3},
        ]
    },
    ("POST", "/api/contacts/delete"): {"contact_ids": ["{contact}"], "group_ids": ["{list}"]},
    ("POST", "/api/contacts/fields"): {"name": "intruder", "type": "text"},
    ("PATCH", "/api/contacts/fields/{id}"): {"name": "intruder", "description": "x", "is_visible": False},
    ("POST", "/api/contacts/fields/delete"): {"ids": ["{field}"]},
    ("POST", "/api/numbers/check"): {"numbers": [PHONE + 1, "(050) 765-43-21"], "region": "UA"},
    ("POST", "/api/stoplist/attach"): {"phones": [PHONE + 1, PHONE + 3], "types": ["sms", "whatsapp"]},
    ("POST", "/api/stops"): {
        "stops": [
            {"phone": PHONE + 1, "channels": ["sms", "whatsapp"]},
            {"phone": PHONE + 3, "channels": ["rcs"], "reference": "was here"},
        ]
    },
    ("POST", "/api/stops/release"): {
        "stops": [{"phone": PHONE + 1}, {"phone": PHONE + 2, "channels": ["viber"]}]
    },
    ("POST", "/api/audience"): {"lists": ["{list}"], "reachable": ["viber"]},
    ("POST", "/api/audience/export"): {"lists": ["{list}"]},
    ("POST", "/api/stoplist/detach"): {"ids": ["{stop}"], "types": ["sms", "viber", "rcs", "whatsapp"]},
}
"""A valid body for every route that takes one, with ids in braces."""


def filled(text: str, ids: Mapping[str, object]) -> str:
    """A text with ids in place of `"{list}"` or `{list}`."""
    for name, value in ids.items():
        text = text.replace(f'"{{{name}}}"', str(value)).replace(f"{{{name}}}", str(value))
    return text


def noun_of(path: str) -> str:
    """Of what the `{id}` in a path of the route table is."""
    nouns = {"groups": "list", "fields": "field", "imports": "import"}
    return next((noun for word, noun in nouns.items() if word in path), "contact")


def made(api: httpx.Client, path: str, body: Mapping[str, Any], status: int = 201) -> Any:
    """The `data` that a call answers."""
    answer = api.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()["data"]


def made_list(api: httpx.Client, name: str, **more: Any) -> Any:
    """A new list."""
    return made(api, "/api/groups", {"name": name, **more})


def made_contact(api: httpx.Client, number: int, **more: Any) -> Any:
    """A new contact; its phone is the fictional one of that number."""
    return made(api, "/api/contacts", {"phone": PHONE + number, **more})


def made_field(api: httpx.Client, name: str, type: str = "text", **more: Any) -> Any:
    """A new contact field."""
    return made(api, "/api/contacts/fields", {"name": name, "type": type, **more})


def stopped(api: httpx.Client, *numbers: int, types: tuple[str, ...] = ("sms",)) -> Any:
    """Rows of the stop list for the fictional phones of those numbers."""
    body = {"phones": [PHONE + number for number in numbers], "types": types}
    return made(api, "/api/stoplist/attach", body, 200)


def upserted(api: httpx.Client, contacts: list[dict[str, Any]]) -> Any:
    """What became of contacts."""
    return made(api, "/api/contacts/upsert", {"contacts": contacts}, 200)


def imported(api: httpx.Client, text: str, **options: Any) -> Any:
    """An import of a CSV, which has just been asked for."""
    answer = api.post("/api/imports", params={"phone_check": "possible", **options}, content=text.encode())
    assert answer.status_code == 202, answer.text
    return answer.json()["data"]


def ended(api: httpx.Client, import_id: int) -> Any:
    """An import when nothing more will happen to it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = api.get(f"/api/imports/{import_id}").json()["data"]
        if found["state"] in ("done", "failed", "cancelled", "undone"):
            return found
        time.sleep(0.05)
    raise AssertionError(f"the import did not end: {found}")


def counts(api: httpx.Client, list_id: int) -> tuple[int, int]:
    """`items` and `stop_list_count` of a list."""
    row = api.get(f"/api/groups/{list_id}").json()["data"]
    return row["items"], row["stop_list_count"]


def paged(
    api: httpx.Client, path: str, *, after: bool, limit: int = 15, params: Mapping[str, Any] | None = None
) -> Iterator[Any]:
    """Every page of an index or a search, by `page[after]` or by `page[offset]`."""
    offset, place = 0, 0
    while True:
        page: dict[str, Any] = {"page[limit]": limit}
        page |= {"page[after]": place} if after else {"page[offset]": offset}
        answer = api.get(path, params={**(params or {}), **page})
        assert answer.status_code == 200, answer.text
        found = answer.json()
        yield found
        following = found["next"] if "next" in found else found["meta"]["page"]["next"]
        if following is None:
            return
        offset, place = offset + limit, following


def made_book(api: httpx.Client) -> dict[str, object]:
    """Fill an account with some of everything, of which each has the name `SECRET`.

    Returns:
        Ids, by the names that the cases of tests and `BODIES` have in braces.
    """
    ids: dict[str, object] = {
        "list": made_list(api, SECRET, description=SECRET, default=True)["id"],
        "other": made_list(api, f"{SECRET} 2")["id"],
        "field": made_field(api, SECRET, description=SECRET)["id"],
    }
    values = [{"id": ids["field"], "value": SECRET}]
    ids["contact"] = made_contact(api, 1, groups=[ids["list"]], fields=values)["id"]
    made_contact(api, 2, groups=[ids["list"], ids["other"]])
    ids["stop"] = stopped(api, 1, types=("sms", "rcs"))[0]["id"]
    stopped(api, 2, types=("viber",))
    ids["import"] = imported(api, f"phone,name\n{PHONE + 4},x\n{SECRET},{SECRET}\n", filename=SECRET)["id"]
    ended(api, int(str(ids["import"])))
    return ids


def everything(api: httpx.Client) -> list[bytes]:
    """All that an account has: of the contacts the newest, and how many there are."""
    paths = ("groups", "contacts?page[limit]=15", "contacts/fields", "stoplist", "imports")
    answers = [api.get(f"/api/{path}") for path in paths]
    assert [answer.status_code for answer in answers] == [200] * len(paths)
    return [answer.content for answer in answers]
