"""A slip of the caller on a route of rollbook's own is refused, names what there is, and changes nothing. The
cases follow from the route table, so that new routes are tried as well."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest

from rollbook.api import slips
from rollbook.api.app import ROUTES
from rollbook.api.edge import Route
from rollbook.api.query import StrictQuery
from rollbook.options import Option
from tests.api.test_isolation import body_of, target
from tests.calls import (
    PHONE,
    counts,
    ended,
    everything,
    imported,
    made_book,
    made_contact,
    made_list,
    stopped,
)
from tests.conftest import Live

OWN = [route for route in ROUTES if isinstance(route.query, StrictQuery)]

VENDORS = {
    "/api/auth/login",
    "/api/auth/refresh",
    "/api/groups",
    "/api/groups/search",
    "/api/groups/attach",
    "/api/groups/detach",
    "/api/groups/{id}",
    "/api/contacts",
    "/api/contacts/search",
    "/api/contacts/delete",
    "/api/contacts/fields",
    "/api/contacts/fields/{id}",
    "/api/contacts/fields/delete",
    "/api/contacts/{id}",
    "/api/stoplist",
    "/api/stoplist/attach",
    "/api/stoplist/detach",
    "/api/stoplist/search",
    "/api/stoplists/search",
}
"""The only routes that may ignore what they do not know."""


def test_every_route_but_the_vendors_is_strict() -> None:
    assert {route.path for route in ROUTES if not isinstance(route.query, StrictQuery)} == VENDORS
    for route in OWN:
        assert route.body is None or strict(route.body.kind), route.path


def strict(kind: type[msgspec.Struct]) -> bool:
    return bool(kind.__struct_config__.forbid_unknown_fields)


def misspelt(name: str) -> Iterator[str]:
    """The name with one letter left out, doubled, changed, or in the other case."""
    middle = len(name) // 2
    yield name[:middle] + name[middle + 1 :]
    yield name[:middle] + name[middle] + name[middle:]
    yield name[:-1] + ("x" if name[-1] != "x" else "y")
    yield name[0].swapcase() + name[1:]


def slipped_queries(options: tuple[Option, ...]) -> Iterator[tuple[str, str]]:
    """Queries that are slips, each with the name that the refusal must have."""
    names = [option.name for option in options]
    for name in names or ["dry_run", "format"]:
        for wrong in misspelt(name):
            if wrong not in names:
                yield f"{wrong}=1", wrong
                yield wrong, wrong
    for option in options:
        value = option.choices[0] if option.choices else "20"
        yield option.name, option.name
        yield f"{option.name}=", option.name
        if not option.blank:
            yield f"{option.name}=%20", option.name
        yield f"{option.name}={value}&{option.name}=", option.name
        if not option.many:
            yield f"{option.name}={value}&{option.name}={value}", option.name
        else:
            yield f"{option.name}=,", option.name


def send(api: httpx.Client, route: Route, ids: dict[str, object], query: str, body: Any) -> httpx.Response:
    path = target(route, ids) + (f"?{query}" if query else "")
    if route.uploads:
        return api.request(route.method, path, content=f"phone\n{PHONE + 77}\n".encode())
    return api.request(route.method, path, json=body)


def sent(api: httpx.Client, path: str, text: str) -> httpx.Response:
    return api.post(path, content=text, headers={"Content-Type": "application/json"})


def refused(answer: httpx.Response, name: str, where: object) -> str:
    """The message about `name` in a refusal."""
    assert answer.status_code == 422, (where, answer.status_code, answer.text)
    told = [error["message"] for error in answer.json()["errors"] if error["field"] == name]
    assert told, (where, answer.text)
    return str(told[0])


def test_a_slip_in_a_query_is_refused_and_changes_nothing(live: Live, api: httpx.Client) -> None:
    ids = made_book(api)
    before = everything(api)
    for route in OWN:
        assert isinstance(route.query, StrictQuery)
        options = route.query.options
        for query, name in slipped_queries(options):
            where = (route.method, route.path, query)
            told = refused(send(api, route, ids, query, body_of(route, ids)), name, where)
            if name not in [option.name for option in options]:
                there = ", ".join(option.name for option in options) or "none here"
                assert told == f"There is no option {name}; there are {there}.", where
        assert everything(api) == before, route.path


def test_a_slip_in_a_body_is_refused_and_changes_nothing(live: Live, api: httpx.Client) -> None:
    ids = made_book(api)
    before = everything(api)
    for route in OWN:
        if route.method == "GET" or route.uploads:
            continue
        body = body_of(route, ids) or {}
        for name in body or ["dry_run"]:
            for wrong in misspelt(name):
                slip = {**body, wrong: body.get(name, 1)}
                told = refused(send(api, route, ids, "", slip), wrong, (route.path, wrong))
                assert told.startswith(f"There is no member {wrong} in the body; there are "), route.path
        assert everything(api) == before, route.path


def test_an_item_with_an_unknown_member_is_invalid_and_the_others_are_done(api: httpx.Client) -> None:
    items = [{"phone": PHONE + 1, "group": [1]}, {"phone": PHONE + 2}]
    data = api.post("/api/contacts/upsert", json={"contacts": items}).json()["data"]
    assert [each["result"] for each in data["results"]] == ["invalid", "created"]
    told = "There is no member group in the contact; there are phone, groups, fields, reference."
    assert data["results"][0]["reason"] == told


def test_a_member_that_is_said_twice_is_refused_and_changes_nothing(live: Live, api: httpx.Client) -> None:
    """The last one would hold: `reachable` asks for fewer people than a second, wider one."""
    ids = made_book(api)
    before = everything(api)
    for route in OWN:
        if not route.body:
            continue
        fields = msgspec.structs.fields(route.body.kind)
        needed = {field.encode_name: ["1"] for field in fields if field.required} or {"lists": ["1"]}
        body = body_of(route, ids) or needed
        for name, value in body.items():
            escaped = f'"\\u00{ord(name[0]):02x}{name[1:]}": {json.dumps(value)}'
            for second in (f"{json.dumps(name)}: {json.dumps(value)}", escaped):
                twice = f"{json.dumps(body)[:-1]}, {second}}}"
                told = refused(sent(api, target(route, ids), twice), name, route.path)
                assert told == f"The {name} is said more than once in the body."
        assert everything(api) == before, route.path


def test_an_item_that_says_a_member_twice_is_invalid_and_the_others_are_done(api: httpx.Client) -> None:
    body = f"""{{"stops": [
        {{"phone": {PHONE + 1}, "channels": ["sms", "viber"], "channels": ["sms"]}},
        {{"phone": {PHONE + 2}, "channels": ["sms"], "reference": "channels"}},
        {{"phone": {PHONE + 3}, "channels": ["sms"], "reference": "\\u0041 said \\"phone\\""}}
    ]}}"""
    results = sent(api, "/api/stops", body).json()["data"]["results"]
    assert [each["result"] for each in results] == ["invalid", "created", "created"], results
    assert results[0]["reason"] == "The channels is said more than once in the stop."


def test_the_vendors_routes_take_the_last_of_several_members(api: httpx.Client) -> None:
    answer = sent(api, "/api/groups", '{"name": "first", "name": "second"}')
    assert answer.json()["data"]["name"] == "second"


@pytest.mark.parametrize("name", ["lists", "all_of", "minus", "reachable", "stopped"])
@pytest.mark.parametrize("path", ["/api/audience", "/api/audience/export"])
def test_an_empty_filter_of_an_audience_does_not_widen_it(api: httpx.Client, path: str, name: str) -> None:
    stopped(api, 1)
    made_contact(api, 1)
    told = refused(api.post(path, json={name: []}), name, path)
    assert "empty" in told
    assert api.post(path, json={name: None}).status_code == 422


@pytest.mark.parametrize("path", sorted({route.path for route in OWN if route.body}))
def test_a_body_that_is_not_there_is_not_everybody(api: httpx.Client, path: str) -> None:
    answer = api.post(path.replace("{id}", str(made_list(api, "Everybody")["id"])))
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"] == [{"field": "body", "message": "The body is empty: send a JSON object."}]


def test_what_is_said_rightly_holds(api: httpx.Client) -> None:
    """Every form of a list of channels, and "1" and "0" as booleans."""
    made_contact(api, 1)
    made_contact(api, 2)
    stopped(api, 1, types=("sms",))
    stopped(api, 2, types=("rcs",))
    for query, phones in {
        "reachable=sms": [2],
        "reachable[]=sms&reachable[]=rcs": [],
        "reachable=SMS,%20rcs,": [],
        "reachable=sms&reachable=viber": [2],
        "stopped[0]=rcs": [2],
        "safe_for_spreadsheets=0&with_lists=0": [1, 2],
    }.items():
        answer = api.get(f"/api/contacts/export?columns=phone&format=csv&{query}")
        assert answer.status_code == 200, answer.text
        assert sorted(answer.text.split()[1:]) == [str(PHONE + number) for number in phones], query
    data = imported(api, f"phone\n{PHONE + 9}\n", dry_run="1")
    assert data["dry_run"] is True
    ended(api, data["id"])
    assert api.get("/api/contacts").json()["total"] == 2


def test_the_vendors_routes_ignore_what_they_do_not_know(api: httpx.Client) -> None:
    made = made_list(api, "tolerant", nickname="x", items=7)
    assert api.get("/api/groups?dry_run&pgae[limit]=&sort").status_code == 200
    assert api.put(f"/api/groups/{made['id']}?x", json={"names": "y"}).json()["data"]["name"] == "tolerant"
    assert counts(api, made["id"]) == (0, 0)


def test_an_unknown_parameter_is_told_once_an_hour_without_values(live: Live) -> None:
    keys = [live.new_key(), live.new_key()]
    for key in [*keys, *keys]:
        with live.client(key) as api:
            for _ in range(3):
                api.get(f"/api/contacts?grupos[]={PHONE}&{PHONE}&page[limit]=20&groups[0]=1&search[filed]=x")
                api.get("/api/stoplist?types=sms&type=sms")
    lines = [json.loads(line)["event"] for line in live.service.log().splitlines() if "unknown param" in line]
    about = [line for line in lines if "grupos" in line]
    assert len(about) == len(keys), lines
    assert all("['grupos[]', '#', 'search[filed]']" in line for line in about), about
    assert str(PHONE) not in "".join(lines)
    assert not any("stoplist" in line for line in lines)


def test_what_is_remembered_of_unknown_parameters_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slips, "REMEMBERED_MAX", 10)
    log = slips.SlipLog()
    for number in range(50):
        log.note([f"x{number}"], key_id=number, route="GET /")
    assert len(log._when) == 10
