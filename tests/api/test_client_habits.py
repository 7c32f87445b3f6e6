"""What the vendor's PHP, JavaScript and Go clients send, byte by byte (wire.md section 7): none is refused."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from rollbook.api.app import ROUTES
from tests.calls import PHONE, made, made_contact, made_field, made_list, stopped
from tests.conftest import Live
from tests.servers import Service

PHP = "OpenAPI-Generator/1.0.0/PHP"
GO = "OpenAPI-Generator/1.0.0/go"
BROWSER = "Mozilla/5.0"
FORM = "application/x-www-form-urlencoded"


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Raw:
    """Requests whose target goes out as it is given, with no header that is not given."""

    def __init__(self, url: str, authorization: str) -> None:
        self._host = url.removeprefix("http://")
        self._authorization = authorization

    def __call__(self, method: str, target: str, body: object = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection(self._host)
        connection.putrequest(method, target, skip_accept_encoding=True)
        data = json.dumps(body).encode() if body is not None else b""
        if body is not None:
            headers = {"Content_Type": "application/json", **headers}
        if data or method == "POST":
            headers["Content_Length"] = str(len(data))
        for name, value in {"Authorization": self._authorization, **headers}.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders(data)
        answer = connection.getresponse()
        found = Answer(answer.status, answer.headers, answer.read())
        connection.close()
        return found


@pytest.fixture
def raw(live: Live, api: httpx.Client) -> Raw:
    return Raw(live.service.url, api.headers["Authorization"])


@pytest.mark.parametrize(("left", "right"), [("[", "]"), ("%5B", "%5D"), ("%5b", "%5D")])
@pytest.mark.parametrize("space", ["%20", "+"])
def test_brackets_and_spaces_arrive_raw_or_encoded(
    api: httpx.Client, raw: Raw, left: str, right: str, space: str
) -> None:
    first, second = made_list(api, "one two"), made_list(api, "three")
    contact = made_contact(api, 1, groups=[first["id"]])
    made_contact(api, 2)

    def target(path: str, **params: str) -> str:
        query = "&".join(
            f"{name.replace('(', left).replace(')', right)}={value}" for name, value in params.items()
        )
        return f"{path}?{query}"

    groups = {f"groups({number})": str(row["id"]) for number, row in enumerate((first, second))}
    unnumbered = f"/api/contacts?groups{left}{right}={second['id']}&groups{left}{right}={first['id']}"
    for address in (target("/api/contacts", **groups), unnumbered):
        answer = raw("GET", address)
        assert [row["id"] for row in answer.json["data"]] == [contact["id"]]
        assert answer.json["total"] == 1
    search = {"search(field)": "name", "search(operator)": "=", "search(value)": f"one{space}two"}
    answer = raw("GET", target("/api/groups/search", **search, **{"page(limit)": "15"}))
    assert [row["id"] for row in answer.json["data"]] == [first["id"]]
    assert answer.json["meta"]["search"]["value"] == "one two"
    fields = {
        "search_fields(0)(field)": "phone",
        "search_fields(0)(operator)": "%3D",
        "search_fields(0)(value)": f"%2B380{space}00{space}000{space}00{space}01",
        "search_fields(12)(field)": "group_id",
        "search_fields(12)(value)": str(first["id"]),
    }
    answer = raw("GET", target("/api/contacts/search", **fields))
    assert [row["id"] for row in answer.json["data"]] == [contact["id"]]


PAGED = [
    "/api/groups",
    "/api/groups/search",
    "/api/contacts",
    "/api/contacts/search",
    "/api/stoplist",
    "/api/stoplist/search",
    "/api/stoplists/search",
]


@pytest.mark.parametrize("path", [*PAGED, "/api/contacts/fields"])
def test_php_sends_a_content_type_with_a_get_and_pages_always(api: httpx.Client, raw: Raw, path: str) -> None:
    stopped(api, 1)
    made_list(api, "abc", groups=[])
    made_contact(api, 1)
    made_field(api, "City")
    query = "?page%5Boffset%5D=0&page%5Blimit%5D=20" if path in PAGED else ""
    for slash in ("", "/"):
        answer = raw("GET", path + slash + query, Content_Type="application/json", User_Agent=PHP)
        assert answer.status == 200, answer.body
        assert len(answer.json["data"]) == 1


def test_an_unused_search_of_a_form_is_no_search(api: httpx.Client, raw: Raw) -> None:
    made_contact(api, 1)
    for path in ("/api/contacts/search", "/api/groups/search", "/api/stoplist/search"):
        answer = raw("GET", f"{path}?sort=&way=&search[field]=&search[operator]=&search[value]=")
        assert answer.status == 200, answer.body
        assert "search" not in answer.json["meta"]


def test_the_javascript_client_sends_a_form_without_a_body(api: httpx.Client, raw: Raw) -> None:
    contact = made_contact(api, 1)
    refreshed = raw("POST", "/api/auth/refresh", Content_Type=FORM)
    assert (refreshed.status, list(refreshed.json)) == (200, ["bearer"])
    gone = raw("POST", f"/api/contacts/delete?contact_ids[]={contact['id']}", Content_Type=FORM)
    assert (gone.status, gone.body) == (204, b"")
    assert api.get("/api/contacts").json()["total"] == 0


@pytest.mark.parametrize("media", ["application/json", FORM])
def test_a_delete_with_a_content_type_is_fine(api: httpx.Client, raw: Raw, media: str) -> None:
    for path in (f"/api/contacts/{made_contact(api, 1)['id']}", f"/api/groups/{made_list(api, 'abc')['id']}"):
        assert raw("DELETE", path, Content_Type=media).status == 204


def test_lists_of_a_contact_come_as_ids_as_digits_and_as_objects(api: httpx.Client) -> None:
    ids = [made_list(api, f"list {number}")["id"] for number in range(4)]
    groups = [
        {"id": ids[0], "default": False},
        {"id": str(ids[1]), "name": "x", "items": "7"},
        ids[2],
        str(ids[3]),
    ]
    contact = made_contact(api, 1, groups=groups)
    assert [row["id"] for row in contact["groups"]] == ids[::-1]
    again = api.put(f"/api/contacts/{contact['id']}", json={"phone": PHONE + 1, "groups": groups})
    assert again.status_code == 200
    assert [row["items"] for row in again.json()["data"]["groups"]] == [1] * 4


def test_digits_as_text_are_ids_everywhere(api: httpx.Client) -> None:
    row, field = made_list(api, "abc"), made_field(api, "City")
    contact = made_contact(api, 1, fields=[{"id": str(field["id"]), "value": "Kyiv"}])
    assert contact["fields"] == {str(field["id"]): "Kyiv"}
    pair = {"contacts": [str(contact["id"])], "groups": [str(row["id"])]}
    assert api.post("/api/groups/attach", json=pair).status_code == 200
    assert api.get(f"/api/groups/{row['id']}").json()["data"]["items"] == 1
    assert api.post("/api/groups/detach", json=pair).status_code == 200
    [stop] = stopped(api, 1)
    freed = api.post("/api/stoplist/detach", json={"ids": [str(stop["id"])], "types": ["sms"]})
    assert (freed.status_code, api.get("/api/stoplist").json()["total"]) == (200, 0)
    body = {"contact_ids": [str(contact["id"])]}
    assert api.post("/api/contacts/delete", json=body).status_code == 204
    assert api.post("/api/contacts/fields/delete", json={"ids": [str(field["id"])]}).status_code == 204
    assert api.get("/api/contacts/fields").json() == {"data": []}


def test_default_false_comes_unasked(api: httpx.Client) -> None:
    row = made_list(api, "abc", description=None, default=False)
    answer = api.put(f"/api/groups/{row['id']}", json={"name": "abcd", "default": False})
    assert answer.json()["data"] == row | {"name": "abcd"}


@pytest.mark.parametrize("left", ["[", "%5B"])
def test_5000_ids_in_the_query_are_deleted(api: httpx.Client, raw: Raw, left: str) -> None:
    kept = made_contact(api, 9_999)
    rows = [{"phone": PHONE + number} for number in range(5_000)]
    ids = [row["id"] for row in made(api, "/api/contacts/upsert", {"contacts": rows}, 200)["results"]]
    name = f"contact_ids{left}{left.replace('[', ']').replace('B', 'D')}"
    padded = [str(id).rjust(16, "0") for id in ids]  # as long as ids get
    target = f"/api/contacts/delete?{'&'.join(f'{name}={id}' for id in padded)}"
    assert len(target) > 140_000
    answer = raw("POST", target, Content_Type=FORM)
    assert (answer.status, answer.body) == (204, b"")
    assert [row["id"] for row in api.get("/api/contacts").json()["data"]] == [kept["id"]]


@pytest.mark.parametrize(
    ("agent", "status", "body"),
    [
        (PHP, 200, b"{}"),
        ("OpenAPI-Generator/2.7.1-rc/PHP", 200, b"{}"),
        ("OpenAPI-Generator/1.0.0/PHP extra", 204, b""),
        ("OpenAPI-Generator/1.0.0/python", 204, b""),
        (GO, 204, b""),
        (f"x {PHP}", 204, b""),
        ("PHP", 204, b""),
        (None, 204, b""),
    ],
)
def test_php_gets_an_object_where_it_throws_on_nothing(
    api: httpx.Client, raw: Raw, agent: str | None, status: int, body: bytes
) -> None:
    one, two = made_contact(api, 1)["id"], made_contact(api, 2)["id"]
    field, row = made_field(api, "City")["id"], made_list(api, "abc")["id"]
    headers = {"User_Agent": agent} if agent else {}
    answers = [
        raw("DELETE", f"/api/contacts/{one}", **headers),
        raw("POST", f"/api/contacts/delete?contact_ids[]={two}", **headers),
        raw("POST", "/api/contacts/fields/delete", {"ids": [field]}, **headers),
    ]
    for answer in answers:
        assert (answer.status, answer.body) == (status, body)
        assert answer.headers["Content-Type"] == ("application/json" if body else None)
    only_there = raw("DELETE", f"/api/groups/{row}", **headers)
    assert (only_there.status, only_there.body) == (204, b"")


def test_php_gets_an_object_for_a_replay_too(api: httpx.Client, raw: Raw) -> None:
    field = made_field(api, "City")["id"]
    calls: list[tuple[str, str, object]] = [
        ("DELETE", f"/api/contacts/{made_contact(api, 1)['id']}", None),
        ("POST", f"/api/contacts/delete?contact_ids[]={made_contact(api, 2)['id']}", None),
        ("POST", "/api/contacts/fields/delete", {"ids": [field]}),
    ]
    for number, (method, path, body) in enumerate(calls):
        key = f"key-{number}"
        first = raw(method, path, body, User_Agent=PHP, Idempotency_Key=key)
        again = raw(method, path, body, User_Agent=PHP, Idempotency_Key=key)
        other = raw(method, path, body, Idempotency_Key=key)
        assert [(a.status, a.body) for a in (first, again, other)] == [(200, b"{}"), (200, b"{}"), (204, b"")]
        replayed = [a.headers["Idempotent-Replayed"] for a in (first, again, other)]
        assert replayed == [None, "true", "true"]


def test_errors_reach_php_as_errors(raw: Raw) -> None:
    answer = raw("DELETE", "/api/contacts/999999", User_Agent=PHP)
    assert (answer.status, answer.json) == (422, {"message": "Invalid contact id", "errors": []})


AS_LIST, AS_OBJECT = "list", "object"


@pytest.mark.parametrize(
    ("agent", "prefer", "form"),
    [
        (None, None, AS_OBJECT),
        (BROWSER, None, AS_OBJECT),
        (PHP, None, AS_LIST),
        (GO, None, AS_LIST),
        ("OpenAPI-Generator/1.0.0/python", None, AS_LIST),
        ("my OpenAPI-Generator/1.0.0/python", None, AS_OBJECT),
        (PHP, "fields=object", AS_OBJECT),
        (None, "fields=list", AS_LIST),
        (None, 'dates=rfc3339, FIELDS="List"; x=1', AS_LIST),
        (PHP, "fields=table", AS_LIST),
        (None, "fields", AS_OBJECT),
    ],
)
def test_fields_go_out_in_the_form_that_the_caller_reads(
    api: httpx.Client, raw: Raw, agent: str | None, prefer: str | None, form: str
) -> None:
    headers = {"User_Agent": agent} if agent else {}
    headers |= {"Prefer": prefer} if prefer else {}
    first, second = made_field(api, "b")["id"], made_field(api, "a")["id"]
    values = [{"id": second, "value": "2"}, {"id": first, "value": "1"}]
    full = raw("POST", "/api/contacts", {"phone": PHONE + 1, "fields": values}, **headers)
    empty = raw("POST", "/api/contacts", {"phone": PHONE + 2}, **headers)
    path = f"/api/contacts/{full.json['data']['id']}"
    pairs = {str(first): "1", str(second): "2"}
    wanted = [{name: value} for name, value in pairs.items()] if form == AS_LIST else pairs
    answers = [
        full,
        raw("GET", path, **headers),
        raw("PUT", path, {"phone": PHONE + 1}, **headers),
        raw("GET", "/api/contacts", **headers),
        raw("GET", "/api/contacts/search", **headers),
    ]
    assert empty.json["data"]["fields"] == []
    applied = [form] if prefer and "=" in prefer and "table" not in prefer else []
    for answer in answers:
        data = answer.json["data"]
        row = data[-1] if isinstance(data, list) else data
        assert row["fields"] == wanted
        assert list(row["fields"]) == list(wanted)
        assert answer.headers["Vary"] == "User-Agent, Prefer"
        names = (answer.headers["Preference-Applied"] or "").split(", ")
        assert [name for name in names if name.startswith("fields")] == [f"fields={each}" for each in applied]


def test_preferences_apply_where_there_is_something_to_prefer(api: httpx.Client) -> None:
    row, field = made_list(api, "abc"), made_field(api, "City")
    headers = {"Prefer": "fields=list, dates=rfc3339"}
    both, dates = "dates=rfc3339, fields=list", "dates=rfc3339"
    wanted = {
        "/api/contacts": both,
        "/api/contacts/search": both,
        f"/api/groups/{row['id']}": dates,
        "/api/stoplist": dates,
        "/api/stoplist/search": dates,
        "/api/contacts/fields": None,
        f"/api/groups/{row['id']}/stats": None,
    }
    assert {
        path: api.get(path, headers=headers).headers.get("Preference-Applied") for path in wanted
    } == wanted
    path = f"/api/contacts/fields/{field['id']}"
    assert "Preference-Applied" not in api.patch(path, json={}, headers=headers).headers
    contact = made_contact(api, 1, groups=[row["id"]])
    shown = api.get(f"/api/contacts/{contact['id']}", headers=headers).json()["data"]
    for date in (shown["created_at"], shown["groups"][0]["created_at"]):
        assert date.endswith("Z")
    [stop] = api.post(
        "/api/stoplist/attach", json={"phones": [PHONE + 1], "types": ["sms"]}, headers=headers
    ).json()["data"]
    assert stop["created_at"].endswith("Z")


@pytest.fixture(scope="module", params=[AS_LIST, AS_OBJECT])
def fixed_form(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Service]]:
    """A service that was told which form to use."""
    url = f"sqlite:///{tmp_path_factory.mktemp('form')}/rollbook.db"
    service = Service(url, "--contact-fields", request.param)
    yield request.param, service
    assert service.stop() == 0


def test_the_service_may_be_told_the_form(fixed_form: tuple[str, Service]) -> None:
    form, service = fixed_form
    with service.client() as api:
        field = made_field(api, "City")["id"]
        made_contact(api, 1, fields=[{"id": field, "value": "x"}])
        forms = {AS_LIST: [{str(field): "x"}], AS_OBJECT: {str(field): "x"}}
        for agent in (PHP, BROWSER):
            for prefer in ("", f"fields={AS_LIST}", f"fields={AS_OBJECT}"):
                headers = {"User-Agent": agent, "Prefer": prefer}
                [row] = api.get("/api/contacts", headers=headers).json()["data"]
                assert row["fields"] == forms[prefer.removeprefix("fields=") or form]


SLASHED = [
    ("GET", "/api/contacts/", None),
    ("GET", "/api/contacts/search/", None),
    ("GET", "/api/contacts/fields/", None),
    ("GET", "/api/contacts/{contact}/", None),
    ("PUT", "/api/contacts/{contact}/", {}),
    ("POST", "/api/contacts/upsert/", {"contacts": [{"phone": PHONE + 1}]}),
    ("PATCH", "/api/contacts/fields/{field}/", {}),
    ("GET", "/api/stoplist/", None),
    ("GET", "/api/stoplist/search/", None),
    ("GET", "/api/stoplists/search/", None),
    ("POST", "/api/stoplist/attach/", {"phones": [PHONE + 1], "types": ["sms"]}),
    ("POST", "/api/stoplist/detach/", {"ids": [1], "types": ["sms"]}),
    ("GET", "/api/groups/{list}/stats/", None),
    ("POST", "/api/groups/{list}/contacts/", {"phones": [PHONE + 1]}),
    ("POST", "/api/contacts/delete/?contact_ids[]=999999", None),
    ("POST", "/api/contacts/fields/delete/", {"ids": [999999]}),
    ("DELETE", "/api/contacts/{contact}/", None),
]


def test_a_trailing_slash_is_fine(api: httpx.Client) -> None:
    ids = {
        "contact": made_contact(api, 1)["id"],
        "field": made_field(api, "City")["id"],
        "list": made_list(api, "abc")["id"],
    }
    for method, path, body in SLASHED:
        answer = api.request(method, path.format(**ids), json=body)
        assert answer.is_success, (method, path, answer.text)


def test_aliases_of_the_stop_list_answer_alike(api: httpx.Client) -> None:
    stopped(api, 1, types=("sms",))
    stopped(api, 2, types=("viber",))
    query = "?search[field]=date&search[operation]=%3E%3D&search[value]=2020-01-01&sort=phone"
    first = api.get(f"/api/stoplist/search{query}")
    second = api.get(f"/api/stoplists/search{query}")
    assert first.json() == second.json()
    assert first.json()["meta"]["page"]["total"] == 2
    assert first.json()["meta"]["search"] == {
        "field": "created_at",
        "operator": ">=",
        "value": "2020-01-01",
    }
    by_type = api.get("/api/stoplist?type=viber").json()
    assert api.get("/api/stoplist?types=viber").json() == by_type
    assert [row["phone"] for row in by_type["data"]] == [PHONE + 2]


def test_date_is_created_at_in_a_search_for_contacts(api: httpx.Client) -> None:
    made_contact(api, 1)
    query = "?search[field]=date&search[operation]=%3C&search[value]=2020-01-01+00:00:00"
    meta = api.get(f"/api/contacts/search{query}").json()["meta"]
    assert meta["search"] == {"field": "created_at", "operator": "<", "value": "2020-01-01 00:00:00"}
    assert meta["page"]["total"] == 0


def test_types_of_fields_have_two_names(api: httpx.Client) -> None:
    types = {"text": "text", "number": "number", "date": "date"}
    types |= {"string": "text", "integer": "number", "datetime": "date"}
    for sent, kept in types.items():
        assert made_field(api, sent, sent)["type"] == kept


@pytest.mark.parametrize("name", ["is_visible", "is_visiable"])
def test_is_visible_has_two_names_and_several_forms(api: httpx.Client, name: str) -> None:
    field = made_field(api, "City")
    path = f"/api/contacts/fields/{field['id']}"
    for no, yes in ((False, True), (0, 1), ("false", "true")):
        assert api.patch(path, json={name: no}).json()["data"] == field | {"is_visible": False}
        assert api.patch(path, json={name: yes}).json()["data"] == field


def test_members_that_nobody_knows_are_ignored(api: httpx.Client) -> None:
    more: dict[str, Any] = {"unknown": [{}], "id": 5}
    row, field = made_list(api, "abc", **more), made_field(api, "City", **more)
    contact = made_contact(api, 1, **more, fields=[{"id": field["id"], "value": "x", "name": "City"}])
    path = f"/api/contacts/{contact['id']}"
    assert api.put(path, json={"phone": PHONE + 1, **contact, "fields": [], **more}).json()["data"] == contact
    pair = {"contacts": [contact["id"]], "groups": [row["id"]], **more}
    assert api.post("/api/groups/attach", json=pair).content == b"{}"


def test_the_duplicate_guard_watches_the_calls_that_the_vendor_names() -> None:
    assert {route.path for route in ROUTES if route.guarded and route.method == "POST"} == {
        "/api/groups",
        "/api/groups/attach",
        "/api/groups/detach",
        "/api/contacts",
        "/api/contacts/fields",
        "/api/stoplist/attach",
        "/api/stoplist/detach",
    }
    assert {route.method for route in ROUTES if route.guarded} == {"POST"}


def test_a_token_in_the_header_of_the_vendors_prose_is_taken(live: Live) -> None:
    answer = httpx.get(f"{live.service.url}/api/contacts", headers={"Bearer": live.new_key()})
    assert answer.json() == {"data": [], "total": 0, "next": None}
