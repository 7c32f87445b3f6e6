"""Nobody sees or changes another account's data, by any route of the table."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rollbook.api.app import ROUTES
from rollbook.api.edge import Route
from rollbook.api.errors import NOT_FOUND
from rollbook.api.query import LenientQuery
from tests.calls import BODIES, PHONE, SECRET, everything, filled, made_book, noun_of
from tests.conftest import Live

OTHERS = ["another account", "the sandbox of the same account", "its live data"]
QUERIES = [
    "",
    "?search[field]=name&search[operator]=like&search[value]=s&groups[]={list}",
    "?search[field]=phone&search[operator]=like&search[value]=380&contact_group_id={list}",
    "?search[field]={field}&search[operator]=like&search[value]=s",
    "?search[field]=group_id&search[value]={list}",
    "?search[field]=id&search[value]={contact}&page[after]={stop}",
    "?search[field]=type&search[value]=sms&type=sms",
    "?sort=phone&page[after]={contact}",
    "?contact_ids[]={contact}&group_ids[]={list}&groups[0]={list}&groups[1]={other}",
]


def keys_of(live: Live, other: str) -> tuple[str, str]:
    """Keys of a victim and of an intruder."""
    account = live.new_account()
    victim = live.new_key(account, test=other == "its live data")
    intruder = {
        "another account": lambda: live.new_key(),
        "the sandbox of the same account": lambda: live.new_key(account, test=True),
        "its live data": lambda: live.new_key(account),
    }[other]()
    return victim, intruder


def target(route: Route, ids: dict[str, object], query: str = "") -> str:
    return filled(route.path.replace("{id}", str(ids[noun_of(route.path)])) + query, ids)


def body_of(route: Route, ids: dict[str, object]) -> Any:
    return json.loads(filled(json.dumps(BODIES[route.method, route.path]), ids)) if route.body else None


@pytest.mark.parametrize("other", OTHERS)
def test_no_route_reaches_another_accounts_data(live: Live, other: str) -> None:
    victim_key, intruder_key = keys_of(live, other)
    with live.client(victim_key) as victim, live.client(intruder_key) as intruder:
        ids = made_book(victim)
        before = everything(victim)
        tried = 0
        for route in ROUTES:
            if not route.right:
                continue
            # An export takes a process of its own, and has none of the searches that most queries are for.
            searches = route.method == "GET" and "export" not in route.path
            queries = QUERIES if searches else QUERIES[:1] + QUERIES[-1:]
            for query in (
                queries if isinstance(route.query, LenientQuery) else QUERIES[:1]
            ):  # others are refused unread
                answer = intruder.request(route.method, target(route, ids, query), json=body_of(route, ids))
                tried += 1
                assert SECRET not in answer.text
                assert answer.status_code < 500
                if "{id}" in route.path:
                    told = {"message": NOT_FOUND[noun_of(route.path)], "errors": []}
                    assert answer.json() == told, route
            assert everything(victim) == before, route
        assert tried >= 2 * len(ROUTES)


@pytest.mark.parametrize("other", OTHERS)
def test_ids_and_phones_of_two_accounts_do_not_mix(live: Live, other: str) -> None:
    """Both have the same phones, stopped and not, in lists and fields of their own."""
    victim_key, intruder_key = keys_of(live, other)
    with live.client(victim_key) as victim, live.client(intruder_key) as intruder:
        theirs, own = made_book(victim), made_book(intruder)
        before, mine = everything(victim), everything(intruder)
        mixed: list[tuple[str, str, Any]] = [
            ("POST", "/api/groups/attach", {"contacts": [own["contact"], theirs["contact"]], "groups": [own["list"]]}),
            ("POST", "/api/groups/attach", {"contacts": [own["contact"]], "groups": [own["list"], theirs["list"]]}),
            ("POST", "/api/groups/detach", {"contacts": [own["contact"]], "groups": [theirs["list"], own["list"]]}),
            ("POST", "/api/contacts", {"phone": PHONE + 5, "groups": [own["list"], theirs["list"]]}),
            ("POST", "/api/contacts", {"phone": PHONE + 5, "fields": [{"id": theirs["field"], "value": "x"}]}),
            ("PUT", f"/api/contacts/{own['contact']}", {"groups": [theirs["list"]], "phone": PHONE + 5}),
            ("PUT", f"/api/contacts/{own['contact']}", {"fields": [{"id": theirs["field"], "value": None}]}),
            ("POST", "/api/contacts/upsert", {"contacts": [{"phone": PHONE + 1, "groups": [theirs["list"]]}]}),
            ("POST", "/api/contacts/delete", {"contact_ids": [theirs["contact"]], "group_ids": [theirs["list"]]}),
            ("POST", "/api/contacts/fields/delete", {"ids": [theirs["field"]]}),
            ("POST", "/api/stoplist/detach", {"ids": [theirs["stop"]], "types": ["sms", "rcs"]}),
        ]  # fmt: skip
        for method, path, body in mixed:
            answer = intruder.request(method, path, json=body)
            assert answer.status_code < 500
            assert [everything(victim), everything(intruder)] == [before, mine], (path, body)
        for route in ROUTES:
            if route.right == "write" and route.path not in ("/api/contacts/delete",):
                intruder.request(route.method, target(route, own), json=body_of(route, own))
                assert everything(victim) == before, route
        assert intruder.post(f"/api/contacts/delete?contact_ids[]={own['contact']}").status_code == 204
        assert everything(victim) == before


def test_every_route_with_a_body_is_tried() -> None:
    assert set(BODIES) == {(route.method, route.path) for route in ROUTES if route.body and route.right}
