"""Every kind of bad request: the answer that wire.md section 1 promises, and nothing changed."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import jwt
import pytest

from tests.conftest import Live

INVALID = "The given data was invalid."
NO_LIST = "Contact group is not found"
TAKEN = "Contact group is already exists"


class Case(NamedTuple):
    """A request and what it must be answered."""

    title: str
    method: str
    path: str
    body: Any
    status: int
    message: str
    fields: tuple[str, ...] = ()
    headers: dict[str, str] = {}


CASES = [
    Case("name of 2 characters", "POST", "/api/groups", {"name": "ab"}, 422, INVALID, ("name",)),
    Case("name of 51 characters", "POST", "/api/groups", {"name": "x" * 51}, 422, INVALID, ("name",)),
    Case("name of 3 spaces", "POST", "/api/groups", {"name": "   "}, 422, INVALID, ("name",)),
    Case("name of 2 after trimming", "POST", "/api/groups", {"name": " ab "}, 422, INVALID, ("name",)),
    Case("name with NUL", "POST", "/api/groups", {"name": "abc\0d"}, 422, INVALID, ("name",)),
    Case("no name", "POST", "/api/groups", {"description": "x"}, 422, INVALID, ("name",)),
    Case("name null", "POST", "/api/groups", {"name": None}, 422, INVALID, ("name",)),
    Case("name a number", "POST", "/api/groups", {"name": 123}, 422, INVALID, ("name",)),
    Case("name a list", "POST", "/api/groups", {"name": ["abc"]}, 422, INVALID, ("name",)),
    Case("description a number", "POST", "/api/groups", {"name": "abc", "description": 5}, 422, INVALID, ("description",)),
    Case("description of 256", "POST", "/api/groups", {"name": "abc", "description": "x" * 256}, 422, INVALID, ("description",)),
    Case("default a word", "POST", "/api/groups", {"name": "abc", "default": "yes"}, 422, INVALID, ("default",)),
    Case("default 2", "POST", "/api/groups", {"name": "abc", "default": 2}, 422, INVALID, ("default",)),
    Case("default an object", "POST", "/api/groups", {"name": "abc", "default": {}}, 422, INVALID, ("default",)),
    Case("two bad values", "POST", "/api/groups", {"name": "ab", "description": "x" * 300}, 422, INVALID, ("name", "description")),
    Case("a bad type and a bad value", "POST", "/api/groups", {"name": "ab", "default": "yes"}, 422, INVALID, ("name", "default")),
    Case("three bad fields", "POST", "/api/groups", {"description": 1, "default": []}, 422, INVALID, ("name", "description", "default")),
    Case("name taken", "POST", "/api/groups", {"name": "Taken"}, 422, TAKEN),
    Case("name taken but for spaces", "POST", "/api/groups", {"name": " Taken  "}, 422, TAKEN),
    Case("name taken in another Unicode form", "POST", "/api/groups", {"name": "Cafe\u0301"}, 422, TAKEN),
    Case("an empty body", "POST", "/api/groups", b"", 422, INVALID, ("name",)),
    Case("a body that is a list", "POST", "/api/groups", [], 422, INVALID, ("body",)),
    Case("a body that is a text", "POST", "/api/groups", "abc", 422, INVALID, ("body",)),
    Case("malformed JSON", "POST", "/api/groups", b'{"name": "abc",}', 400, "The JSON is malformed: "),
    Case("JSON cut short", "POST", "/api/groups", b'{"name": "ab', 400, "The JSON is malformed: "),
    Case("JSON nested too deeply", "POST", "/api/groups", b'{"name":' + b"[" * 200_000, 400, "The JSON is malformed: "),
    Case("JSON that is not UTF-8", "POST", "/api/groups", b'{"name": "\xff\xfe\xfd"}', 400, "The JSON is malformed: "),
    Case("half a surrogate pair", "POST", "/api/groups", b'{"name": "abc\\ud800"}', 400, "The JSON is malformed: "),
    Case("a body of 2 MiB", "POST", "/api/groups", {"name": "abc", "description": "x" * 2**21}, 413, "The body is larger than 1048576 bytes."),
    Case("a form", "POST", "/api/groups", b"name=abc", 415, "The body must be JSON: ", headers={"Content-Type": "application/x-www-form-urlencoded"}),
    Case("plain text", "PUT", "/api/groups/{id}", b"name=abc", 415, "The body must be JSON: ", headers={"Content-Type": "text/plain"}),
    Case("rename to a taken name", "PUT", "/api/groups/{id}", {"name": "Taken"}, 422, TAKEN),
    Case("rename to 2 characters", "PUT", "/api/groups/{id}", {"name": "ab", "default": "no"}, 422, INVALID, ("name", "default")),
    Case("rename to null", "PUT", "/api/groups/{id}", {"name": None}, 422, INVALID, ("name",)),
    Case("rename to nothing", "PUT", "/api/groups/{id}", {"name": ""}, 422, INVALID, ("name",)),
    Case("change an unknown list", "PUT", "/api/groups/999999", {"name": "abc", "default": True}, 422, NO_LIST),
    Case("delete an unknown list", "DELETE", "/api/groups/999999", b"", 422, NO_LIST),
    Case("show an unknown list", "GET", "/api/groups/999999", b"", 422, NO_LIST),
    Case("show list 0", "GET", "/api/groups/0", b"", 422, NO_LIST),
    Case("show a word", "GET", "/api/groups/abc", b"", 422, NO_LIST),
    Case("show a negative id", "GET", "/api/groups/-1", b"", 422, NO_LIST),
    Case("show an id beyond 64 bits", "GET", "/api/groups/99999999999999999999999", b"", 422, NO_LIST),
    Case("a page that is too small", "GET", "/api/groups?page[limit]=14", b"", 422, INVALID, ("page[limit]",)),
    Case("a page that is too large", "GET", "/api/groups?page[limit]=501", b"", 422, INVALID, ("page[limit]",)),
    Case("a negative offset", "GET", "/api/groups?page[offset]=-1", b"", 422, INVALID, ("page[offset]",)),
    Case("both wrong", "GET", "/api/groups?page[offset]=x&page[limit]=y", b"", 422, INVALID, ("page[offset]", "page[limit]")),
    Case("an offset beyond 64 bits", "GET", "/api/groups?page[offset]=99999999999999999999", b"", 422, INVALID, ("page[offset]",)),
    Case("after and offset", "GET", "/api/groups?page[offset]=5&page[after]=5", b"", 422, INVALID, ("page[after]",)),
    Case("search by an unknown field", "GET", "/api/groups/search?search[field]=color&search[value]=x", b"", 422, INVALID, ("search[field]",)),
    Case("search by an operator that the field has not", "GET", "/api/groups/search?search[field]=id&search[operator]=like&search[value]=1", b"", 422, INVALID, ("search[operator]",)),
    Case("search a number by a word", "GET", "/api/groups/search?search[field]=items&search[value]=many", b"", 422, INVALID, ("search[value]",)),
    Case("search a date by a word", "GET", "/api/groups/search?search[field]=created_at&search[value]=yesterday", b"", 422, INVALID, ("search[value]",)),
    Case("search a date that is none", "GET", "/api/groups/search?search[field]=date&search[value]=2022-02-30", b"", 422, INVALID, ("search[value]",)),
    Case("search without a value", "GET", "/api/groups/search?search[field]=name", b"", 422, INVALID, ("search[value]",)),
    Case("search without a field", "GET", "/api/groups/search?search[value]=name", b"", 422, INVALID, ("search[field]",)),
    Case("search for NUL", "GET", "/api/groups/search?search[field]=name&search[value]=%00", b"", 422, INVALID, ("search[value]",)),
    Case("sort by an unknown field", "GET", "/api/groups/search?sort=color", b"", 422, INVALID, ("sort",)),
    Case("sort in an unknown way", "GET", "/api/groups/search?sort=id&way=up", b"", 422, INVALID, ("way",)),
    Case("everything wrong", "GET", "/api/groups/search?sort=color&way=up&page[limit]=1&search_fields[3][field]=x&search_fields[3][value]=1", b"", 422, INVALID, ("page[limit]", "search_fields[3][field]", "way", "sort")),
    Case("keyset after an unknown row", "GET", "/api/groups/search?sort=name&page[after]=999999", b"", 422, INVALID, ("page[after]",)),
    Case("a bad Idempotency-Key", "POST", "/api/groups", {"name": "abcd"}, 422, INVALID, ("Idempotency-Key",), headers={"Idempotency-Key": "a b"}),
    Case("login without a key", "POST", "/api/auth/login", {}, 422, INVALID, ("api_key",)),
    Case("login with a number", "POST", "/api/auth/login", {"api_key": 5}, 422, INVALID, ("api_key",)),
    Case("login with a wrong key", "POST", "/api/auth/login", {"api_key": "live_" + "x" * 20}, 401, "The API key is unknown or was revoked."),
    Case("login with nonsense", "POST", "/api/auth/login", {"api_key": ""}, 401, "The API key is unknown or was revoked."),
    Case("an unknown route", "GET", "/api/nothing", b"", 404, "There is no such route."),
    Case("an unknown route below one that is known", "GET", "/api/groups/1/nothing", b"", 404, "There is no such route."),
    Case("a wrong method", "PATCH", "/api/groups", b"", 405, "This route does not take PATCH."),
    Case("a wrong method on one list", "POST", "/api/groups/{id}", {}, 405, "This route does not take POST."),
    Case("a method that is none", "BREW", "/api/groups", b"", 400, ""),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.title for case in CASES])
def test_a_bad_request_is_refused_and_changes_nothing(live: Live, book: Book, case: Case) -> None:
    before = book.everything()
    body = case.body if isinstance(case.body, bytes) else json.dumps(case.body).encode()
    headers = {"Content-Type": "application/json", **case.headers}
    answer = book.client.request(
        case.method, case.path.replace("{id}", str(book.list_id)), content=body, headers=headers
    )
    assert answer.status_code == case.status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    told = answer.json()
    assert set(told) == {"message", "errors"}
    assert told["message"].startswith(case.message)
    assert isinstance(told["errors"], list)
    assert [error["field"] for error in told["errors"]] == list(case.fields)
    for error in told["errors"]:
        assert set(error) == {"field", "message"}
        assert error["message"].endswith(".")
    if case.status == 400 and case.body != b"":
        assert "byte" in told["message"] or "deeply" in told["message"]
    assert book.everything() == before


class Book:
    """An account with two lists."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.list_id = client.post("/api/groups", json={"name": "Mine"}).json()["data"]["id"]
        for name in ("Taken", "Caf\u00e9"):
            assert client.post("/api/groups", json={"name": name}).status_code == 201

    def everything(self) -> Any:
        """All that the account has."""
        return self.client.get("/api/groups").json()


@pytest.fixture(scope="module")
def book(live: Live) -> Iterator[Book]:
    with live.client(live.new_key()) as client:
        yield Book(client)


def _token(secret: str, **claims: Any) -> str:
    now = int(time.time())
    return jwt.encode(
        {"iat": now, "exp": now + 600, "id": 1, "key": 1, "roles": ["admin"]} | claims, secret, "HS256"
    )


UNSIGNED = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")

REFUSED = {
    "no token": (None, "A bearer token is missing"),
    "an empty header": ("", "A bearer token is missing"),
    "another scheme": ("Basic YWxpY2U6c2VjcmV0", "The Authorization header must read"),
    "no token behind the scheme": ("Bearer", "The Authorization header must read"),
    "nonsense": ("Bearer nonsense", "The bearer token is not valid."),
    "three parts of nonsense": ("Bearer a.b.c", "The bearer token is not valid."),
    "a token signed by another": (f"Bearer {_token('x' * 40)}", "The bearer token is not valid."),
    "a token without a signature": (
        f"Bearer {UNSIGNED}.{_token('x' * 40).split('.')[1]}.",
        "The bearer token is not valid.",
    ),
    "a key that nobody has": (f"Bearer live_{'x' * 20}", "The API key is unknown or was revoked."),
    "a test key that nobody has": (f"Bearer test_{'x' * 20}", "The API key is unknown or was revoked."),
    "not ASCII": ("Bearer \u00fc\u00f6", "The bearer token is not valid."),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=list(REFUSED))
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/groups"),
        ("POST", "/api/groups"),
        ("GET", "/api/groups/search"),
        ("GET", "/api/groups/{id}"),
        ("PUT", "/api/groups/{id}"),
        ("DELETE", "/api/groups/{id}"),
        ("POST", "/api/auth/refresh"),
    ],
)
def test_a_caller_who_is_not_known_is_refused(
    live: Live, book: Book, method: str, path: str, case: tuple[str | None, str]
) -> None:
    authorization, message = case
    before = book.everything()
    headers = {"Authorization": authorization.encode()} if authorization is not None else {}
    answer = httpx.request(
        method,
        live.service.url + path.replace("{id}", str(book.list_id)),
        content=b'{"name": "Stolen"}' if method in ("POST", "PUT") else None,
        headers={b"Content-Type": b"application/json", **{k.encode(): v for k, v in headers.items()}},
    )
    assert answer.status_code == 401, answer.text
    assert answer.json()["message"].startswith(message)
    assert answer.json()["errors"] == []
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert book.everything() == before


def test_a_wrong_method_says_which_are_right(book: Book) -> None:
    answer = book.client.patch("/api/groups")
    assert set(answer.headers["Allow"].split(", ")) >= {"GET", "POST"}


def test_a_request_that_is_not_http_gets_the_one_form_of_errors(live: Live) -> None:
    host, port = live.service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"GET / SPDY/9\r\n\r\n")
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"x-request-id: " in answer
    assert json.loads(answer.split(b"\r\n\r\n")[1]) == {
        "message": "Invalid HTTP request received.",
        "errors": [],
    }


def test_a_target_of_256_kib_is_read_to_its_end(book: Book) -> None:
    padding = "&".join(f"groups[]={number}" for number in range(20_000))
    padding = padding[: 256 * 1024 - 200]
    status, answer = _get(book, f"/api/groups?{padding}&page[limit]=15&page[offset]=1")
    assert status == 200
    assert len(answer["data"]) == answer["total"] - 1


def test_a_target_beyond_the_limit_is_refused(book: Book) -> None:
    status, answer = _get(book, f"/api/groups?{'x' * 600_000}")
    assert status == 400
    assert answer["errors"] == []


def _get(book: Book, target: str) -> tuple[int, Any]:
    """GET a target that is too long for httpx."""
    connection = http.client.HTTPConnection(book.client.base_url.netloc.decode())
    connection.request("GET", target, headers={"Authorization": book.client.headers["Authorization"]})
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found
