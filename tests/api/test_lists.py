"""Contact lists on the wire, as wire.md sections 1, 3 and 6 have it."""

from __future__ import annotations

import json
import re
import socket
from typing import Any

import httpx
import pytest

from tests.conftest import Live

KEYS = ["id", "name", "description", "default", "created_at", "items", "stop_list_count"]


def made(api: httpx.Client, name: str, **more: Any) -> dict[str, Any]:
    answer = api.post("/api/groups", json={"name": name, **more})
    assert answer.status_code == 201, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def test_a_new_list_is_answered_exactly(api: httpx.Client) -> None:
    answer = api.post("/api/groups", json={"name": "Customers", "description": "who bought"})
    assert answer.status_code == 201
    assert answer.headers["Content-Type"] == "application/json"
    pairs = json.loads(answer.text, object_pairs_hook=list)
    assert [key for key, _ in pairs] == ["data"]
    assert [key for key, _ in pairs[0][1]] == KEYS
    data = answer.json()["data"]
    assert isinstance(data["id"], int)
    assert 0 < data["id"] < 2**53
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", data["created_at"])
    assert data == {
        "id": data["id"],
        "name": "Customers",
        "description": "who bought",
        "default": False,
        "created_at": data["created_at"],
        "items": 0,
        "stop_list_count": 0,
    }
    assert data["default"] is False
    assert api.get(f"/api/groups/{data['id']}").json() == {"data": data}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [(True, True), (False, False), (1, True), (0, False), ("true", True), ("false", False), (None, False)],
)
def test_default_is_read_in_every_documented_form(api: httpx.Client, sent: object, kept: bool) -> None:
    assert made(api, "Customers", default=sent)["default"] is kept


def test_there_is_at_most_one_default_list(api: httpx.Client) -> None:
    first = made(api, "first", default=True)
    second = made(api, "second", default=True)

    def defaults() -> list[str]:
        return [row["name"] for row in api.get("/api/groups").json()["data"] if row["default"]]

    assert defaults() == ["second"]
    api.put(f"/api/groups/{first['id']}", json={"default": True})
    assert defaults() == ["first"]
    api.put(f"/api/groups/{second['id']}", json={"name": "2nd"})
    assert defaults() == ["first"]
    api.put(f"/api/groups/{first['id']}", json={"name": "1st", "default": False})
    assert defaults() == []


def test_the_default_list_stays_when_another_cannot_become_it(api: httpx.Client) -> None:
    first = made(api, "first", default=True)
    second = made(api, "second")
    taken = api.put(f"/api/groups/{second['id']}", json={"name": "first", "default": True})
    unknown = api.put("/api/groups/99999999", json={"default": True})
    again = api.post("/api/groups", json={"name": "second", "default": True})
    assert [taken.status_code, unknown.status_code, again.status_code] == [422, 422, 422]
    assert api.get(f"/api/groups/{first['id']}").json()["data"]["default"] is True


def test_names_are_trimmed_normalized_and_compared_by_case(api: httpx.Client) -> None:
    assert made(api, "  Customers \n")["name"] == "Customers"
    assert made(api, "customers")["name"] == "customers"
    assert made(api, "Cafe\u0301")["name"] == "Caf\u00e9"
    assert made(api, "\u00c5ngstr\u00f6m \U0001f4de")["name"] == "\u00c5ngstr\u00f6m \U0001f4de"
    assert made(api, "x" * 50)["name"] == "x" * 50
    assert made(api, "abc")["name"] == "abc"


def test_an_empty_description_is_none(api: httpx.Client) -> None:
    assert made(api, "one", description="")["description"] is None
    assert made(api, "two", description=None)["description"] is None
    assert made(api, "three", description="x" * 255)["description"] == "x" * 255


def test_a_change_leaves_what_it_does_not_name(api: httpx.Client) -> None:
    before = made(api, "Customers", description="who bought", default=True)
    path = f"/api/groups/{before['id']}"
    assert api.put(path, json={}).json()["data"] == before
    assert api.put(path, json={"unknown": 1}).json()["data"] == before
    renamed = api.put(path, json={"name": "Buyers"})
    assert renamed.status_code == 200
    assert renamed.json()["data"] == before | {"name": "Buyers"}
    assert api.put(path, json={"name": "Buyers"}).json()["data"]["name"] == "Buyers"
    assert api.put(path, json={"description": ""}).json()["data"]["description"] is None
    assert api.put(path, json={"description": "d"}).json()["data"]["description"] == "d"
    assert api.put(path, json={"description": None}).json()["data"]["description"] is None
    assert api.get(path).json()["data"] == before | {"name": "Buyers", "description": None}


def test_a_deleted_list_is_gone_and_its_name_is_free(api: httpx.Client) -> None:
    before = made(api, "Customers")
    path = f"/api/groups/{before['id']}"
    gone = api.delete(path, headers={"Content-Type": "application/json"})
    assert (gone.status_code, gone.content) == (204, b"")
    assert api.get(path).json() == {"message": "Contact group is not found", "errors": []}
    assert api.delete(path).status_code == 422
    assert made(api, "Customers")["id"] != before["id"]


def test_the_index_is_newest_first_and_pages_add_up(api: httpx.Client) -> None:
    ids = [made(api, f"list {number}")["id"] for number in range(40)]
    newest = sorted(ids, reverse=True)
    whole = api.get("/api/groups").json()
    assert [row["id"] for row in whole["data"]] == newest
    assert (whole["total"], whole["next"]) == (40, None)
    assert list(whole["data"][0]) == KEYS
    pages = [
        api.get(f"/api/groups?page[offset]={offset}&page[limit]=15").json() for offset in (0, 15, 30, 45)
    ]
    assert [row["id"] for page in pages for row in page["data"]] == newest
    assert [page["total"] for page in pages] == [40] * 4
    seen: list[Any] = []
    after: int | None = 0
    while after is not None:
        page = api.get("/api/groups", params={"page[after]": after, "page[limit]": 15}).json()
        seen += [row["id"] for row in page["data"]]
        after = page["next"]
    assert seen == newest


def test_the_default_page_has_50_lists(api: httpx.Client) -> None:
    for number in range(52):
        made(api, f"list {number}")
    assert len(api.get("/api/groups").json()["data"]) == 50
    assert len(api.get("/api/groups/search").json()["data"]) == 50
    assert len(api.get("/api/groups?page%5Blimit%5D=500").json()["data"]) == 52


def test_a_search_answers_rows_and_meta_in_their_form(api: httpx.Client) -> None:
    row = made(api, "Customers", description="who bought", default=True)
    answer = api.get("/api/groups/search?search[field]=name&search[operator]=like&search[value]=CUST").json()
    assert list(answer) == ["data", "meta"]
    assert list(answer["data"][0]) == ["id", "name", "description", "is_default", "items", "created_at"]
    assert answer["data"] == [
        {
            "id": row["id"],
            "name": "Customers",
            "description": "who bought",
            "is_default": True,
            "items": 0,
            "created_at": row["created_at"],
        }
    ]
    assert answer["meta"] == {
        "page": {"total": 1, "limit": 50, "offset": 0, "next": None},
        "search": {"field": "name", "operator": "like", "value": "CUST"},
    }
    assert "search" not in api.get("/api/groups/search").json()["meta"]


def test_aliases_are_read_and_echoed_by_their_canonical_name(api: httpx.Client) -> None:
    made(api, "Customers")
    answer = api.get(
        "/api/groups/search?sort=date&way=ASC&search[field]=date&search[operation]=%3E=&search[value]=2020-01-01"
    )
    assert answer.json()["meta"]["search"] == {
        "field": "created_at",
        "operator": ">=",
        "value": "2020-01-01",
    }
    assert answer.json()["meta"]["page"]["total"] == 1


def test_all_criteria_must_hold(api: httpx.Client) -> None:
    for name in ("north shops", "south shops", "north offices"):
        made(api, name)
    answer = api.get(
        "/api/groups/search?search_fields[0][field]=name&search_fields[0][operator]=like"
        "&search_fields[0][value]=north&search_fields[7][field]=name&search_fields[7][operator]=like"
        "&search_fields[7][value]=shops&search[field]=items&search[value]=0"
    ).json()
    assert [row["name"] for row in answer["data"]] == ["north shops"]
    assert answer["meta"]["search"] == {"field": "items", "operator": "=", "value": "0"}


def test_a_search_is_sorted_and_paged_by_keyset(api: httpx.Client) -> None:
    names = [f"{letter}{letter}{number:02}" for number in range(12) for letter in "bca"]
    for number, name in enumerate(names):
        made(api, name, description=["", "x", "\u00e4"][number % 3])
    for sort in ("id", "name", "description", "items", "created_at"):
        for way in ("asc", "desc"):
            seen: list[Any] = []
            after: int | None = 0
            while after is not None:
                page = api.get(
                    "/api/groups/search",
                    params={"sort": sort, "way": way, "page[after]": after, "page[limit]": 15},
                ).json()
                seen += page["data"]
                after = page["meta"]["page"]["next"]
                assert page["meta"]["page"]["total"] == len(names)
            assert len({row["id"] for row in seen}) == len(names)
            keys = [(row[sort] or "", row["id"]) for row in seen]
            assert keys == sorted(keys, reverse=way == "desc")


def test_dates_go_out_as_rfc_3339_on_request(api: httpx.Client) -> None:
    row = made(api, "Customers")
    answer = api.get(f"/api/groups/{row['id']}", headers={"Prefer": 'fields=list, Dates="RFC3339"'})
    assert answer.json()["data"]["created_at"] == row["created_at"].replace(" ", "T") + "Z"
    assert answer.headers["Preference-Applied"] == "dates=rfc3339"
    for path in ("/api/groups", "/api/groups/search"):
        answer = api.get(path, headers={"Prefer": "dates=rfc3339"})
        assert answer.json()["data"][0]["created_at"].endswith("Z")
        assert "Prefer" in answer.headers["Vary"]


@pytest.mark.parametrize("path", ["/api/groups/", "/api/groups/search/", "/api/groups/{id}/"])
def test_a_trailing_slash_is_fine(api: httpx.Client, path: str) -> None:
    row = made(api, "Customers")
    assert api.get(path.replace("{id}", str(row["id"]))).status_code == 200


@pytest.mark.parametrize("media", ["application/json", "application/x-www-form-urlencoded", ""])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_any_content_type_is_fine_without_a_body(api: httpx.Client, method: str, media: str) -> None:
    row = made(api, "Customers")
    answer = api.request(method, f"/api/groups/{row['id']}", headers={"Content-Type": media, "Accept": ""})
    assert answer.status_code in (200, 204)


@pytest.mark.parametrize(
    "media", ["application/json; charset=utf-8", "application/vnd.api+json", "text/json"]
)
def test_json_is_taken_under_its_other_names(api: httpx.Client, media: str) -> None:
    assert api.post("/api/groups", content=b'{"name": "abc"}', headers={"Content-Type": media}).is_success


def test_a_body_without_a_content_type_is_taken_as_json(api: httpx.Client) -> None:
    assert api.post("/api/groups", content=b'{"name": "abc"}').status_code == 201


def test_a_body_in_chunks_is_read(api: httpx.Client) -> None:
    assert api.post("/api/groups", content=iter([b'{"name"', b': "abc"}'])).status_code == 201


def test_a_body_in_chunks_beyond_the_limit_is_refused(api: httpx.Client) -> None:
    answer = api.post("/api/groups", content=(b" " * 65_536 for _ in range(32)))
    assert answer.status_code == 413
    assert api.get("/api/groups").json()["total"] == 0


def test_the_callers_request_id_is_kept_when_it_is_sane(api: httpx.Client) -> None:
    given = api.get("/api/groups", headers={"X-Request-Id": "abc-123"})
    assert given.headers["X-Request-Id"] == "abc-123"
    for bad in ("a b", "x" * 300, '"'):
        answer = api.get("/api/groups", headers={"X-Request-Id": bad})
        assert re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", answer.headers["X-Request-Id"])


def test_head_answers_like_get_without_a_body(api: httpx.Client) -> None:
    head, get = api.head("/api/groups"), api.get("/api/groups")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


def test_the_answers_of_one_connection_come_in_order(live: Live, api: httpx.Client) -> None:
    """Requests sent without waiting for answers (HTTP pipelining) are answered one by one."""
    head = f"Host: x\r\nAuthorization: {api.headers['Authorization']}\r\n"
    requests = []
    for number in range(5):
        body = json.dumps({"name": f"list {number}"})
        requests.append(f"POST /api/groups HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}")
    requests.append(f"GET /api/groups HTTP/1.1\r\n{head}Connection: close\r\n\r\n")
    host, port = live.service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall("".join(requests).encode())
        answers = connection.makefile("rb").read().decode()
    assert re.findall(r"HTTP/1.1 (\d+)", answers) == ["201"] * 5 + ["200"]
    assert re.findall(r'"name":"(list \d)"', answers)[:5] == [f"list {number}" for number in range(5)]
    assert '"total":5' in answers
