"""Nobody sees or changes another account's data, by any route of the table."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from rollbook.api.app import ROUTES
from tests.conftest import Live

SECRET = "secret name"
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/api/groups"): {"name": "intruder", "default": True},
    ("PUT", "/api/groups/{id}"): {"name": "intruder", "description": "was here", "default": True},
}
"""A valid body for every route that takes one; a new route without an entry fails the test."""


@pytest.mark.parametrize("other", ["another account", "the sandbox of the same account", "its live data"])
def test_no_route_reaches_another_accounts_data(live: Live, other: str) -> None:
    account = live.new_account()
    victim_key = live.new_key(account, test=other == "its live data")
    intruder_key = {
        "another account": lambda: live.new_key(),
        "the sandbox of the same account": lambda: live.new_key(account, test=True),
        "its live data": lambda: live.new_key(account),
    }[other]()
    with live.client(victim_key) as victim, live.client(intruder_key) as intruder:
        made = victim.post("/api/groups", json={"name": SECRET, "description": SECRET, "default": True})
        list_id = made.json()["data"]["id"]
        before = everything(victim)
        tried = 0
        for route in ROUTES:
            if not route.right:
                continue
            body = BODIES[route.method, route.path] if route.body else None
            for query in (
                "",
                f"?search[field]=name&search[operator]=like&search[value]=s&groups[]={list_id}",
            ):
                answer = intruder.request(
                    route.method, route.path.replace("{id}", str(list_id)) + query, json=body
                )
                tried += 1
                assert SECRET not in answer.text
                assert answer.status_code < 500
                if "{id}" in route.path:
                    assert answer.json() == {"message": "Contact group is not found", "errors": []}
                assert everything(victim) == before, route
        assert tried >= 2 * (len(ROUTES) - 2)


def everything(client: httpx.Client) -> Any:
    return client.get("/api/groups").json(), client.get("/api/groups/search").json()
