"""The OpenAPI document says what the service does: by itself, and compared with a running service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import openapi_spec_validator
import pytest
import schemathesis
from openapi_schema_validator import OAS31Validator
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    ignored_auth,
    missing_required_header,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from rollbook.api.app import ROUTES
from rollbook.api.errors import LIST_TAKEN, NO_LIST
from rollbook.api.openapi import HEADERS_SOMETIMES, document
from rollbook.lists import COLUMNS
from tests.calls import ended, imported
from tests.conftest import Live
from tests.length import also_on_postgresql_when_long, sized

DOCUMENT = document(ROUTES)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    ignored_auth,
    unsupported_method,
    allow_header_conformance,
    missing_required_header,
]
"""What schemathesis compares. Left out, with the reason:

- `negative_data_rejection`: the wire is tolerant on purpose (unknown members and parameters are ignored,
  flags and ids may be text), so much that the schema does not allow is rightly accepted.
- `positive_data_acceptance`: a schema cannot say that a name is free, that an id exists, or that a value
  fits the field it is compared with; those are 422.
- `use_after_free`, `ensure_resource_availability`, `object_level_authorization`: they belong to the stateful
  phase, which the pytest plugin does not run; `test_lists` and `test_isolation` say the same of one list.
- `max_response_time`: a busy machine would fail it.
"""

EXAMPLES_MAX = sized(3, 10)
"""Of random requests to each operation, besides those that schemathesis derives from the schema."""

DESCRIBED = schemathesis.openapi.from_dict(
    DOCUMENT,
    config=schemathesis.Config.from_dict(
        {
            "seed": 1,
            "generation": {"max-examples": EXAMPLES_MAX, "deterministic": True, "database": "none"},
        }
    ),
)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation of everything in the document."""
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def examples() -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Where it stands, its schema, and the value of every example in the document."""

    def of(where: str, content: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], Any]]:
        for media in content.values():
            assert "example" in media or media["examples"], where
            if "example" in media:
                yield where, media["schema"], media["example"]
            for name, example in media.get("examples", {}).items():
                yield f"{where} {name}", media["schema"], example["value"]

    for path, method, operation in operations():
        where = f"{method} {path}"
        yield from of(f"{where} body", operation.get("requestBody", {}).get("content", {}))
        for status, response in operation["responses"].items():
            yield from of(f"{where} {status}", response.get("content", {}))
    for name, response in DOCUMENT["components"]["responses"].items():
        yield from of(name, response["content"])


def test_the_document_is_valid_openapi() -> None:
    openapi_spec_validator.validate(DOCUMENT, cls=openapi_spec_validator.OpenAPIV31SpecValidator)


def test_the_document_is_the_same_in_every_process() -> None:
    program = (
        "import sys, msgspec; from rollbook.api.app import ROUTES; from rollbook.api.openapi import document;"
        "sys.stdout.buffer.write(msgspec.json.encode(document(ROUTES)))"
    )
    made = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert made == {json.dumps(DOCUMENT, separators=(",", ":"), ensure_ascii=False).encode()}


def test_every_route_with_its_statuses_is_in_the_document_and_nothing_else() -> None:
    expected = {
        ("/", "get"): {200},
        ("/healthz", "get"): {200},
        ("/readyz", "get"): {200, 503},
        ("/metrics", "get"): {200},
    }
    for route in ROUTES:
        if route.alias:
            continue
        statuses = {route.status, 401, 503}
        if route.right:
            statuses.add(403)
        if route.body:
            statuses.add(400)
        if route.method != "GET":
            statuses |= {400, 413, 429, 507} if route.uploads else {413, 415}
        if route.conflicts:
            statuses.add(409)
        if route.guarded:
            statuses.add(429)
        takes_key = route.right and route.method != "GET"
        if route.body or route.refusals or takes_key or route.query.refused:
            statuses.add(422)
        expected[route.path, route.method.lower()] = statuses
    found = {
        (path, method): set(map(int, operation["responses"])) for path, method, operation in operations()
    }
    assert found == expected


def test_every_operation_has_a_name_of_its_own_a_summary_and_a_known_tag() -> None:
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)
    assert {"login", "refresh", "createContactList", "listContactLists", "searchContactLists"} < set(names)
    for _, _, operation in operations():
        assert operation["summary"]
        assert not operation["summary"].endswith(".")
        assert set(operation["tags"]) <= tags


def test_every_example_fits_its_schema() -> None:
    seen = 0
    for where, schema, example in examples():
        whole = {**schema, "components": DOCUMENT["components"]}
        problems = [error.message for error in OAS31Validator(whole).iter_errors(example)]
        assert not problems, where
        seen += 1
    assert seen > 50


def test_a_created_list_is_shown_with_its_members_in_the_published_order() -> None:
    [media] = DOCUMENT["paths"]["/api/groups"]["post"]["responses"]["201"]["content"].values()
    assert list(media["example"]) == ["data"]
    assert list(media["example"]["data"]) == [
        "id",
        "name",
        "description",
        "default",
        "created_at",
        "items",
        "stop_list_count",
    ]


def test_the_texts_that_known_clients_look_for_are_shown() -> None:
    [media] = DOCUMENT["paths"]["/api/groups/{id}"]["put"]["responses"]["422"]["content"].values()
    texts = [example["value"]["message"] for example in media["examples"].values()]
    assert texts[0] == "The given data was invalid."
    assert {NO_LIST, LIST_TAKEN} < set(texts)


def test_a_search_names_its_fields_operators_and_aliases() -> None:
    search = DOCUMENT["paths"]["/api/groups/search"]["get"]
    parameters = {parameter["name"]: parameter for parameter in search["parameters"]}
    for prefix in ("search", "search_fields[0]"):
        assert parameters[f"{prefix}[field]"]["schema"]["enum"] == [*COLUMNS, "date"]
        assert parameters[f"{prefix}[operator]"]["schema"]["enum"] == ["=", ">", ">=", "<", "<=", "like"]
        assert f"{prefix}[operation]" in parameters[f"{prefix}[operator]"]["description"]
        assert f"{prefix}[value]" in parameters
    assert "`date` means `created_at`" in parameters["sort"]["description"]
    assert {"page[offset]", "page[limit]", "page[after]", "way", "Prefer"} < set(parameters)


def test_the_service_serves_this_document(live: Live) -> None:
    answer = httpx.get(f"{live.service.url}/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == DOCUMENT


def test_every_example_of_a_request_gets_the_answer_that_stands_beside_it(live: Live) -> None:
    """The same members in the same order, with values of the same type."""
    for path, method, operation in operations():
        if operation["operationId"] in ("cancelImport", "confirmImport"):  # the import has ended
            continue
        key = live.new_key()
        with live.client(key) as api:
            taken = "38" not in json.dumps(operation.get("requestBody", ""))
            ids = book(api, taken=taken, imports=path.startswith("/api/imports"))
            status, response = next(iter(operation["responses"].items()))
            body = None
            for media in list(operation.get("requestBody", {}).get("content", {}).values())[:1]:
                body = with_ids(media["example"], ids)
            if operation["operationId"] == "login":
                body = {"api_key": key}
            id = ids["field" if "/fields/" in path else "contact" if "/contacts/" in path else "list"]
            id = ids["list"] if path.startswith("/api/groups") else id
            id = ids["import"] if path.startswith("/api/imports") else id
            kind = "content" if isinstance(body, str) else "json"
            answer = api.request(method, path.format(id=id), **({kind: body} if body else {}))
            assert answer.status_code == int(status), (method, path, answer.text)
            content = response.get("content", {})
            assert not content or answer.headers["content-type"].partition(";")[0] in content, path
            for name, media in content.items():
                if name == "application/json":
                    assert shape(answer.json()) == shape(media["example"]), (method, path, answer.text)
            if operation["operationId"] == "createContactList":
                made = answer.json()["data"]
                own = {"id": made["id"], "created_at": made["created_at"]}
                assert made == media["example"]["data"] | own


def book(api: httpx.Client, *, taken: bool, imports: bool) -> dict[str, int]:
    """Ids of what the examples speak of. If `taken`, the phone of the examples is a contact's; if `imports`,
    there is an import, too."""
    made = {}
    made["list"] = api.post("/api/groups", json={"name": "Those", "description": "Of the examples"}).json()[
        "data"
    ]["id"]
    field = {"name": "Home", "type": "text", "description": "Where the contact lives"}
    made["field"] = api.post("/api/contacts/fields", json=field).json()["data"]["id"]
    contact = {
        "phone": 380000000001 if taken else 380000000009,
        "groups": [made["list"]],
        "fields": [{"id": made["field"], "value": "Kyiv"}],
    }
    made["contact"] = api.post("/api/contacts", json=contact).json()["data"]["id"]
    if imports:
        text = f"Mobile,Town\n{contact['phone']},Kyiv\n123,Kyiv\n"
        made["import"] = imported(api, text, list="Those", map="Town=Home", region="UA")["id"]
        assert ended(api, made["import"])["state"] == "done"
    stop = {"phones": [contact["phone"]], "types": ["sms"]}
    made["stop"] = api.post("/api/stoplist/attach", json=stop).json()["data"][0]["id"]
    return made


def with_ids(example: Any, ids: dict[str, int]) -> Any:
    """An example with the ids of a book in place of its own."""
    known = {1: ids["list"], 7: ids["contact"], 8: ids["contact"], 3: ids["field"], 5: ids["stop"]}
    if isinstance(example, dict):
        return {name: with_ids(value, ids) for name, value in example.items()}
    if isinstance(example, list):
        return [with_ids(value, ids) for value in example]
    return known.get(example, example) if type(example) is int else example


def test_a_refusal_reads_as_documented(live: Live, api: httpx.Client) -> None:
    reader = live.client(live.new_key(rights=["read"]))
    stranger = live.client("no.such.token")
    text = {"Content-Type": "text/plain"}
    malformed = b'{"name": Customers}'
    answers = {
        "400": api.post("/api/groups", content=malformed),
        "401": stranger.post("/api/groups", json={"name": "Customers"}),
        "403": reader.post("/api/groups", json={"name": "Customers"}),
        "413": api.post("/api/groups", content=b" " * 1_048_577),
        "415": api.post("/api/groups", content=b"name", headers=text),
        "NotFound": api.get("/api/no/such/path"),
        "MethodNotAllowed": api.patch("/api/groups"),
    }
    reader.close()
    stranger.close()
    documented = DOCUMENT["paths"]["/api/groups"]["post"]["responses"] | DOCUMENT["components"]["responses"]
    for name, answer in answers.items():
        response = documented[name]
        assert answer.json() == response["content"]["application/json"]["example"], name
        required = set(response["headers"]) - set(HEADERS_SOMETIMES)
        assert {header.lower() for header in required} <= set(answer.headers), name


def shape(value: Any) -> Any:
    """What of a value does not depend on what happens to be stored."""
    if isinstance(value, dict):
        named = {"a field's id" if name.isdigit() else name: member for name, member in value.items()}
        return [(name, shape(member)) for name, member in named.items() if name != "search"]
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


@pytest.mark.sized
@also_on_postgresql_when_long("live")
@DESCRIBED.parametrize()
def test_what_is_answered_is_what_is_documented(case: Case[Any], live: Live) -> None:
    headers = {"Authorization": f"Bearer {live.key}"}
    case.call_and_validate(base_url=live.service.url, headers=headers, checks=CHECKS)
